//! What the documentation of [`AnswerParser`] promises, rule by rule.

use llamakit::chat::{AnswerFormat, AnswerParser, AnswerPart, CallError, CallFormat, ThinkingTags};
use serde_json::json;

use super::shared::{call, check, hermes, malformed, said, thought, tools};

fn parser(calls: CallFormat) -> AnswerParser {
    AnswerParser::new(&AnswerFormat::new(calls)).tools(&tools())
}

#[test]
fn text_is_given_out_as_soon_as_it_is_certain() {
    let mut parser = AnswerParser::new(&hermes());
    assert_eq!(parser.push("<thi"), []);
    assert_eq!(parser.push("nk>\n"), []);
    assert_eq!(parser.push("Hm"), [thought("Hm")]);
    assert_eq!(parser.push(" </th"), [thought(" ")]);
    assert_eq!(parser.push("e>"), [thought("</the>")]);
    assert_eq!(parser.push("</think>\n\n"), []);
    assert_eq!(parser.push("Blue is "), [said("Blue is")]);
    assert_eq!(parser.push("<b>x</b> <tool"), [said(" <b>x</b>")]);
    assert_eq!(parser.push("s>"), [said(" <tools>")]);
    assert_eq!(parser.push(" \n"), []);
    assert_eq!(parser.push("<tool_call>{\"name\": \"ping\"}"), []);
    assert_eq!(parser.push("</tool_call>"), [call("ping", json!({}))]);
    assert_eq!(parser.push("\nDone. "), [said("Done.")]);
    assert_eq!(parser.finish(), [said(" ")]);
    assert_eq!(parser.push("<think>again"), [thought("again")]);
}

#[test]
fn whitespace_before_the_first_tag_stays_where_no_tag_follows() {
    assert_eq!(
        check(&AnswerParser::new(&hermes()), "\n Blue."),
        [said("\n Blue.")]
    );
    let parts = check(&AnswerParser::new(&hermes()), " \n<think> a </think> b ");
    assert_eq!(parts, [thought("a "), said("b ")]);
}

#[test]
fn thoughts_count_until_something_was_said_and_between_calls() {
    let parser = AnswerParser::new(&hermes());
    let two = "<think>a</think><think>b</think>c<think>d</think>";
    assert_eq!(
        check(&parser, two),
        [thought("ab"), said("c<think>d</think>")]
    );
    let ping = "<tool_call>{\"name\": \"ping\"}</tool_call>";
    assert_eq!(
        check(&parser, &format!("{ping}<think>a</think>{ping}")),
        [
            call("ping", json!({})),
            thought("a"),
            call("ping", json!({}))
        ]
    );
}

#[test]
fn a_prompt_that_begins_the_thoughts_is_known_by_its_end() {
    let format = hermes().after_prompt("<|im_start|>assistant\n<think>\n");
    let parser = AnswerParser::new(&format);
    assert_eq!(check(&parser, "\na</think>b"), [thought("a"), said("b")]);
    // Some models begin the thoughts once more.
    assert_eq!(
        check(&parser, "<think>\na</think>b"),
        [thought("a"), said("b")]
    );
    assert_eq!(check(&parser, "a<think>"), [thought("a<think>")]);
    let closed = hermes().after_prompt("assistant\n<think>\n\n</think>\n\n");
    assert_eq!(check(&AnswerParser::new(&closed), "b"), [said("b")]);
    let inside = hermes().begin_in_thinking(true);
    assert_eq!(
        check(&AnswerParser::new(&inside), "a</think>b"),
        [thought("a"), said("b")]
    );
}

#[test]
fn sentences_can_be_around_thoughts() {
    let format = AnswerFormat::detect("… Here is my thought process: … Here is my response: …");
    let parser = AnswerParser::new(&format);
    let text = "Here is my thought process: easy.\nHere is my response:\n\nBlue.";
    assert_eq!(check(&parser, text), [thought("easy.\n"), said("Blue.")]);
    let text = "Here's my thought process:\neasy.\nHere's my response: Blue.";
    assert_eq!(check(&parser, text), [thought("easy.\n"), said("Blue.")]);
}

#[test]
fn calls_within_thoughts_are_calls_and_the_thoughts_go_on() {
    let text =
        "<think>I use <tool_call> tags. <tool_call>{\"name\": \"ping\"}</tool_call> ok</think>b";
    assert_eq!(
        check(&AnswerParser::new(&hermes()), text),
        [
            thought("I use <tool_call> tags. "),
            call("ping", json!({})),
            thought("ok"),
            said("b")
        ]
    );
}

