//! What the grammars of calls admit, walked at random.

use llamakit::chat::{
    AnswerFormat, AnswerParser, AnswerPart, CallFormat, ThinkingTags, Tool, ToolChoice,
};
use llamakit::{ErrorKind, Token};
use serde_json::json;

use super::shared::{formats, tools};
use super::walk::{Vocabulary, Walk, admits, walk};

fn answer_format(calls: CallFormat) -> AnswerFormat {
    let tags = [ThinkingTags::new("<think>", "</think>")];
    let format = AnswerFormat::new(calls.clone());
    if matches!(calls, CallFormat::Harmony) {
        format
    } else {
        format.thinking(tags)
    }
}

/// What ends texts that are not in quotes.
fn goals(format: &AnswerFormat) -> Vec<String> {
    let ends = [
        "/",
        "end",
        "END",
        "suffix",
        "escape",
        "\"",
        "<channel|>",
        "call|>",
    ];
    let mut goals = format.markers();
    goals.retain(|goal| ends.iter().any(|end| goal.contains(end)));
    goals.push("\n</parameter>".to_owned());
    goals
}

/// Tools whose arguments every format can write, and as many kinds of them as there are.
fn offered() -> Vec<Tool> {
    let mut tools = tools();
    tools.push(Tool::function(
        "book-it",
        "",
        json!({
            "type": "object",
            "properties": {
                "when": {"type": "string", "enum": ["now", "l'an prochain \"2\""]},
                "seats": {"type": "integer", "minimum": 1, "maximum": 99},
                "note": {"type": "string", "maxLength": 12},
                "class": {"$ref": "#/$defs/class"},
                "extras": {"type": "array", "items": {"$ref": "#/$defs/class"}, "maxItems": 2},
                "price": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                "comment": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "sure": {"type": "boolean"},
            },
            "required": ["when", "class", "sure"],
            "additionalProperties": false,
            "$defs": {"class": {"type": "string", "enum": ["first", "second"]}},
        }),
    ));
    tools
}

/// Asserts that a text consists of thoughts and calls of these tools that fit their schemas, and
/// returns how many.
fn calls(format: &AnswerFormat, tools: &[Tool], text: &str) -> usize {
    let parts = AnswerParser::new(format).tools(tools).parse_all(text);
    let mut count = 0;
    for part in &parts {
        match part {
            AnswerPart::Thinking(_) => {}
            AnswerPart::ToolCall(call) => {
                let tool = tools.iter().find(|tool| tool.name() == call.name).unwrap();
                let arguments = call.arguments.clone().into();
                let fits = jsonschema::is_valid(tool.parameters(), &arguments);
                assert!(
                    fits,
                    "{text:?}: {arguments} does not fit {}",
                    tool.parameters()
                );
                count += 1;
            }
            other => panic!("{format:?}\n{text:?}\n{other:?}"),
        }
    }
    count
}

fn callable() -> impl Iterator<Item = CallFormat> {
    formats().into_iter().filter(|f| *f != CallFormat::None)
}

/// What constraints leave out: integers without bounds, -0, escapes that nobody needs.
fn is_odd_json(text: &str) -> bool {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    ["-0", "\\u", "\\/"].iter().any(|odd| text.contains(odd))
        || numbers.any(|digits| digits.len() >= 15)
}

