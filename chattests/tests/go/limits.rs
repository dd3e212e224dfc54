//! Templates and conversations that try to do harm, and what errors say.

use llamakit::ErrorKind;
use llamakit::chat::{Conversation, GoTemplate, Message, Tool};
use serde_json::{Value, json};

/// The smallest stack that a template must get by with.
const STACK: usize = 256 << 10;

/// Renders on a thread with little stack; the message if it fails, which must be the template's fault.
fn render(source: String, conversation: Conversation) -> Result<usize, String> {
    let work = move || {
        let segments =
            GoTemplate::parse(&source).and_then(|template| template.render(&conversation));
        let segments = segments.inspect_err(|e| assert_eq!(e.kind(), ErrorKind::InvalidArgument));
        segments
            .map(|segments| segments.iter().map(|segment| segment.text.len()).sum())
            .map_err(|error| error.to_string())
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(work);
    thread.unwrap().join().unwrap()
}

fn hello() -> Conversation {
    Conversation::new([
        Message::user("Hello!"),
        Message::assistant("Hi."),
        Message::user("So?"),
    ])
}

fn fails(source: impl Into<String>, expected: &str) {
    let error = render(source.into(), hello()).unwrap_err();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn nesting_is_limited_and_fits_a_small_stack() {
    let nested = |open: &str, inner: &str, close: &str, depth: usize| {
        format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    for (open, close) in [
        ("{{ if true }}", "{{ end }}"),
        ("{{ with 1 }}", "{{ else }}x{{ end }}"),
        ("{{ range 1 }}", "{{ end }}"),
        ("{{ range $.Messages }}{{ break }}{{ else }}", "{{ end }}"),
    ] {
        assert!(
            render(nested(open, "x", close, 31), hello()).is_ok(),
            "{open}"
        );
        fails(
            nested(open, "x", close, 33),
            "32 blocks or parentheses deep",
        );
        fails(
            nested(open, "x", close, 5_000),
            "32 blocks or parentheses deep",
        );
    }
    let parens = |depth| format!("{{{{ {} }}}}", nested("(print ", "1", ")", depth));
    assert!(render(parens(30), hello()).is_ok());
    fails(parens(20_000), "32 blocks or parentheses deep");
    fails(format!("{{{{ if {} }}}}", "(".repeat(100_000)), "deep");
    // As many `else if`s as one likes are one level.
    let chain = format!(
        "{{{{ if false }}}}{}{{{{ end }}}}",
        "{{ else if false }}".repeat(5_000)
    );
    assert!(render(chain, hello()).is_ok());
}

#[test]
fn templates_that_call_themselves_end() {
    fails(
        "{{ define \"r\" }}{{ template \"r\" . }}{{ end }}{{ template \"r\" . }}",
        "deep",
    );
    fails("{{ template \"\" . }}", "deep");
    let deep = "{{ define \"r\" }}".to_owned()
        + &"{{ if 1 }}".repeat(20)
        + "{{ template \"r\" (print (print (print 1))) }}"
        + &"{{ end }}".repeat(20)
        + "{{ end }}{{ template \"r\" . }}{{ range .Messages }}{{ end }}";
    fails(deep, "deep");
}

#[test]
fn steps_are_limited() {
    fails("{{ range 1000000000 }}{{ end }}", "10000000 steps");
    fails(
        "{{ range 100000 }}{{ range 100000 }}{{ break }}{{ end }}{{ range 100000 }}{{ end }}{{ end }}",
        "steps",
    );
    // Texts that are only looked at.
    fails(
        "{{ $x := printf \"%1000000d\" 1 }}{{ range 1000000 }}{{ if eq $x $x }}{{ end }}{{ end }}",
        "steps",
    );
    let many: String = (0..5_000)
        .map(|i| format!("{{{{ $v{i} := 1 }}}}"))
        .collect();
    fails(
        many + "{{ range 1000000 }}{{ $.x }}{{ $v0 = 1 }}{{ end }}",
        "steps",
    );
}

#[test]
fn text_is_limited() {
    fails(
        "{{ range 1000 }}{{ printf \"%1000000d\" 1 }}{{ end }}",
        "longer than 67108864 bytes",
    );
    let doubled =
        "{{ $x := \"xxxxxxxx\" }}{{ range 60 }}{{ $x = print $x $x }}{{ end }}{{ len $x }}";
    fails(doubled, "longer than allowed");
    let kept =
        "{{ $x := printf \"%1000000d\" 1 }}{{ range 1000 }}{{ $x = printf \"%s\" $x }}{{ end }}";
    fails(kept, "longer than allowed");
    let constants = format!(
        "{{{{ range 3000 }}}}{{{{ $x := \"{}\" }}}}{{{{ end }}}}",
        "x".repeat(100_000)
    );
    fails(constants, "268435456 bytes of text");
    fails(
        "x".repeat(256 * 1024 + 1),
        "262145 bytes are more than the 262144",
    );
}

#[test]
fn values_may_be_nested_but_not_without_end() {
    let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    let with = |value: Value| {
        let mut conversation = hello();
        conversation.extra.insert("X".to_owned(), value);
        conversation
    };
    let source = "{{ .X }}{{ json .X }}{{ printf \"%#v %d\" .X .X }}";
    assert!(render(source.to_owned(), with(nested(46))).is_ok());
    let error = render(source.to_owned(), with(nested(300))).unwrap_err();
    assert!(error.contains("48 levels deep"), "{error}");

    let schema = |depth: usize| {
        (0..depth).fold(
            json!({"type": "string"}),
            |inner, _| json!({"anyOf": [inner]}),
        )
    };
    let tools = |depth: usize| {
        let mut conversation = hello();
        let parameters = json!({"type": "object", "properties": {"p": schema(depth)}});
        conversation.tools = vec![Tool::function("deep", "", parameters)];
        conversation
    };
    let source = "{{ .Tools }}{{ range .Tools }}{{ . }}{{ range .Function.Parameters.Properties }}\
                  {{ toTypeScriptType . }}{{ . }}{{ end }}{{ end }}{{ range .Messages }}{{ end }}";
    assert!(render(source.to_owned(), tools(45)).is_ok());
    let error = render(source.to_owned(), tools(300)).unwrap_err();
    assert!(
        error.contains("tool \"deep\"") && error.contains("48 levels deep"),
        "{error}"
    );
}

#[test]
fn errors_say_where_and_why() {
    for (source, expected) in [
        (
            "a\n {{ nosuch }}",
            "template:2:5: function \"nosuch\" not defined",
        ),
        ("{{ if .X }}", "template:1:12: unexpected EOF"),
        ("{{ $x }}", "template:1:4: undefined variable \"$x\""),
        ("\n\n{{ .X", "template:3:6: unclosed action"),
        (
            "{{ range .Messages }}\n{{ .Nope }}{{ end }}",
            "template:2:4: can't evaluate field Nope in type *template.templateMessage",
        ),
        (
            "{{ len 3 }}",
            "template:1:4: error calling len: len of type int",
        ),
        (
            "{{ eq 1 \"a\" }}",
            "incompatible types for comparison: int and string",
        ),
        ("{{ template \"x\" }}", "template \"x\" not defined"),
        ("{{ printf 3 }}", "expected string; got int"),
    ] {
        fails(source, expected);
    }
}

#[test]
fn tools_that_ollama_could_not_read_are_refused() {
    let refuse = |parameters: Value, expected: &str| {
        let mut conversation = hello();
        conversation.tools = vec![Tool::function("t", "", parameters)];
        let error = render("{{ range .Messages }}{{ end }}".to_owned(), conversation).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    refuse(json!({"type": 5}), "tool \"t\": type is not a text");
    refuse(
        json!({"properties": []}),
        "tool \"t\": properties is not an object",
    );
    refuse(
        json!({"properties": {"p": true}}),
        "tool \"t\": property \"p\": not an object",
    );
    refuse(
        json!({"properties": {"p": {"type": [1]}}}),
        "property \"p\": type is not a list of texts",
    );
}