#[test]
fn a_marker_without_call_is_text() {
    for (format, text) in [
        (CallFormat::Hermes, "Write <tool_call> and </tool_call>."),
        (CallFormat::Hermes, "<tool_call><tool_call> <tool_call>x"),
        (CallFormat::Qwen3Coder, "<tool_call>\nno<function=\n>"),
        (
            CallFormat::Glm,
            "The <tool_call> tag is followed by a name.",
        ),
        (CallFormat::Mistral, "[TOOL_CALLS]? What is that?"),
        (CallFormat::MistralArgs, "[TOOL_CALLS] are tools"),
        (CallFormat::CommandR, "Action: ```python\nx\n```"),
        (CallFormat::CommandR, "An Action: ```json\n[]\n```"),
        (
            CallFormat::Functools,
            "import functools\nfunctools.reduce(f, [])",
        ),
        (CallFormat::Llama, "<|python_tag|>print(1)"),
        (
            CallFormat::Olmo,
            "<function_calls>are fine</function_calls>",
        ),
        (
            CallFormat::MiniMax,
            "<minimax:tool_call>x</minimax:tool_call>",
        ),
        (CallFormat::Gemma4, "<|tool_call>what?<tool_call|>"),
        (CallFormat::Kimi, "<|tool_calls_section_begin|>nothing"),
        (
            CallFormat::DeepSeekV3,
            "<｜tool▁calls▁begin｜>\n\nfunction\n\nx",
        ),
        (CallFormat::Harmony, "to be or not to be"),
        (CallFormat::Harmony, "<|channel|><|end|> x"),
    ] {
        let parts = check(&parser(format.clone()), text);
        let plain = parts
            .iter()
            .all(|part| matches!(part, AnswerPart::Content(_)));
        assert!(plain, "{format:?}: {parts:?}");
        if format != CallFormat::Harmony {
            assert_eq!(parts, [said(text)], "{format:?}");
        }
    }
}

#[test]
fn json_that_is_no_call_is_text_and_is_not_held_back() {
    for format in [CallFormat::Json, CallFormat::Llama] {
        let mut parser = parser(format.clone());
        assert_eq!(parser.push("{\"answer\""), [said("{\"answer\"")]);
        assert_eq!(parser.push(": 1}"), [said(": 1}")]);
        assert_eq!(parser.finish(), []);
        assert_eq!(
            parser.push("{\"name\": \"Alice\""),
            [said("{\"name\": \"Alice\"")]
        );
        for text in [
            "{\"name\": \"Alice\", \"parameters\": {}}",
            "[1, 2]",
            "{}",
            "{\"type\": \"point\", \"x\": 1}",
            "x {\"name\": \"ping\", \"parameters\": {}}",
        ] {
            let parser = self::parser(format.clone());
            assert_eq!(check(&parser, text), [said(text)], "{format:?}");
            let any = AnswerParser::new(&AnswerFormat::new(format.clone()));
            if !text.contains("name") {
                assert_eq!(check(&any, text), [said(text)], "{format:?}");
            }
        }
    }
    let mut parser = parser(CallFormat::LlamaPythonic);
    assert_eq!(parser.push("[link]"), [said("[link]")]);
    assert_eq!(parser.finish(), []);
    assert_eq!(parser.push("[launch("), [said("[launch(")]);
}

#[test]
fn what_is_no_call_any_more_is_malformed_up_to_the_next_marker() {
    let parts = check(
        &parser(CallFormat::Hermes),
        "a <tool_call>{\"name\": \"ping\", \"arguments\": {</tool_call> b \
         <tool_call>{\"name\" 1</x>, <tool_call>{\"name\": \"ping\"}</tool_call>",
    );
    assert_eq!(parts.len(), 5, "{parts:?}");
    assert_eq!(parts[0], said("a"));
    let (text, error) = malformed(&parts[1]);
    assert_eq!(
        text,
        "<tool_call>{\"name\": \"ping\", \"arguments\": {</tool_call>"
    );
    assert!(matches!(error, CallError::Invalid(_)), "{error}");
    assert_eq!(parts[2], said("b"));
    assert_eq!(malformed(&parts[3]).0, "<tool_call>{\"name\" 1</x>, ");
    assert_eq!(parts[4], call("ping", json!({})));

    let parts = check(
        &parser(CallFormat::Qwen3Coder),
        "<tool_call>\n<function=write>\n<parameter=text>x</function>\n</tool_call>",
    );
    assert_eq!(malformed(&parts[0]).1, &CallError::Unfinished);
    let parts = check(
        &parser(CallFormat::Qwen3Coder),
        "<tool_call>\n<function=write>\noops</function>\n</tool_call>\nb",
    );
    assert_eq!(parts.len(), 2, "{parts:?}");
    assert_eq!(
        malformed(&parts[0]).0,
        "<tool_call>\n<function=write>\noops</function>"
    );
    assert_eq!(parts[1], said("b"));
}

#[test]
fn one_of_several_calls_can_be_wrong() {
    let parts = check(
        &parser(CallFormat::Mistral),
        r#"[TOOL_CALLS][{"name": "ping"}, {"name": "launch"}, 7, {"name": "write", "arguments": 1}]"#,
    );
    assert_eq!(parts[0], call("ping", json!({})));
    assert_eq!(
        malformed(&parts[1]),
        (
            r#"{"name": "launch"}"#,
            &CallError::UnknownTool("launch".to_owned())
        )
    );
    assert_eq!(malformed(&parts[2]).0, "7");
    assert_eq!(
        malformed(&parts[3]).0,
        r#"{"name": "write", "arguments": 1}"#
    );
    assert_eq!(parts.len(), 4);
}