#[test]
fn what_required_calls_may_be_is_read_as_such_calls() {
    let tools = offered();
    for calls_format in callable() {
        for special in [false, true] {
            let format = answer_format(calls_format.clone());
            let goals = goals(&format);
            let markers = if special {
                format.markers()
            } else {
                Vec::new()
            };
            let vocabulary = Vocabulary::new(markers);
            let format = format.special_tokens(vocabulary.tokens());
            for in_thinking in [false, true] {
                let format = format.clone().begin_in_thinking(in_thinking);
                for parallel in [false, true] {
                    let grammar = vocabulary.matcher(
                        &format
                            .call_grammar(&tools, &ToolChoice::Required, parallel)
                            .unwrap_or_else(|e| panic!("{calls_format:?}: {e}"))
                            .unwrap(),
                    );
                    let constraint =
                        format.call_constraint(&tools, &ToolChoice::Required, parallel);
                    let constraint = constraint
                        .unwrap_or_else(|e| panic!("{calls_format:?}: {e}"))
                        .unwrap();
                    let table = vocabulary.table();
                    for seed in 0..6 {
                        let Walk { text, tokens } = walk(&vocabulary, &goals, &grammar, seed);
                        if !is_odd_json(&text) {
                            let mut matcher = constraint.matcher(&table).unwrap();
                            for token in tokens {
                                matcher
                                    .accept(Token(i32::try_from(token).unwrap()))
                                    .unwrap_or_else(|e| panic!("{calls_format:?}: {e}: {text:?}"));
                            }
                            assert!(matcher.may_end(), "{calls_format:?}: {text:?}");
                        }
                        let count = calls(&format, &tools, &text);
                        assert!(count >= 1, "{calls_format:?}: {text:?}");
                        assert!(parallel || count == 1, "{calls_format:?}: {text:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn of_one_function_only_that_is_called() {
    let tools = offered();
    let choice = ToolChoice::Function("get_weather".to_owned());
    for calls_format in callable() {
        let format = answer_format(calls_format);
        let goals = goals(&format);
        let vocabulary = Vocabulary::new(format.markers());
        let format = format.special_tokens(vocabulary.tokens());
        let grammar = vocabulary.matcher(
            &format
                .call_grammar(&tools, &choice, false)
                .unwrap()
                .unwrap(),
        );
        for seed in 0..4 {
            let text = walk(&vocabulary, &goals, &grammar, seed).text;
            assert_eq!(calls(&format, &tools[..1], &text), 1, "{text:?}");
        }
    }
}

#[test]
fn where_a_call_is_the_models_choice_anything_may_be_said_and_calls_are_right() {
    let tools = offered();
    for calls_format in callable() {
        for special in [false, true] {
            let format = answer_format(calls_format.clone());
            let goals = goals(&format);
            let markers = if special {
                format.markers()
            } else {
                Vec::new()
            };
            let vocabulary = Vocabulary::new(markers);
            let format = format.special_tokens(vocabulary.tokens());
            let auto = vocabulary.matcher(
                &format
                    .call_grammar(&tools, &ToolChoice::Auto, true)
                    .unwrap()
                    .unwrap(),
            );
            let harmony = calls_format == CallFormat::Harmony;
            let say = |text: &str| {
                let head = if harmony {
                    "<|channel|>final<|message|>"
                } else {
                    ""
                };
                format!("{head}{text}")
            };
            for text in ["Blue.", "Is 1 < 2? \"Yes\" [x] {y}\n", "天青"] {
                let tokens = vocabulary.tokenize(&say(text));
                let admitted = admits(&auto, &tokens);
                assert!(admitted, "{calls_format:?}: {text}");
            }
            let required = vocabulary.matcher(
                &format
                    .call_grammar(&tools, &ToolChoice::Required, true)
                    .unwrap()
                    .unwrap(),
            );
            for seed in 0..4 {
                let Walk { text, tokens } = walk(&vocabulary, &goals, &required, seed);
                let admitted = admits(&auto, &tokens);
                assert!(admitted, "{calls_format:?}: {text:?}");
            }
            let ping = ToolChoice::Function("ping".to_owned());
            let ping =
                vocabulary.matcher(&format.call_grammar(&tools, &ping, false).unwrap().unwrap());
            let walk = walk(&vocabulary, &goals, &ping, 1);
            let (before, after) = walk.text.rsplit_once("ping").unwrap();
            let wrong = format!("{before}launch{after}");
            assert!(
                !admits(&auto, &vocabulary.tokenize(&wrong)),
                "{calls_format:?}: {wrong:?}"
            );
        }
    }
}

#[test]
fn thoughts_are_admitted_before_what_is_said_also_as_tokens() {
    let format = answer_format(CallFormat::Hermes);
    for special in [Vec::new(), format.markers()] {
        let vocabulary = Vocabulary::new(special);
        let format = format.clone().special_tokens(vocabulary.tokens());
        for (in_thinking, text) in [
            (false, "<think>\nHm.\n</think>\n\nBlue."),
            (true, "\nHm.\n</think>\n\nBlue."),
            (
                false,
                "<think>Hm.</think><tool_call>\n{\"name\": \"ping\", \"arguments\": {}}\n</tool_call>",
            ),
        ] {
            let format = format.clone().begin_in_thinking(in_thinking);
            let grammar = vocabulary.matcher(
                &format
                    .call_grammar(&tools(), &ToolChoice::Auto, true)
                    .unwrap()
                    .unwrap(),
            );
            let tokens = vocabulary.tokenize(text);
            assert!(admits(&grammar, &tokens), "{text:?}");
        }
    }
}

#[test]
fn without_tools_or_choice_there_is_no_grammar() {
    let format = answer_format(CallFormat::Hermes);
    assert_eq!(
        format
            .call_grammar(&tools(), &ToolChoice::None, true)
            .unwrap(),
        None
    );
    assert_eq!(
        format.call_grammar(&[], &ToolChoice::Auto, true).unwrap(),
        None
    );
    let none = answer_format(CallFormat::None);
    assert_eq!(
        none.call_grammar(&tools(), &ToolChoice::Auto, true)
            .unwrap(),
        None
    );
}

#[test]
fn what_cannot_be_required_is_an_error_that_names_it() {
    let hermes = answer_format(CallFormat::Hermes);
    let error = |format: &AnswerFormat, tools: &[Tool], choice: &ToolChoice| {
        format.call_grammar(tools, choice, true).unwrap_err()
    };
    let required = ToolChoice::Required;
    assert_eq!(
        error(&hermes, &[], &required).kind(),
        ErrorKind::InvalidArgument
    );
    let launch = ToolChoice::Function("launch".to_owned());
    let found = error(&hermes, &tools(), &launch);
    assert_eq!(found.kind(), ErrorKind::InvalidArgument);
    assert!(found.message().contains("launch"), "{found}");
    let none = answer_format(CallFormat::None);
    assert_eq!(
        error(&none, &tools(), &required).kind(),
        ErrorKind::Unsupported
    );

    let list = Tool::function("f", "", json!({"type": "array"}));
    assert_eq!(
        error(&hermes, &[list], &required).kind(),
        ErrorKind::InvalidArgument
    );
    let coder = answer_format(CallFormat::Qwen3Coder);
    for (schema, keyword) in [
        (
            json!({"properties": {"a": {"type": "string", "pattern": "^x"}}}),
            "pattern",
        ),
        (
            json!({"properties": {"a": {"type": "string", "format": "date"}}}),
            "format",
        ),
        (json!({"oneOf": []}), "oneOf"),
        (
            json!({"properties": {"a": {"enum": ["</parameter>"]}}}),
            "enum",
        ),
    ] {
        let tool = Tool::function("f", "", schema);
        let found = error(&coder, std::slice::from_ref(&tool), &required);
        assert_eq!(found.kind(), ErrorKind::Unsupported);
        assert!(found.message().contains(keyword), "{found}");
        assert!(found.message().contains("`f`"), "{found}");
    }
}
