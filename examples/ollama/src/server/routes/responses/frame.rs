//! What a response tells around its items.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use crate::api::responses::ResponsesRequest;
use crate::server::clock;
use crate::server::error::ApiError;
use crate::server::id;
use crate::server::infer::End;
use crate::server::routes::notes::add_notes;

/// A response without its items.
pub(super) struct Frame {
    /// What it repeats of the request, and what all its states have in common.
    base: Map<String, Value>,
}

impl Frame {
    pub(super) fn new(request: &ResponsesRequest) -> Self {
        let format = request.text.as_ref().and_then(|text| text.format.as_ref());
        let format = format.map_or_else(|| json!({ "type": "text" }), |format| json!(format));
        let reasoning = request
            .reasoning
            .as_ref()
            .map(|reasoning| json!({ "effort": reasoning.effort, "summary": reasoning.summary }));
        let number = |value: &Option<Value>| value.as_ref().and_then(Value::as_f64).unwrap_or(1.0);
        let base = json!({
            "id": id::random("resp_", 24),
            "object": "response",
            "created_at": clock::unix(SystemTime::now()),
            "completed_at": null,
            "status": "in_progress",
            "incomplete_details": null,
            "model": request.model,
            "previous_response_id": null,
            "instructions": request.instructions,
            "output": [],
            "error": null,
            "tools": request.tools,
            "tool_choice": request.tool_choice.clone().unwrap_or_else(|| json!("auto")),
            "truncation": request.truncation.as_deref().unwrap_or("disabled"),
            "parallel_tool_calls": request.parallel_tool_calls.unwrap_or(true),
            "text": { "format": format },
            "top_p": number(&request.top_p),
            "presence_penalty": 0,
            "frequency_penalty": 0,
            "top_logprobs": request.top_logprobs,
            "temperature": number(&request.temperature),
            "reasoning": reasoning,
            "usage": null,
            "max_output_tokens": request.max_output_tokens,
            "max_tool_calls": null,
            "store": false,
            "background": false,
            "service_tier": "default",
            "metadata": request.metadata.clone().unwrap_or_default(),
            "safety_identifier": null,
            "prompt_cache_key": null,
        });
        let base = match base {
            Value::Object(base) => base,
            _ => Map::new(),
        };
        Self { base }
    }

    /// While it is written.
    pub(super) fn begun(&self) -> Value {
        Value::Object(self.base.clone())
    }

    /// With all its items.
    pub(super) fn ended(&self, items: &[Value], end: &End) -> Value {
        let metrics = &end.metrics;
        let mut response = self.begun();
        response["status"] = json!(status(end));
        if !is_complete(end) {
            response["incomplete_details"] = json!({ "reason": "max_output_tokens" });
        }
        response["completed_at"] = json!(clock::unix(SystemTime::now()));
        response["output"] = json!(items);
        response["usage"] = json!({
            "input_tokens": metrics.prompt_eval_count,
            "input_tokens_details": { "cached_tokens": metrics.prompt_cached_count },
            "output_tokens": metrics.eval_count,
            "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": metrics.prompt_eval_count + metrics.eval_count,
        });
        add_notes(&mut response, &end.notes);
        response
    }

    pub(super) fn failed(&self, error: &ApiError) -> Value {
        let mut response = self.begun();
        response["status"] = json!("failed");
        response["error"] = json!({ "code": "server_error", "message": error.message });
        response
    }
}

fn is_complete(end: &End) -> bool {
    end.reason != "length"
}

/// What an answer with this end is called, and the item that it ended in.
pub(super) fn status(end: &End) -> &'static str {
    match is_complete(end) {
        true => "completed",
        false => "incomplete",
    }
}
