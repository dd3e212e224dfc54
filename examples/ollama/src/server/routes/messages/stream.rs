//! An answer as this API's events.

use bytes::Bytes;
use serde_json::{Value, json};

use super::head::{Head, usage};
use crate::server::infer::{Chunk, End};
use crate::server::reply;
use crate::server::routes::notes::add_notes;

/// What kind of block is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Thinking,
    Text,
}

/// Writes an answer as this API's events.
pub(super) struct Writer {
    head: Head,
    open: Open,
    index: usize,
    calls: bool,
}

impl Writer {
    pub(super) fn new(head: Head) -> Self {
        Self {
            head,
            open: Open::Nothing,
            index: 0,
            calls: false,
        }
    }

    pub(super) fn begin(&self) -> Bytes {
        let message = self.head.message(Vec::new());
        reply::event(
            "message_start",
            &json!({ "type": "message_start", "message": message }),
        )
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open != Open::Nothing {
            let stop = json!({ "type": "content_block_stop", "index": self.index });
            out.extend_from_slice(&reply::event("content_block_stop", &stop));
            self.open = Open::Nothing;
            self.index += 1;
        }
    }

    fn start(&self, out: &mut Vec<u8>, block: Value) {
        let start =
            json!({ "type": "content_block_start", "index": self.index, "content_block": block });
        out.extend_from_slice(&reply::event("content_block_start", &start));
    }

    fn delta(&self, out: &mut Vec<u8>, delta: Value) {
        let delta = json!({ "type": "content_block_delta", "index": self.index, "delta": delta });
        out.extend_from_slice(&reply::event("content_block_delta", &delta));
    }

    pub(super) fn chunk(&mut self, chunk: &Chunk) -> Bytes {
        let mut out = Vec::new();
        if !chunk.thinking.is_empty() {
            if self.open != Open::Thinking {
                self.close(&mut out);
                self.start(
                    &mut out,
                    json!({ "type": "thinking", "thinking": "", "signature": "" }),
                );
                self.open = Open::Thinking;
            }
            self.delta(
                &mut out,
                json!({ "type": "thinking_delta", "thinking": chunk.thinking }),
            );
        }
        if !chunk.content.is_empty() {
            if self.open != Open::Text {
                self.close(&mut out);
                self.start(&mut out, json!({ "type": "text", "text": "" }));
                self.open = Open::Text;
            }
            self.delta(
                &mut out,
                json!({ "type": "text_delta", "text": chunk.content }),
            );
        }
        for call in &chunk.tool_calls {
            self.calls = true;
            self.close(&mut out);
            let block = json!({ "type": "tool_use", "id": call.id, "name": call.function.name, "input": {} });
            self.start(&mut out, block);
            let arguments = call.function.arguments_text();
            self.delta(
                &mut out,
                json!({ "type": "input_json_delta", "partial_json": arguments }),
            );
            // It is closed like the others.
            self.open = Open::Text;
            self.close(&mut out);
        }
        out.into()
    }

    pub(super) fn end(&mut self, end: &End) -> Bytes {
        let mut out = Vec::new();
        self.close(&mut out);
        let (reason, sequence) = self.head.stop_reason(end, self.calls);
        let mut delta = json!({
            "type": "message_delta",
            "delta": { "stop_reason": reason, "stop_sequence": sequence },
            "usage": usage(end),
        });
        add_notes(&mut delta, &end.notes);
        out.extend_from_slice(&reply::event("message_delta", &delta));
        out.extend_from_slice(&reply::event(
            "message_stop",
            &json!({ "type": "message_stop" }),
        ));
        out.into()
    }
}
