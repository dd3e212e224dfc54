//! Answers in pieces: the parts of all as they come, then what they took.

use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use serde_json::Value;

use super::reply::{Head, Wording, finish_reason, numbered};
use crate::server::error::{ApiError, Dialect};
use crate::server::infer::{Answering, Chunk, End, Item};
use crate::server::reply;
use crate::server::routes::notes::add_notes;
use crate::server::routes::talk::parts;

/// What comes of one answer.
enum Said {
    Part(Bytes),
    End(Bytes, Box<End>),
    Failed(ApiError),
}

pub(super) async fn stream<W: Wording>(
    head: Head,
    begun: Vec<(Answering, W)>,
    include_usage: bool,
) -> Result<Response, ApiError> {
    let pieces = Pieces {
        head,
        kind: W::PIECE,
        include_usage,
    };
    let mut answers: Vec<BoxStream<'static, Said>> = Vec::new();
    for (index, (answering, wording)) in begun.into_iter().enumerate() {
        let mut answer = Answer {
            pieces: pieces.clone(),
            wording,
            index,
            begun: false,
            calls: false,
        };
        let parts = parts(answering).await?;
        answers.push(parts.map(move |item| answer.say(item)).boxed());
    }
    let state = Streaming {
        answers: futures_util::stream::select_all(answers),
        pieces,
        ends: Vec::new(),
        over: false,
    };
    let events = futures_util::stream::unfold(state, |mut state| async move {
        let event = state.next().await?;
        Some((event, state))
    });
    Ok(reply::events(events))
}

/// What all pieces have in common.
#[derive(Clone)]
struct Pieces {
    head: Head,
    kind: &'static str,
    include_usage: bool,
}

impl Pieces {
    fn piece(&self, choices: &[Value]) -> Value {
        let mut piece = self.head.object(self.kind, choices);
        if self.include_usage {
            piece["usage"] = Value::Null;
        }
        piece
    }
}

/// One answer, and how far it is.
struct Answer<W> {
    pieces: Pieces,
    wording: W,
    index: usize,
    begun: bool,
    calls: bool,
}

impl<W: Wording> Answer<W> {
    fn say(&mut self, item: Result<Item, ApiError>) -> Said {
        match item {
            Ok(Item::Chunk(chunk)) => Said::Part(self.part(&chunk)),
            Ok(Item::End(end)) => Said::End(self.end(&end), end),
            Err(error) => Said::Failed(error),
        }
    }

    fn part(&mut self, chunk: &Chunk) -> Bytes {
        let first = !std::mem::replace(&mut self.begun, true);
        self.calls |= !chunk.tool_calls.is_empty();
        let choice = numbered(self.wording.part(chunk, first), self.index, None);
        reply::data(&self.pieces.piece(&[choice]))
    }

    fn end(&mut self, end: &End) -> Bytes {
        let mut out = Vec::new();
        // An empty answer begins all the same.
        if !self.begun {
            out.extend_from_slice(&self.part(&Chunk::default()));
        }
        let reason = finish_reason(end, self.calls);
        let choice = numbered(self.wording.end(), self.index, Some(reason));
        let mut piece = self.pieces.piece(&[choice]);
        add_notes(&mut piece, &end.notes);
        out.extend_from_slice(&reply::data(&piece));
        out.into()
    }
}

struct Streaming<S> {
    answers: S,
    pieces: Pieces,
    ends: Vec<End>,
    over: bool,
}

impl<S: Stream<Item = Said> + Unpin> Streaming<S> {
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        match self.answers.next().await {
            Some(Said::Part(bytes)) => Some(bytes),
            Some(Said::End(bytes, end)) => {
                self.ends.push(*end);
                Some(bytes)
            }
            Some(Said::Failed(error)) => {
                self.over = true;
                Some(reply::data(&error.to_json(Dialect::OpenAi)))
            }
            None => {
                self.over = true;
                let mut out = Vec::new();
                if self.pieces.include_usage {
                    let mut piece = self.pieces.piece(&[]);
                    piece["usage"] = self.pieces.head.usage(&self.ends);
                    out.extend_from_slice(&reply::data(&piece));
                }
                out.extend_from_slice(b"data: [DONE]\n\n");
                Some(out.into())
            }
        }
    }
}
