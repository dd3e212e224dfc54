//! Who wrote what, which message it belongs to, and where prompts end.

use llamakit::chat::{Conversation, GoTemplate, Message, Tool, ToolCall};
use llamakit::{Origin, Segment};
use serde_json::json;

use crate::text;

fn render(source: &str, conversation: &Conversation) -> Vec<Segment> {
    GoTemplate::parse(source)
        .unwrap()
        .render(conversation)
        .unwrap()
}

/// The text of messages in brackets.
fn marked(segments: &[Segment]) -> String {
    let mark = |segment: &Segment| match segment.origin {
        Origin::Message => format!("[{}]", segment.text),
        _ => segment.text.clone(),
    };
    segments.iter().map(mark).collect()
}

fn one(content: &str) -> Conversation {
    Conversation::new([Message::user(content)])
}

#[test]
fn what_a_message_says_stays_its_own() {
    let conversation = one("a<|im_end|>b");
    for (source, expected) in [
        (
            "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>{{ end }}",
            "<|im_start|>user\n[a<|im_end|>b]<|im_end|>",
        ),
        (
            "{{ range .Messages }}{{ print \"<\" .Content \">\" 1 }}{{ end }}",
            "<[a<|im_end|>b]>1",
        ),
        (
            "{{ range .Messages }}{{ printf \"%s|%.3s|%16s|%q\" .Content .Content .Content .Content }}{{ end }}",
            "[a<|im_end|>b]|[a<|]|    [a<|im_end|>b]|\"[a<|im_end|>b]\"",
        ),
        (
            "{{ range .Messages }}{{ slice .Content 1 4 }}{{ end }}",
            "[<|i]",
        ),
        (
            "{{ range .Messages }}{{ json .Content }}{{ html .Content }}{{ end }}",
            "\"[a\\u003c|im_end|\\u003eb]\"[a&lt;|im_end|&gt;b]",
        ),
        (
            "{{ range .Messages }}{{ . }}{{ len .Content }}{{ end }}",
            "{user [a<|im_end|>b]  [] []  }12",
        ),
        (
            "{{ range .Messages }}{{ $x := .Content }}{{ with $x }}{{ . }}{{ end }}{{ or $x 1 }}{{ end }}",
            "[a<|im_end|>ba<|im_end|>b]",
        ),
        (
            "{{ range .Messages }}{{ printf .Content }}{{ printf \"%x\" (slice .Content 0 2) }}{{ end }}",
            "[a<|im_end|>b613c]",
        ),
        (
            "<u>{{ .Prompt }}</u>{{ .Response }}",
            "<u>[a<|im_end|>b]</u>",
        ),
    ] {
        assert_eq!(marked(&render(source, &conversation)), expected, "{source}");
    }
}

#[test]
fn names_arguments_and_definitions_are_not_the_templates() {
    let mut call = ToolCall::new(
        "n<e>",
        json!({"k</s>": "v</s>", "n": 1})
            .as_object()
            .unwrap()
            .clone(),
    );
    call.id = Some("id".to_owned());
    let mut assistant = Message::assistant("");
    assistant.tool_calls.push(call);
    assistant.thinking = Some("t</think>".to_owned());
    let mut conversation = Conversation::new([
        assistant,
        Message::tool("tool</s>", "22"),
        Message::new("<|system|>", ""),
    ]);
    conversation.tools = vec![Tool::function(
        "f</s>",
        "d</s>",
        json!({"type": "object", "properties": {"p": {}}}),
    )];
    conversation.extra.insert("X".to_owned(), json!("x</s>"));
    let source = "{{ range .Messages }}{{ .Role }}:{{ .Thinking }}:{{ .ToolName }}\
                  {{ range .ToolCalls }}{{ .ID }} {{ .Function.Name }} {{ .Function.Arguments }}\
                  {{ range $k, $v := .Function.Arguments }}{{ $k }}={{ $v }} {{ end }}{{ end }}\n{{ end }}\
                  {{ .Tools }}{{ .X }}";
    assert_eq!(
        marked(&render(source, &conversation)),
        "assistant:[t</think>]:[id] [n<e>] {\"[k\\u003c/s\\u003e]\":\"[v\\u003c/s\\u003e]\",\"[n]\":1}\
         [k</s>]=[v</s>] [n]=1 \ntool::[tool</s>]\n[<|system|>]::\n\
         [{\"type\":\"[function]\",\"function\":{\"name\":\"[f\\u003c/s\\u003e]\",\"description\":\"[d\\u003c/s\\u003e]\",\
         \"parameters\":{\"type\":\"[object]\",\"properties\":{\"[p]\":{}}}}}][x</s>]"
    );
}

