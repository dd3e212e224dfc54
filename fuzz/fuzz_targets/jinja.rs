//! Any text as a Jinja template: parse it, and render small conversations without a panic, a hang or much
//! memory.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use llamakit::Origin;
use llamakit::chat::{ChatTemplate, Conversation, Message, SpecialTexts, Tool, ToolCall};
use serde_json::{Map, json};

static CONVERSATIONS: LazyLock<[Conversation; 2]> = LazyLock::new(|| {
    let hello = [
        Message::system("Be <|brief|>."),
        Message::user("Hello \u{1F98A} [INST]!"),
    ];
    let mut arguments = Map::new();
    arguments.insert("key".to_owned(), json!(["a", 1, 2.5, null, true]));
    let mut call = Message::assistant("Let me see.");
    call.thinking = Some("I think.".to_owned());
    call.tool_calls = vec![ToolCall::new("find", arguments)];
    let parameters = json!({"type": "object", "properties": {"key": {"type": "array"}}});
    let called = [
        Message::user("Find it."),
        call,
        Message::tool("find", "{\"found\": 1}"),
        Message::assistant("It is </s> that"),
    ];
    let mut called =
        Conversation::new(called).tools([Tool::function("find", "Finds.", parameters)]);
    called.continue_last_message = true;
    [Conversation::new(hello), called]
});

fuzz_target!(|source: &str| {
    let Ok(template) = ChatTemplate::jinja(source, &SpecialTexts::default()) else {
        return;
    };
    let template = template.time_limit(Duration::from_secs(5));
    let raw = template.clone().exact(true).raw(true);
    // Finding out what a template can do takes several renderings more.
    let often = source.len() % 4 > 0;
    let usual = template.exact(often);
    for conversation in &*CONVERSATIONS {
        let Ok(text) = raw.render(conversation) else {
            continue;
        };
        let Ok(segments) = usual.render_in_groups(conversation) else {
            continue;
        };
        let joined: String = segments
            .iter()
            .map(|segment| segment.text.as_str())
            .collect();
        if often {
            assert_eq!(joined, text[0].text);
        }
        if !source.contains("brie") {
            let template = segments.iter().filter(|part| part.origin == Origin::Template);
            let written: String = template.map(|part| part.text.as_str()).collect();
            assert!(!written.contains("<|brief|>"), "{segments:?}");
        }
    }
});
