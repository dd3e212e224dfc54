//! What the tests of answers share.

use llamakit::chat::{
    AnswerFormat, AnswerParser, AnswerPart, CallError, CallFormat, ThinkingTags, Tool,
};
use serde_json::json;

/// Every format, with one that has markers of its own.
pub(crate) fn formats() -> Vec<CallFormat> {
    use CallFormat::*;
    vec![
        None,
        Hermes,
        Qwen3Coder,
        Glm,
        MiniMax,
        Seed,
        DeepSeekV3,
        DeepSeekV31,
        DeepSeekV32,
        Kimi,
        Mistral,
        MistralArgs,
        CommandR,
        CommandR7b,
        Granite,
        Llama,
        LlamaPythonic,
        Functools,
        Functionary,
        Apertus,
        Lfm2,
        Olmo,
        Gemma4,
        FunctionGemma,
        Harmony,
        Json,
        CallFormat::tagged("<TOOLCALL>", "</TOOLCALL>"),
    ]
}

/// The format of a name as in the golden files: that of its variant, and its markers.
pub(crate) fn format(name: &str) -> CallFormat {
    let mut words = name.split(' ');
    let variant = words.next().unwrap();
    if variant == "Tagged" {
        return CallFormat::tagged(words.next().unwrap(), words.next().unwrap());
    }
    let found = formats().into_iter().find(|f| format!("{f:?}") == variant);
    found.unwrap_or_else(|| panic!("no format is called {name}"))
}

pub(crate) fn hermes() -> AnswerFormat {
    AnswerFormat::new(CallFormat::Hermes).thinking([ThinkingTags::new("<think>", "</think>")])
}

pub(crate) fn tools() -> Vec<Tool> {
    vec![
        Tool::function(
            "get_weather",
            "The weather of the next days.",
            json!({
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city"],
                "additionalProperties": false,
            }),
        ),
        Tool::function(
            "search",
            "Searches.",
            json!({
                "type": "object",
                "properties": {
                    "query": {"type": "string"},
                    "options": {"type": "object", "properties": {"safe": {"type": "boolean"}}},
                    "tags": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["query"],
            }),
        ),
        Tool::function("ping", "", json!({"type": "object", "properties": {}})),
        Tool::function(
            "write",
            "",
            json!({"type": "object", "properties": {"text": {"type": "string"}}}),
        ),
    ]
}

/// The parts of pieces that come one after the other.
pub(crate) fn streamed<'a>(
    parser: &AnswerParser,
    pieces: impl IntoIterator<Item = &'a str>,
) -> Vec<AnswerPart> {
    let mut parser = parser.clone();
    let mut parts = Vec::new();
    for piece in pieces {
        for part in parser.push(piece) {
            AnswerPart::merge(&mut parts, part);
        }
    }
    for part in parser.finish() {
        AnswerPart::merge(&mut parts, part);
    }
    parts
}

/// Asserts what holds for every answer: cut in two anywhere or into characters it has the same
/// parts, and with their markup these are its text.
pub(crate) fn check(parser: &AnswerParser, text: &str) -> Vec<AnswerPart> {
    let parts = parser.clone().parse_all(text);
    for (at, _) in text.char_indices() {
        let (first, second) = text.split_at(at);
        assert_eq!(
            streamed(parser, [first, second]),
            parts,
            "{text:?} cut at {at}"
        );
    }
    let characters = text.split_inclusive(|_| true);
    assert_eq!(
        streamed(parser, characters),
        parts,
        "{text:?} in characters"
    );
    let kept = parser.clone().keep_markup(true).parse_all(text);
    let whole: String = kept.iter().map(AnswerPart::text).collect();
    assert_eq!(whole, text, "the texts of {kept:?}");
    parts
}

pub(crate) fn said(text: &str) -> AnswerPart {
    AnswerPart::Content(text.to_owned())
}

pub(crate) fn thought(text: &str) -> AnswerPart {
    AnswerPart::Thinking(text.to_owned())
}

/// A call without an id.
pub(crate) fn call(name: &str, arguments: serde_json::Value) -> AnswerPart {
    AnswerPart::ToolCall(llamakit::chat::ToolCall::new(
        name,
        arguments.as_object().unwrap().clone(),
    ))
}

pub(crate) fn malformed(part: &AnswerPart) -> (&str, &CallError) {
    match part {
        AnswerPart::Malformed { text, error } => (text, error),
        other => panic!("{other:?}"),
    }
}
