//! Any text as an answer, in any format and cut anywhere: the same parts as uncut, no byte lost.

#![no_main]

use libfuzzer_sys::fuzz_target;
use llamakit::chat::{AnswerFormat, AnswerParser, AnswerPart, CallFormat, ThinkingTags, Tool};

fn formats() -> [CallFormat; 27] {
    use CallFormat::*;
    [
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

// The first byte says the format, the second what is set, the third how the rest is cut.
fuzz_target!(|bytes: &[u8]| {
    let [which, options, cut, text @ ..] = bytes else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let calls = formats()[usize::from(*which) % formats().len()].clone();
    let format = AnswerFormat::new(calls)
        .thinking([
            ThinkingTags::new("<think>", "</think>"),
            ThinkingTags::new("<|channel>", "<channel|>"),
        ])
        .begin_in_thinking(options & 1 == 1);
    let mut parser = AnswerParser::new(&format).keep_markup(true);
    if options & 2 != 0 {
        let schema = serde_json::json!({"properties": {"a": {"type": "integer"}}});
        parser = parser.tools(&[Tool::function("f", "", schema)]);
    }
    if options & 4 != 0 {
        parser = parser.max_call_bytes(40);
    }
    let parts = parser.clone().parse_all(text);
    let whole: String = parts.iter().map(AnswerPart::text).collect();
    assert_eq!(whole, text);

    let mut streamed = Vec::new();
    let mut rest = text;
    let mut size = usize::from(*cut);
    while !rest.is_empty() {
        // From one character to eight, in an order that the third byte says.
        size = size.wrapping_mul(29).wrapping_add(7) % 256;
        let end = rest.char_indices().nth(size % 8 + 1);
        let (piece, left) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        rest = left;
        for part in parser.push(piece) {
            AnswerPart::merge(&mut streamed, part);
        }
    }
    for part in parser.finish() {
        AnswerPart::merge(&mut streamed, part);
    }
    assert_eq!(streamed, parts);
});