#[test]
fn what_may_be_dropped_is_in_the_group_of_its_message() {
    let conversation = Conversation::new([
        Message::system("S"),
        Message::user("a"),
        Message::user("b"),
        Message::assistant("c"),
        Message::user("d"),
    ]);
    let groups = |source: &str| -> Vec<(String, Option<u32>)> {
        let mut groups: Vec<(String, Option<u32>)> = Vec::new();
        for segment in render(source, &conversation) {
            match groups.last_mut() {
                Some((text, group)) if *group == segment.group => text.push_str(&segment.text),
                _ => groups.push((segment.text, segment.group)),
            }
        }
        groups
    };
    let expected = |parts: &[(&str, Option<u32>)]| -> Vec<(String, Option<u32>)> {
        parts
            .iter()
            .map(|(text, group)| ((*text).to_owned(), *group))
            .collect()
    };
    assert_eq!(
        groups(
            "<s>{{ range .Messages }}({{ .Content }}{{ range $.Messages }}.{{ end }}){{ end }}>"
        ),
        expected(&[
            ("<s>(S....)", None),
            ("(a\n\nb....)", Some(1)),
            ("(c....)", Some(3)),
            ("(d....)>", None),
        ])
    );
    let conversation_without_system = &conversation.messages[1..];
    let turns = GoTemplate::parse("<{{ .Prompt }}|{{ .Response }}>").unwrap();
    let segments = turns
        .render(&Conversation::new(conversation_without_system))
        .unwrap();
    let last = segments
        .iter()
        .position(|segment| segment.group.is_none())
        .unwrap();
    assert_eq!(text(&segments[..last]), "<a\n\nb|c>");
    assert!(
        segments[..last]
            .iter()
            .all(|segment| segment.group == Some(0))
    );
    assert_eq!(text(&segments[last..]), "<d|");
}

#[test]
fn a_last_message_that_is_continued_ends_the_prompt() {
    let mut conversation = Conversation::new([
        Message::user("Count."),
        Message::assistant("One."),
        Message::assistant("Two,"),
    ]);
    conversation.continue_last_message = true;
    let source = "{{ range .Messages }}<{{ .Role }}>{{ .Content }}</s>{{ end }}<assistant>";
    assert_eq!(
        text(&render(source, &conversation)),
        "<user>Count.</s><assistant>One.\n\nTwo,"
    );
    let error = GoTemplate::parse("{{ range .Messages }}x{{ end }}")
        .unwrap()
        .render(&conversation);
    assert!(error.unwrap_err().to_string().contains("last message"));
}

#[test]
fn code_is_filled_in_between_prompt_and_suffix() {
    let source =
        "{{ if .Suffix }}<PRE>{{ .Prompt }}<SUF>{{ .Suffix }}<MID>{{ else }}{{ .Prompt }}{{ end }}";
    let mut conversation = one("let x =");
    assert_eq!(text(&render(source, &conversation)), "let x =");
    conversation.extra.insert("Suffix".to_owned(), json!(";"));
    assert_eq!(
        marked(&render(source, &conversation)),
        "<PRE>[let x =]<SUF>[;]<MID>"
    );
    conversation
        .extra
        .insert("Prompt".to_owned(), json!("let y ="));
    assert_eq!(
        text(&render(source, &conversation)),
        "<PRE>let y =<SUF>;<MID>"
    );
}

#[test]
fn the_date_is_that_of_the_clock() {
    let mut conversation = one("");
    for (unix_seconds, utc_offset, expected) in [
        (1_709_164_800 - 1, 0, "2024-02-28 2024-02-27"),
        (1_709_164_800 - 1, 1, "2024-02-29 2024-02-28"),
        (0, -1, "1969-12-31 1969-12-30"),
        (1_735_689_600, 0, "2025-01-01 2024-12-31"),
    ] {
        conversation.clock = Some(llamakit::chat::Clock {
            unix_seconds,
            utc_offset,
        });
        let source = "{{ currentDate }} {{ yesterdayDate }}{{ .Response }}";
        assert_eq!(text(&render(source, &conversation)), expected);
    }
}
