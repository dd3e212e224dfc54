//! What replies of both routes have in common, and whole ones.

use std::time::SystemTime;

use axum::response::Response;
use serde_json::{Value, json};

use super::stream::stream;
use crate::api::openai::StreamOptions;
use crate::server::clock;
use crate::server::error::ApiError;
use crate::server::id;
use crate::server::infer::{Answering, Chunk, End};
use crate::server::reply;
use crate::server::routes::notes::add_notes;

const FINGERPRINT: &str = "fp_ollama";

/// How a route words one answer.
pub(super) trait Wording: Send + 'static {
    /// What ids begin with.
    const ID: &'static str;
    /// What a whole reply is called.
    const WHOLE: &'static str;
    /// What a piece of a stream is called.
    const PIECE: &'static str;

    /// A choice with the whole answer.
    fn whole(&mut self, chunk: &Chunk) -> Value;

    /// A choice with a part of the answer.
    fn part(&mut self, chunk: &Chunk, first: bool) -> Value;

    /// A choice with nothing but the end of the answer.
    fn end(&self) -> Value;
}

/// What all pieces of a reply have in common.
#[derive(Debug, Clone)]
pub(super) struct Head {
    id: String,
    created: u64,
    model: String,
    /// How many answers there are to each prompt.
    answers: usize,
}

impl Head {
    pub(super) fn new<W: Wording>(model: String, answers: usize) -> Self {
        Self {
            id: id::random(W::ID, 12),
            created: clock::unix(SystemTime::now()),
            model,
            answers,
        }
    }

    pub(super) fn object(&self, kind: &str, choices: &[Value]) -> Value {
        json!({
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
            "choices": choices,
        })
    }

    /// A reply that shows the prompt instead of answering it.
    pub(super) fn prompt<W: Wording>(&self, text: &str) -> Result<Response, ApiError> {
        let mut answer = self.object(W::WHOLE, &[]);
        answer["_debug_info"] = json!({ "rendered_template": text });
        reply::json(&answer)
    }

    /// The tokens that the answers took.
    pub(super) fn usage(&self, ends: &[End]) -> Value {
        let sum = |of: fn(&End) -> u64| ends.iter().map(of).sum::<u64>();
        // Several answers to one prompt share it.
        let answers = self.answers.max(1) as u64;
        let prompt = sum(|end| end.metrics.prompt_eval_count) / answers;
        let cached = sum(|end| end.metrics.prompt_cached_count) / answers;
        let completion = sum(|end| end.metrics.eval_count);
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": { "cached_tokens": cached },
        })
    }
}

/// A choice that has its number and, at its end, why it ended.
pub(super) fn numbered(mut choice: Value, index: usize, reason: Option<&str>) -> Value {
    choice["index"] = json!(index);
    choice["finish_reason"] = json!(reason);
    choice
}

pub(super) fn finish_reason(end: &End, calls: bool) -> &'static str {
    match end.reason {
        "stop" if calls => "tool_calls",
        reason => reason,
    }
}

/// Sends answers that have begun: each part as it comes, or all at once.
pub(super) async fn send<W: Wording>(
    head: Head,
    begun: Vec<(Answering, W)>,
    streams: bool,
    options: Option<StreamOptions>,
) -> Result<Response, ApiError> {
    if streams {
        let include_usage = options.is_some_and(|options| options.include_usage);
        return stream(head, begun, include_usage).await;
    }
    let whole = begun.into_iter().map(|(answering, wording)| async move {
        let (chunk, end) = answering.whole().await?;
        Ok::<_, ApiError>((wording, chunk, end))
    });
    let (mut choices, mut ends) = (Vec::new(), Vec::new());
    for (mut wording, chunk, end) in futures_util::future::try_join_all(whole).await? {
        let reason = finish_reason(&end, !chunk.tool_calls.is_empty());
        choices.push(numbered(wording.whole(&chunk), choices.len(), Some(reason)));
        ends.push(end);
    }
    let mut answer = head.object(W::WHOLE, &choices);
    answer["usage"] = head.usage(&ends);
    if let Some(end) = ends.first() {
        add_notes(&mut answer, &end.notes);
    }
    reply::json(&answer)
}
