//! An answer as this API's events. A response that comes whole is what these have written at their end.

use bytes::Bytes;
use serde_json::{Value, json};

use super::frame::{Frame, status};
use crate::api::{Logprob, ToolCall};
use crate::server::error::ApiError;
use crate::server::id;
use crate::server::infer::{Chunk, End};
use crate::server::reply;

/// The item that is being written.
#[derive(Debug)]
enum Open {
    Nothing,
    Reasoning {
        id: String,
        text: String,
    },
    Message {
        id: String,
        text: String,
        logprobs: Vec<Logprob>,
    },
}

/// Writes an answer as this API's events, and keeps its items for the whole response.
pub(super) struct Writer {
    frame: Frame,
    open: Open,
    items: Vec<Value>,
    /// Tokens whose text has not come yet.
    waiting: Vec<Logprob>,
    sequence: u64,
    out: Vec<u8>,
}

impl Writer {
    pub(super) fn new(frame: Frame) -> Self {
        Self {
            frame,
            open: Open::Nothing,
            items: Vec::new(),
            waiting: Vec::new(),
            sequence: 0,
            out: Vec::new(),
        }
    }

    fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.out).into()
    }

    fn say(&mut self, kind: &str, mut data: Value) {
        data["type"] = json!(kind);
        data["sequence_number"] = json!(self.sequence);
        self.sequence += 1;
        self.out.extend_from_slice(&reply::event(kind, &data));
    }

    pub(super) fn begin(&mut self) -> Bytes {
        let response = self.frame.begun();
        self.say("response.created", json!({ "response": response }));
        self.say("response.in_progress", json!({ "response": response }));
        self.take()
    }

    pub(super) fn chunk(&mut self, chunk: &Chunk) -> Bytes {
        self.waiting.extend(chunk.logprobs.iter().cloned());
        let silent = chunk.thinking.is_empty() && chunk.tool_calls.is_empty();
        if chunk.content.is_empty() && !silent {
            // Log-probabilities are told of what is said alone.
            self.waiting.clear();
        }
        if !chunk.thinking.is_empty() {
            self.think(&chunk.thinking);
        }
        if !chunk.content.is_empty() {
            self.speak(&chunk.content);
        }
        for call in &chunk.tool_calls {
            self.close("completed");
            self.call(call);
        }
        self.take()
    }

    fn think(&mut self, thinking: &str) {
        if !matches!(self.open, Open::Reasoning { .. }) {
            self.close("completed");
            self.open_reasoning();
        }
        let index = self.items.len();
        if let Open::Reasoning { id, text } = &mut self.open {
            text.push_str(thinking);
            let data = json!({
                "item_id": id, "output_index": index, "summary_index": 0, "delta": thinking,
            });
            self.say("response.reasoning_summary_text.delta", data);
        }
    }

    fn speak(&mut self, content: &str) {
        if !matches!(self.open, Open::Message { .. }) {
            self.close("completed");
            self.open_message();
        }
        let index = self.items.len();
        if let Open::Message { id, text, logprobs } = &mut self.open {
            text.push_str(content);
            let data = json!({
                "item_id": id, "output_index": index, "content_index": 0,
                "delta": content, "logprobs": self.waiting,
            });
            logprobs.append(&mut self.waiting);
            self.say("response.output_text.delta", data);
        }
    }

    fn open_reasoning(&mut self) {
        let index = self.items.len();
        let id = id::random("rs_", 24);
        let item = json!({ "id": id, "type": "reasoning", "summary": [] });
        self.say(
            "response.output_item.added",
            json!({ "output_index": index, "item": item }),
        );
        let part = json!({ "type": "summary_text", "text": "" });
        self.say(
            "response.reasoning_summary_part.added",
            json!({ "item_id": id, "output_index": index, "summary_index": 0, "part": part }),
        );
        self.open = Open::Reasoning {
            id,
            text: String::new(),
        };
    }

    fn open_message(&mut self) {
        let index = self.items.len();
        let id = id::random("msg_", 24);
        let item = json!({
            "id": id, "type": "message", "status": "in_progress", "role": "assistant", "content": [],
        });
        self.say(
            "response.output_item.added",
            json!({ "output_index": index, "item": item }),
        );
        let part = json!({ "type": "output_text", "text": "", "annotations": [], "logprobs": [] });
        self.say(
            "response.content_part.added",
            json!({ "item_id": id, "output_index": index, "content_index": 0, "part": part }),
        );
        self.open = Open::Message {
            id,
            text: String::new(),
            logprobs: Vec::new(),
        };
    }

    fn call(&mut self, call: &ToolCall) {
        let index = self.items.len();
        let id = id::random("fc_", 24);
        let arguments = call.function.arguments_text();
        let item = |status: &str, arguments: &str| {
            json!({
                "id": id, "type": "function_call", "status": status, "call_id": call.id,
                "name": call.function.name, "arguments": arguments,
            })
        };
        let added = json!({ "output_index": index, "item": item("in_progress", "") });
        self.say("response.output_item.added", added);
        let delta = json!({ "item_id": id, "output_index": index, "delta": arguments });
        self.say("response.function_call_arguments.delta", delta);
        let done = json!({
            "item_id": id, "output_index": index, "name": call.function.name, "arguments": arguments,
        });
        self.say("response.function_call_arguments.done", done);
        let item = item("completed", &arguments);
        self.say(
            "response.output_item.done",
            json!({ "output_index": index, "item": item }),
        );
        self.items.push(item);
    }

    /// Ends the item that is open; a message ends with this status.
    fn close(&mut self, status: &str) {
        let index = self.items.len();
        let item = match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => return,
            Open::Reasoning { id, text } => {
                let done = json!({ "item_id": id, "output_index": index, "summary_index": 0, "text": text });
                self.say("response.reasoning_summary_text.done", done);
                let part = json!({ "type": "summary_text", "text": text });
                let done = json!({ "item_id": id, "output_index": index, "summary_index": 0, "part": part });
                self.say("response.reasoning_summary_part.done", done);
                json!({ "id": id, "type": "reasoning", "summary": [part], "encrypted_content": text })
            }
            Open::Message {
                id,
                text,
                mut logprobs,
            } => {
                logprobs.append(&mut self.waiting);
                let done = json!({
                    "item_id": id, "output_index": index, "content_index": 0, "text": text, "logprobs": logprobs,
                });
                self.say("response.output_text.done", done);
                let part = json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": logprobs });
                let done = json!({ "item_id": id, "output_index": index, "content_index": 0, "part": part });
                self.say("response.content_part.done", done);
                json!({
                    "id": id, "type": "message", "status": status, "role": "assistant", "content": [part],
                })
            }
        };
        self.say(
            "response.output_item.done",
            json!({ "output_index": index, "item": item }),
        );
        self.items.push(item);
    }

    /// Ends what is open; the whole response.
    pub(super) fn finish(&mut self, end: &End) -> Value {
        if self.items.is_empty() && matches!(self.open, Open::Nothing) {
            self.open_message();
        }
        self.close(status(end));
        self.frame.ended(&self.items, end)
    }

    pub(super) fn end(&mut self, end: &End) -> Bytes {
        let response = self.finish(end);
        let kind = format!("response.{}", status(end));
        self.say(&kind, json!({ "response": response }));
        self.take()
    }

    pub(super) fn failed(&mut self, error: &ApiError) -> Bytes {
        self.close("incomplete");
        let response = self.frame.failed(error);
        self.say("response.failed", json!({ "response": response }));
        self.take()
    }
}
