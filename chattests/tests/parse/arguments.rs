//! What names and arguments are, in the notations of the formats.

use llamakit::chat::{AnswerFormat, AnswerParser, AnswerPart, CallError, CallFormat, Tool};
use serde_json::json;

use super::shared::{call, check, hermes, malformed, tools};

#[test]
fn arguments_are_an_object_or_a_text_that_holds_one() {
    let arguments = |arguments: &str| {
        let text =
            format!("<tool_call>{{\"name\": \"f\", \"arguments\": {arguments}}}</tool_call>");
        check(&AnswerParser::new(&hermes()), &text).remove(0)
    };
    assert_eq!(arguments(r#"{"a": 1}"#), call("f", json!({"a": 1})));
    assert_eq!(arguments(r#""{\"a\": 1}""#), call("f", json!({"a": 1})));
    assert_eq!(
        arguments("{\"a\": \"x\ny\"}"),
        call("f", json!({"a": "x\ny"}))
    );
    assert_eq!(
        arguments(r#"{"a": 1e999}"#),
        call("f", json!({"a": f64::MAX}))
    );
    for wrong in ["null", "1", "[]", "\"x\"", "\"[1]\"", "true", "\"\""] {
        let part = arguments(wrong);
        assert!(
            matches!(malformed(&part).1, CallError::Invalid(_)),
            "{wrong}"
        );
    }
}

#[test]
fn names_arguments_and_ids_have_the_keys_of_all_formats() {
    let mut wanted = llamakit::chat::ToolCall::default();
    wanted.name = "f".to_owned();
    wanted.arguments = json!({"a": 1}).as_object().unwrap().clone();
    for (id, text) in [
        (None, r#"{"name": "f", "parameters": {"a": 1}}"#),
        (
            Some("7"),
            r#"{"tool_call_id": 7, "tool_name": "f", "parameters": {"a": 1}}"#,
        ),
        (
            Some("x"),
            r#"{"id": "x", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}"#,
        ),
        (None, r#"{"function": "f", "arguments": {"a": 1}}"#),
    ] {
        wanted.id = id.map(str::to_owned);
        let text = format!("<tool_call>{text}</tool_call>");
        let parts = check(&AnswerParser::new(&hermes()), &text);
        assert_eq!(parts, [AnswerPart::ToolCall(wanted.clone())], "{text}");
    }
}

#[test]
fn unquoted_arguments_are_what_the_schema_says() {
    let tool = Tool::function(
        "f",
        "",
        json!({
            "type": "object",
            "properties": {
                "text": {"type": "string"},
                "whole": {"type": "integer"},
                "number": {"type": "number"},
                "flag": {"type": "boolean"},
                "list": {"type": "array"},
                "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "either": {"type": ["integer", "string"]},
                "choice": {"enum": ["1", "2"]},
                "far": {"$ref": "#/$defs/far"},
                "any": {},
            },
            "$defs": {"far": {"type": "integer"}},
        }),
    );
    let read = |key: &str, text: &str| {
        let text = format!(
            "<tool_call>f\n<arg_key>{key}</arg_key>\n<arg_value>{text}</arg_value>\n</tool_call>"
        );
        let parser = AnswerParser::new(&AnswerFormat::new(CallFormat::Glm));
        match check(&parser.tools(std::slice::from_ref(&tool)), &text).remove(0) {
            AnswerPart::ToolCall(call) => call.arguments[key].clone(),
            other => panic!("{other:?}"),
        }
    };
    for (key, text, value) in [
        ("text", "12", json!("12")),
        ("text", "null", json!("null")),
        ("text", "{\"a\": 1}", json!("{\"a\": 1}")),
        ("whole", " 12 ", json!(12)),
        ("whole", "twelve", json!("twelve")),
        ("number", "12", json!(12)),
        ("number", "1.5", json!(1.5)),
        ("flag", "true", json!(true)),
        ("flag", "False", json!(false)),
        ("list", "[1, \"</arg_value>\"]", json!([1, "</arg_value>"])),
        ("maybe", "null", json!(null)),
        ("maybe", "1", json!("1")),
        ("either", "1", json!(1)),
        ("either", "x", json!("x")),
        ("choice", "1", json!("1")),
        ("far", "3", json!(3)),
        ("any", "3", json!(3)),
        ("any", "\"3\"", json!("\"3\"")),
        ("any", "True", json!("True")),
        ("unknown", "[1]", json!([1])),
        ("unknown", "01", json!("01")),
    ] {
        assert_eq!(read(key, text), value, "{key}: {text}");
    }
}

#[test]
fn python_is_read_with_its_literals() {
    let text = r#"[f(a='it\'s', b="x\n\u00e9\ud83d\ude00", c=[1, -2.5, 1_000], d={'k': None, "l": (True, False)}, e=+3), g()]"#;
    let parser = AnswerParser::new(&AnswerFormat::new(CallFormat::LlamaPythonic));
    assert_eq!(
        check(&parser, text),
        [
            call(
                "f",
                json!({"a": "it's", "b": "x\né😀", "c": [1, -2.5, 1000],
                       "d": {"k": null, "l": [true, false]}, "e": 3})
            ),
            call("g", json!({})),
        ]
    );
    let wrong = "<|python_start|>[f(1)]<|python_end|>";
    assert!(matches!(
        malformed(&check(&parser, wrong)[0]).1,
        CallError::Invalid(_)
    ));
}

#[test]
fn built_in_tools_of_llama_are_calls() {
    let parser = AnswerParser::new(&AnswerFormat::new(CallFormat::Llama));
    assert_eq!(
        check(
            &parser,
            "<|python_tag|>brave_search.call(query=\"blue \\\"sky\\\"\")"
        ),
        [call("brave_search", json!({"query": "blue \"sky\""}))]
    );
    assert_eq!(
        check(
            &parser,
            "<|python_tag|>{\"name\": \"f\", \"parameters\": {\"a\": 1}}"
        ),
        [call("f", json!({"a": 1}))]
    );
}

#[test]
fn the_tool_that_command_r_calls_for_nothing_is_no_call() {
    let parser = AnswerParser::new(&AnswerFormat::new(CallFormat::CommandR)).tools(&tools());
    let text = "Action: ```json\n[\n    {\n        \"tool_name\": \"directly-answer\",\n        \
                \"parameters\": {}\n    }\n]\n```";
    assert_eq!(check(&parser, text), []);
}