#[test]
fn harmony_messages_are_told_apart() {
    let parser = parser(CallFormat::Harmony);
    let text = "<|channel|>analysis<|message|>Hm. <|end|><|start|>assistant<|channel|>commentary\
                <|message|>I look.<|end|><|start|>assistant to=functions.ping<|channel|>commentary \
                json<|message|>{}<|call|>";
    let parts = check(&parser, text);
    assert_eq!(
        parts,
        [thought("Hm. "), said("I look."), call("ping", json!({}))]
    );
    let text = "<|channel|>commentary to=functions.write<|message|>{\"text\": \"<|call|>\"}";
    assert_eq!(
        check(&parser, text),
        [call("write", json!({"text": "<|call|>"}))]
    );
    let text = "<|channel|>commentary to=functions.write<|message|>{\"text\": 1";
    assert_eq!(
        malformed(&check(&parser, text)[0]).1,
        &CallError::Unfinished
    );
    let text = "<|channel|>commentary to=functions.wri";
    assert_eq!(
        malformed(&check(&parser, text)[0]),
        (text, &CallError::Unfinished)
    );

    let format = AnswerFormat::new(CallFormat::Harmony);
    for (prompt, text, parts) in [
        (
            "<|start|>assistant",
            "<|channel|>final<|message|>a",
            vec![said("a")],
        ),
        (
            "<|start|>assistant<|channel|>analysis<|message|>",
            "a",
            vec![thought("a")],
        ),
        (
            "<|start|>assistant<|channel|>analysis<|message|>x",
            "a",
            vec![thought("a")],
        ),
        (
            "<|start|>assistant<|channel|>final",
            "<|message|>a",
            vec![said("a")],
        ),
        (
            "<|start|>assistant<|channel|>analysis",
            "<|message|>a",
            vec![thought("a")],
        ),
        (
            "<|start|>user<|message|>x<|end|>",
            "<|start|>assistant<|channel|>final<|message|>a",
            vec![said("a")],
        ),
    ] {
        let parser = AnswerParser::new(&format.clone().after_prompt(prompt));
        assert_eq!(check(&parser, text), parts, "{prompt}");
    }
}

#[test]
fn unknown_tools_can_be_accepted_and_none_switch_calls_off() {
    let text = "<tool_call>{\"name\": \"launch\"}</tool_call>";
    let parser = AnswerParser::new(&hermes());
    let known = parser.clone().tools(&tools());
    let part = check(&known, text).remove(0);
    assert_eq!(
        malformed(&part),
        (text, &CallError::UnknownTool("launch".to_owned()))
    );
    let calls = [call("launch", json!({}))];
    assert_eq!(check(&known.accept_unknown(true), text), calls);
    assert_eq!(check(&parser, text), calls);
    assert_eq!(check(&parser.tools(&[]), text), [said(text)]);
}

#[test]
fn a_call_that_is_too_long_is_malformed_up_to_there() {
    let parser = AnswerParser::new(&hermes()).max_call_bytes(30);
    let text = "<tool_call>{\"name\": \"ping\", \"arguments\": {}}";
    let parts = check(&parser, text);
    let (part, error) = malformed(&parts[0]);
    assert_eq!(error, &CallError::TooLong);
    assert_eq!(part.len(), 31);
    assert_eq!(parts[1], said(text[31..].trim_start()));
}

#[test]
fn a_message_has_all_that_was_written() {
    let text = "<think>a</think>b<tool_call>{\"name\": \"ping\"}</tool_call><tool_call>{\"na";
    let parts = AnswerParser::new(&hermes()).parse_all(text);
    let message = AnswerPart::message(&parts);
    assert_eq!(message.role, "assistant");
    assert_eq!(message.thinking.as_deref(), Some("a"));
    assert_eq!(message.content, "b<tool_call>{\"na");
    assert_eq!(message.tool_calls.len(), 1);
}

#[test]
fn markers_are_what_the_text_must_contain() {
    let format = hermes();
    assert_eq!(
        format.markers(),
        ["<think>", "</think>", "<tool_call>", "</tool_call>"]
    );
    let json = AnswerFormat::new(CallFormat::Json);
    assert_eq!(json.markers(), Vec::<String>::new());
    let llama = AnswerFormat::new(CallFormat::Llama);
    assert_eq!(llama.markers(), ["<|python_tag|>"]);
    assert_eq!(llama.stops(), ["<|eom_id|>"]);
    let harmony = AnswerFormat::new(CallFormat::Harmony);
    assert!(harmony.markers().contains(&"<|channel|>".to_owned()));
    assert_eq!(harmony.stops(), ["<|call|>", "<|return|>"]);
}

#[test]
fn empty_tags_are_ignored() {
    let format =
        AnswerFormat::new(CallFormat::tagged("", "")).thinking([ThinkingTags::new("", "x")]);
    assert_eq!(format.markers(), Vec::<String>::new());
    assert_eq!(
        check(&AnswerParser::new(&format), "a x {}"),
        [said("a x {}")]
    );
}
