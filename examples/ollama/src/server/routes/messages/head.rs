//! What replies have in common, and whole ones.

use serde_json::{Value, json};

use crate::server::infer::{Chunk, End};
use crate::server::routes::notes::add_notes;

/// The tokens that an answer took.
pub(super) fn usage(end: &End) -> Value {
    let metrics = &end.metrics;
    // This API counts cached tokens apart from the others.
    json!({
        "input_tokens": metrics.prompt_eval_count.saturating_sub(metrics.prompt_cached_count),
        "cache_read_input_tokens": metrics.prompt_cached_count,
        "cache_creation_input_tokens": 0,
        "output_tokens": metrics.eval_count,
    })
}

/// What is told of every answer.
pub(super) struct Head {
    pub id: String,
    pub model: String,
    /// Texts that the request says end the answer.
    pub stops: Vec<String>,
}

impl Head {
    /// The message with these blocks, before its end.
    pub(super) fn message(&self, content: Vec<Value>) -> Value {
        json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": null,
            "stop_sequence": null,
            "usage": { "input_tokens": 0, "output_tokens": 0 },
        })
    }

    /// Why it ended, and the text that ended it.
    pub(super) fn stop_reason<'e>(
        &self,
        end: &'e End,
        calls: bool,
    ) -> (&'static str, Option<&'e str>) {
        let stop = end
            .stop
            .as_deref()
            .filter(|stop| self.stops.iter().any(|one| one == stop));
        match (end.reason, stop) {
            _ if calls => ("tool_use", None),
            (_, Some(stop)) => ("stop_sequence", Some(stop)),
            ("length", None) => ("max_tokens", None),
            _ => ("end_turn", None),
        }
    }

    /// The whole message.
    pub(super) fn whole(&self, chunk: &Chunk, end: &End) -> Value {
        let mut content = Vec::new();
        if !chunk.thinking.is_empty() {
            content
                .push(json!({ "type": "thinking", "thinking": chunk.thinking, "signature": "" }));
        }
        if !chunk.content.is_empty() {
            content.push(json!({ "type": "text", "text": chunk.content }));
        }
        for call in &chunk.tool_calls {
            content.push(json!({
                "type": "tool_use",
                "id": call.id,
                "name": call.function.name,
                "input": call.function.arguments,
            }));
        }
        let mut message = self.message(content);
        let (reason, sequence) = self.stop_reason(end, !chunk.tool_calls.is_empty());
        message["stop_reason"] = json!(reason);
        message["stop_sequence"] = json!(sequence);
        message["usage"] = usage(end);
        add_notes(&mut message, &end.notes);
        message
    }
}
