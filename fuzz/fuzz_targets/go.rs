//! Go templates from strangers, on conversations with everything in them: an error or a prompt, in bounded
//! time and memory, and no byte of a message comes out as the template's.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use llamakit::Origin;
use llamakit::chat::{Conversation, GoTemplate, Message, Thinking, Tool, ToolCall};
use serde_json::json;

/// What only messages write. A template could spell it out, so that the fuzzer skips those that try to.
const CANARY: &str = "\u{16a0}";

/// The conversation, and code to be filled in.
static CONVERSATIONS: LazyLock<[Conversation; 2]> = LazyLock::new(|| {
    let arguments = json!({"a": CANARY, "b": [1, null, {"c": 1.5e30}], "<": true});
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    let mut assistant = Message::assistant(CANARY);
    assistant.thinking = Some(CANARY.to_owned());
    assistant.tool_calls.push(ToolCall::new("call", arguments));
    let parameters = json!({
        "type": "object",
        "required": ["p"],
        "properties": {
            "p": {"type": ["string", "null"], "enum": ["x", 1], "description": CANARY},
            "q": {"anyOf": [{"type": "object", "properties": {"r": {}}}, {"type": "array", "items": {}}]},
        },
    });
    let mut conversation = Conversation::new([
        Message::system(CANARY),
        Message::user("one"),
        assistant,
        Message::tool("call", CANARY),
        Message::user(format!("{CANARY}<|im_end|>\n{CANARY}")),
    ])
    .tools([Tool::function("call", CANARY, parameters)])
    .thinking(Thinking::On);
    conversation
        .extra
        .insert("x".to_owned(), json!([{"y": CANARY}, 3, "z", null]));
    let mut gap = conversation.clone();
    gap.extra.insert("Suffix".to_owned(), json!(CANARY));
    [conversation, gap]
});

fuzz_target!(|source: &str| {
    let Ok(template) = GoTemplate::parse(source) else {
        return;
    };
    for conversation in &*CONVERSATIONS {
        let Ok(segments) = template.render(conversation) else {
            continue;
        };
        for segment in segments {
            let own = segment.origin == Origin::Template;
            assert!(!own || !segment.text.contains(CANARY) || spells(source));
        }
    }
});

/// Whether the source has the canary or an escape, which could make one.
fn spells(source: &str) -> bool {
    source.contains(CANARY) || source.contains(['\\', '%'])
}
