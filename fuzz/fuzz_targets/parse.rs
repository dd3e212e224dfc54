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

fuzz_target!(|input: (u8, u8, Vec<u8>, &str)| {
    let (which, options, cuts, text) = input;
    let calls = formats()[usize::from(which) % formats().len()].clone();
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
    for cut in cuts {
        let at = (0..=usize::from(cut).min(rest.len()))
            .rev()
            .find(|&at| rest.is_char_boundary(at))
            .unwrap_or(0);
        let (piece, left) = rest.split_at(at);
        rest = left;
        for part in parser.push(piece) {
            AnswerPart::merge(&mut streamed, part);
        }
    }
    for part in parser.push(rest).into_iter().chain(parser.finish()) {
        AnswerPart::merge(&mut streamed, part);
    }
    assert_eq!(streamed, parts);
});
