//! Answers that try to cost time, memory or a panic, in every format.

use llamakit::chat::{AnswerFormat, AnswerParser, AnswerPart, CallFormat, ThinkingTags};
use proptest::prelude::*;

use super::shared::{check, formats, hermes, streamed, tools};

fn parser(calls: CallFormat) -> AnswerParser {
    let tags = [
        ThinkingTags::new("<think>", "</think>"),
        ThinkingTags::new("[THINK]", "[/THINK]"),
    ];
    let format = AnswerFormat::new(calls).thinking(tags);
    AnswerParser::new(&format).tools(&tools())
}

/// What a format's calls begin with, so that what follows is read as one.
fn beginnings(calls: &CallFormat) -> Vec<&'static str> {
    let mut all = vec!["", "<think>"];
    all.push(match calls {
        CallFormat::Hermes => "<tool_call>{\"name\": \"ping\", \"arguments\": ",
        CallFormat::Qwen3Coder => "<function=write><parameter=text>",
        CallFormat::Glm => "<tool_call>write<arg_key>text</arg_key><arg_value>",
        CallFormat::MiniMax => {
            "<minimax:tool_call><invoke name=\"write\"><parameter name=\"text\">"
        }
        CallFormat::DeepSeekV31 => "<｜tool▁call▁begin｜>write<｜tool▁sep｜>{\"text\": ",
        CallFormat::Kimi => {
            "<|tool_call_begin|>functions.write:0<|tool_call_argument_begin|>{\"a\": "
        }
        CallFormat::Mistral => "[TOOL_CALLS][",
        CallFormat::Llama => "{\"name\": \"write\", \"parameters\": ",
        CallFormat::LlamaPythonic => "[write(text=",
        CallFormat::Olmo => "<function_calls>write(text=",
        CallFormat::Gemma4 => "<|tool_call>call:write{text:",
        CallFormat::Harmony => "<|channel|>commentary to=functions.write<|message|>",
        CallFormat::Json => "[{\"name\": \"write\", \"arguments\": ",
        _ => " ",
    });
    all
}

/// The parser keeps all of the text, also cut into pieces of that many characters.
fn holds(parser: &AnswerParser, text: &str, size: usize) {
    let parser = parser.clone().keep_markup(true);
    let parts = parser.clone().parse_all(text);
    let whole: usize = parts.iter().map(|part| part.text().len()).sum();
    assert_eq!(whole, text.len());
    let characters: Vec<char> = text.chars().collect();
    let pieces: Vec<String> = characters
        .chunks(size)
        .map(|c| c.iter().collect())
        .collect();
    assert!(streamed(&parser, pieces.iter().map(String::as_str)) == parts);
}

#[test]
fn long_repetitions_take_time_in_proportion() {
    for calls in formats() {
        let parser = parser(calls.clone());
        for beginning in beginnings(&calls) {
            for unit in [
                "<",
                "{",
                "[",
                "\"",
                "\\",
                "<tool_call>",
                " ",
                "<|",
                "a",
                "\n<think>",
            ] {
                let text = format!("{beginning}{}", unit.repeat(10_000 / unit.len()));
                holds(&parser, &text, 331);
            }
        }
    }
}

#[test]
fn megabytes_in_one_piece_or_by_the_character_are_read() {
    for unit in [
        "<",
        "<tool_call>{",
        "<tool_call>{\"name\": \"ping\"}</tool_call>",
        "Blue sky. ",
    ] {
        let text = unit.repeat((1 << 20) / unit.len());
        holds(&AnswerParser::new(&hermes()).tools(&tools()), &text, 1);
    }
}

#[test]
fn every_markers_own_repetition_is_read() {
    for calls in formats() {
        let format = AnswerFormat::new(calls.clone());
        for marker in format.markers() {
            for suffix in ["", "{", "x", "\n", "f(", "{\"name\": \"ping\", "] {
                let unit = format!("{marker}{suffix}");
                holds(&parser(calls.clone()), &unit.repeat(3_000 / unit.len()), 3);
            }
        }
    }
}

#[test]
fn depth_is_limited() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for (depth, fits) in [(40, true), (100, false), (100_000, false)] {
            let value = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let text = format!(
                "<tool_call>{{\"name\": \"ping\", \"arguments\": {{\"a\": {value}}}}}</tool_call>"
            );
            let parts = AnswerParser::new(&hermes()).parse_all(&text);
            let call = matches!(parts.first(), Some(AnswerPart::ToolCall(_)));
            assert_eq!(call, fits, "{depth} of {open}");
        }
    }
    let python = format!(
        "<function_calls>ping(a={})</function_calls>",
        "[".repeat(100_000)
    );
    let parts = AnswerParser::new(&AnswerFormat::new(CallFormat::Olmo)).parse_all(&python);
    assert!(matches!(parts[0], AnswerPart::Malformed { .. }));
}

#[test]
fn what_is_held_back_is_limited() {
    let mut parser = AnswerParser::new(&hermes()).max_call_bytes(1000);
    let mut given = 0;
    for _ in 0..100 {
        let parts = parser.push("<tool_call>{\"a\": \"                                        ");
        given += parts.iter().map(|part| part.text().len()).sum::<usize>();
    }
    assert!(given > 50 * 57 - 2000, "{given}");
    let mut parser = AnswerParser::new(&hermes());
    let spaces = parser.push(&" ".repeat(100_000));
    assert!(spaces.iter().map(|part| part.text().len()).sum::<usize>() > 90_000);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    /// Pieces of calls in any order.
    #[test]
    fn pieces_of_calls_in_any_order_are_cut_without_a_difference(
        which in 0usize..27,
        seed in proptest::collection::vec(0usize..1000, 0..14),
    ) {
        let calls = formats()[which].clone();
        let markers = AnswerFormat::new(calls.clone()).thinking([
            ThinkingTags::new("<think>", "</think>"),
        ]).markers();
        let others = [
            "{\"name\": \"ping\", \"arguments\": {}}", "ping", "{}", "ping()", "[", "]", "{", "}",
            "\"", " ", "\n", "é", "```", "call:ping", "(", ")", "'", ">", "function", ":0", "true",
            "{\"text\": \"</tool_call>\"}", "analysis", "commentary to=functions.ping", ";", "a=1",
        ];
        let text: String = seed
            .iter()
            .map(|&n| {
                let n = n % (2 * markers.len() + others.len());
                match markers.get(n / 2) {
                    Some(marker) => marker.as_str(),
                    None => others[(n - 2 * markers.len()) % others.len()],
                }
            })
            .collect();
        check(&parser(calls), &text);
    }
}
