//! The language: small templates are rendered as Jinja2 renders them, and fail where it fails.

use llamakit::chat::{ChatTemplate, Conversation, SpecialTexts};

use crate::common::{CLOCK, golden, joined, json};

#[test]
fn small_templates_render_what_jinja2_renders() {
    let record = json(&golden().join("snippets.json"));
    let mut conversation = Conversation::new([]);
    conversation.clock = Some(CLOCK);
    let mut failures = Vec::new();
    for (source, expected) in record.as_object().unwrap() {
        let rendered = ChatTemplate::jinja(source, &SpecialTexts::default())
            .and_then(|template| template.render(&conversation))
            .map(|segments| joined(&segments));
        match (&rendered, expected["text"].as_str()) {
            (Ok(text), Some(expected)) if text == expected => {}
            (Err(_), None) => {}
            _ => failures.push(format!("{source}\n   is {rendered:?}\n  not {expected}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
