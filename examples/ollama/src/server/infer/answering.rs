//! An answer as it comes: thoughts and calls apart from text, and at its end what it took.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use llamakit::chat::{AnswerParser, AnswerPart};
use tokio::sync::mpsc::Receiver;

use super::Ask;
use super::refit::Refitted;
use crate::api::{CalledFunction, Logprob, Metrics, Notes, ToolCall, TopLogprob};
use crate::runner::wire::{self, Event, Reason};
use crate::server::app::{App, Heard};
use crate::server::clock::nanos;
use crate::server::error::ApiError;
use crate::server::id;
use crate::server::prompt::Rendered;

/// A part of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Chunk {
    pub content: String,
    pub thinking: String,
    pub tool_calls: Vec<ToolCall>,
    pub logprobs: Vec<Logprob>,
}

impl Chunk {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what comes after.
    pub(crate) fn append(&mut self, next: Self) {
        self.content.push_str(&next.content);
        self.thinking.push_str(&next.thinking);
        self.tool_calls.extend(next.tool_calls);
        self.logprobs.extend(next.logprobs);
    }
}

/// The end of an answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct End {
    /// `stop` or `length`.
    pub reason: &'static str,
    /// The text that would have come next.
    pub stop: Option<String>,
    pub metrics: Metrics,
    pub notes: Notes,
    pub tokens: Vec<i32>,
}

#[derive(Debug)]
pub(crate) enum Item {
    Chunk(Chunk),
    End(Box<End>),
}

/// An answer as it comes. Dropping it stops its work.
pub(crate) struct Answering {
    events: Receiver<Event>,
    app: Arc<App>,
    /// How long the model was waited for.
    waited: Duration,
    parser: Option<AnswerParser>,
    rendered: Rendered,
    waiting: VecDeque<Item>,
    began: Instant,
    refitted: Option<Refitted>,
    calls: u32,
    heard: Heard,
    ended: bool,
}

impl Answering {
    pub(super) fn new(
        app: &Arc<App>,
        waited: Duration,
        events: Receiver<Event>,
        ask: Ask,
        refitted: Option<Refitted>,
        heard: Heard,
        began: Instant,
    ) -> Self {
        let parser = ask.rendered.format.as_ref().map(|format| {
            let parser = AnswerParser::new(format);
            // Without tools, what looks like a call is text.
            parser.tools(&ask.tools)
        });
        Self {
            events,
            app: Arc::clone(app),
            waited,
            parser,
            rendered: ask.rendered,
            waiting: VecDeque::new(),
            began,
            refitted,
            calls: 0,
            heard,
            ended: false,
        }
    }

    /// The next part; `None` after the end.
    pub(crate) async fn next(&mut self) -> Option<Result<Item, ApiError>> {
        loop {
            if let Some(item) = self.waiting.pop_front() {
                return Some(Ok(item));
            }
            if self.ended {
                return None;
            }
            match self.events.recv().await? {
                Event::Text(text) => self.take(&text, None),
                Event::Token(token) => {
                    let logprob = logprob(&token);
                    self.take(&token.text, Some(logprob));
                }
                Event::Finished(finished) => self.finish(*finished),
                Event::Failed(failure) => {
                    self.ended = true;
                    self.app.metrics.failed();
                    return Some(Err(failure.into()));
                }
            }
        }
    }

    /// The whole answer.
    pub(crate) async fn whole(mut self) -> Result<(Chunk, End), ApiError> {
        let mut all = Chunk::default();
        while let Some(item) = self.next().await {
            match item? {
                Item::Chunk(chunk) => all.append(chunk),
                Item::End(end) => return Ok((all, *end)),
            }
        }
        Err(ApiError::internal("the answer broke off"))
    }

    fn take(&mut self, text: &str, logprob: Option<Logprob>) {
        let parts = match &mut self.parser {
            Some(parser) => parser.push(text),
            None => vec![AnswerPart::Content(text.to_owned())],
        };
        let mut chunk = self.chunk(parts);
        chunk.logprobs.extend(logprob);
        if !chunk.is_empty() {
            self.waiting.push_back(Item::Chunk(chunk));
        }
    }

    fn chunk(&mut self, parts: Vec<AnswerPart>) -> Chunk {
        let mut chunk = Chunk::default();
        for part in parts {
            match part {
                AnswerPart::Content(text) => chunk.content.push_str(&text),
                AnswerPart::Thinking(text) => chunk.thinking.push_str(&text),
                AnswerPart::ToolCall(call) => {
                    let index = self.calls;
                    self.calls += 1;
                    chunk.tool_calls.push(ToolCall {
                        id: call.id.unwrap_or_else(|| id::random("call_", 8)),
                        function: CalledFunction {
                            index,
                            name: call.name,
                            arguments: call.arguments,
                            description: None,
                        },
                        kind: None,
                    });
                }
                AnswerPart::Malformed { text, error } => {
                    self.heard.warn(error.to_string());
                    chunk.content.push_str(&text);
                }
                _ => {}
            }
        }
        chunk
    }

    fn finish(&mut self, finished: wire::Finished) {
        self.ended = true;
        if let Some(parser) = &mut self.parser {
            let parts = parser.finish();
            let chunk = self.chunk(parts);
            if !chunk.is_empty() {
                self.waiting.push_back(Item::Chunk(chunk));
            }
        }
        self.app.metrics.answered(&finished);
        let (reason, stop) = match finished.reason {
            Reason::End | Reason::Complete => ("stop", None),
            Reason::Stop(text) => ("stop", Some(text)),
            Reason::Limit | Reason::Full => ("length", None),
        };
        if finished.complete == Some(false) {
            self.heard.warn(match reason {
                "length" => "the JSON is not complete: the answer reached its limit".to_owned(),
                _ => "the JSON is not complete".to_owned(),
            });
        }
        let dropped = self.rendered.messages_in(&finished.dropped_groups);
        let (mut dropped, mut before) = match dropped {
            0 => (0, 0),
            dropped => (dropped, finished.submitted_tokens),
        };
        if let Some(refitted) = &self.refitted {
            (dropped, before) = (refitted.dropped_messages, refitted.tokens_before);
        }
        if finished.dropped_groups.is_empty() && finished.dropped_tokens > 0 {
            self.heard.warn(format!(
                "the window moved on: {} tokens were dropped",
                finished.dropped_tokens
            ));
        }
        let metrics = Metrics {
            total_duration: nanos(self.began.elapsed()),
            load_duration: nanos(self.waited.max(Duration::from_nanos(1))),
            prompt_eval_count: finished.prompt_tokens,
            prompt_cached_count: finished.cached_tokens,
            prompt_eval_duration: finished.prompt,
            eval_count: finished.generated_tokens,
            eval_duration: finished.generation,
        };
        let notes = Notes {
            warnings: std::mem::take(&mut self.heard.warnings),
            dropped_messages: dropped,
            prompt_tokens_before: before,
            seed: Some(finished.seed),
        };
        self.waiting.push_back(Item::End(Box::new(End {
            reason,
            stop,
            metrics,
            notes,
            tokens: finished.tokens,
        })));
    }
}

fn logprob(token: &wire::Token) -> Logprob {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let top = token.top.iter().map(|scored| TopLogprob {
        token: text(&scored.bytes),
        logprob: scored.logprob.into(),
        bytes: scored.bytes.clone(),
    });
    Logprob {
        token: text(&token.this.bytes),
        logprob: token.this.logprob.into(),
        bytes: token.this.bytes.clone(),
        top_logprobs: top.collect(),
    }
}
