//! What no template may do, whatever it says: each ends with an error, on small stacks as well.

use std::time::Duration;

use llamakit::ErrorKind;
use llamakit::chat::{ChatTemplate, Conversation, Message, SpecialTexts, Tool};
use serde_json::json;

fn render(source: &str) -> llamakit::Result<String> {
    let template = ChatTemplate::jinja(source, &SpecialTexts::default())?;
    let conversation = Conversation::new([Message::user("Hello!")]);
    let segments = template.exact(true).render(&conversation)?;
    Ok(crate::common::joined(&segments))
}

fn refused(source: &str, cause: &str) {
    let error = render(source).expect_err(cause);
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(error.message().contains(cause), "{cause}: {error}");
}

#[test]
fn sources_have_a_length() {
    let long = "x".repeat((1 << 20) + 1);
    refused(&long, "bytes are more than");
    assert_eq!(render(&long[1..]).unwrap().len(), 1 << 20);
}

#[test]
fn deep_sources_are_refused() {
    let nested = |open: &str, inner: &str, close: &str, count: usize| {
        format!(
            "{{{{ {}{inner}{} }}}}",
            open.repeat(count),
            close.repeat(count)
        )
    };
    for count in [100, 1000, 30_000] {
        for (open, inner, close) in [
            ("(", "1", ")"),
            ("[", "1", "]"),
            ("{1:", "1", "}"),
            ("f(", "1", ")"),
            ("x[", "1", "]"),
            ("-(", "1", ")"),
        ] {
            refused(&nested(open, inner, close, count), "deep");
        }
    }
    for (piece, last) in [
        ("- ", "1"),
        ("not ", "1"),
        ("1 + ", "1"),
        ("1 if 1 else ", "1"),
        ("1 ~ ", "1"),
        ("a.", "a"),
        ("a|", "trim"),
        ("a and ", "1"),
        ("1 < ", "1"),
        ("1 ** ", "1"),
    ] {
        refused(&format!("{{{{ {}{last} }}}}", piece.repeat(20_000)), "deep");
    }
    refused(&format!("{{{{ a{} }}}}", "[0]".repeat(20_000)), "deep");
    refused(&format!("{{{{ a{} }}}}", "()".repeat(20_000)), "deep");
    for (open, close) in [
        ("{% if 1 %}", "{% endif %}"),
        ("{% for i in [1] %}", "{% endfor %}"),
        ("{% with %}", "{% endwith %}"),
    ] {
        refused(&(open.repeat(5000) + &close.repeat(5000)), "recursion");
    }
    refused(
        &format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(5000)),
        "branches",
    );
    // Nothing that is long but flat.
    let list = "1, ".repeat(20_000);
    assert!(render(&format!("{{{{ [{list}]|length }}}}")).unwrap() == "20000");
}

#[test]
fn what_calls_itself_ends() {
    refused(
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "recursion limit",
    );
    refused(
        "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
        "recursion limit",
    );
    refused(
        "{% for x in [[1]] recursive %}{{ loop([x]) }}{% endfor %}",
        "recursion limit",
    );
    refused(
        "{% macro m() %}{% set c = caller %}{% call m() %}x{% endcall %}{% endmacro %}{% call m() %}y{% endcall %}",
        "recursion limit",
    );
}

#[test]
fn values_stay_flat() {
    let grow = |step: &str| {
        format!(
            "{{% set ns = namespace(x=1) %}}{{% for i in range(100000) %}}{{% set ns.x = {step} %}}{{% endfor %}}"
        )
    };
    refused(&grow("[ns.x]"), "deep");
    refused(&grow("{'a': ns.x}"), "deep");
    refused(&grow("(ns.x,)"), "deep");
    refused(&grow("[ns.x]|map('string')|list and [ns.x]"), "deep");
    refused(&grow("ns"), "namespace");
    refused(&grow("[[ns]]"), "namespace");
    refused(&grow("namespace(y=ns)"), "namespace");
    let sets = "{% set x = [x] %}".repeat(50_000);
    refused(&sets, "deep");
    assert_eq!(render(&(grow("ns.x * 1") + "{{ ns.x }}")).unwrap(), "1");
}

#[test]
fn work_output_and_memory_end() {
    let endless =
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}";
    refused(endless, "more work");
    refused(
        "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "more work",
    );
    refused(
        "{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "more work",
    );
    for huge in [
        "[1] * 100000000",
        "'' ~ ['x' * 1000] * 100000000",
        "([1] * 100000000)|string",
        "([1] * 100000000)|tojson",
        "([1] * 100000000)|join",
        "'%s'|format(['x'] * 100000000)",
        "'{}'.format(['x'] * 100000000)",
        "2 in [1] * 100000000",
        "([1] * 100000000) == ([1] * 100000000)",
        "([1] * 100000000)|list",
        "([1] * 100000000)|e",
        "'x'|indent(100000000000)",
        "'x'.zfill(100000000000)",
        "('x' * 1000000).replace('', 'y' * 1000)",
        "('x' * 1000000)|replace('x', 'y' * 1000)",
        "('y' * 1000000).join('x' * 1000)",
        "[1]|tojson(indent=100000000000)",
    ] {
        refused(&format!("{{{{ {huge} }}}}"), "more work");
    }
    refused(
        "{% set x = 'x' * 9000000 %}{{ x }}{{ x }}",
        "writes more than",
    );
}

#[test]
fn time_ends() {
    let template =
        ChatTemplate::jinja("{{ messages[0].content }}", &SpecialTexts::default()).unwrap();
    let conversation = Conversation::new([Message::user("Hello!")]);
    assert!(template.render(&conversation).is_ok());
    let error = template
        .time_limit(Duration::ZERO)
        .exact(true)
        .render(&conversation)
        .unwrap_err();
    assert!(error.message().contains("takes longer"), "{error}");
}

#[test]
fn deep_json_is_refused() {
    let mut deep = json!("x");
    for _ in 0..500 {
        deep = json!([deep]);
    }
    let tool = Tool::function("f", "", deep.clone());
    let template = ChatTemplate::jinja(
        "{{ tools|tojson }}{{ tools }}{{ x }}",
        &SpecialTexts::default(),
    )
    .unwrap();
    let tools = Conversation::new([]).tools([tool]);
    let mut extra = Conversation::new([]);
    extra.extra.insert("x".to_owned(), deep.clone());
    for conversation in [tools, extra] {
        let error = template.render(&conversation).unwrap_err();
        assert!(error.message().contains("deep"), "{error}");
    }
    let mut allowed = json!("x");
    for _ in 0..100 {
        allowed = json!([allowed]);
    }
    let tools = Conversation::new([]).tools([Tool::function("f", "", allowed)]);
    assert!(template.render(&tools).is_ok());
}

#[test]
fn a_small_stack_is_enough() {
    let run = || {
        let brackets = format!("{{{{ {}1{} }}}}", "[".repeat(40), "]".repeat(40));
        assert!(render(&brackets).is_ok());
        let sum = format!("{{{{ {}1 }}}}", "1 + ".repeat(900));
        assert_eq!(render(&sum).unwrap(), "901");
        deep_sources_are_refused();
        what_calls_itself_ends();
        values_stay_flat();
    };
    let small = std::thread::Builder::new().stack_size(512 << 10);
    small.spawn(run).unwrap().join().unwrap();
}

#[test]
fn errors_name_line_and_cause() {
    for (source, line, cause) in [
        ("a\nb\n{{ x", "line 3", "tag"),
        ("a\n{% if x %}", "line 2", ""),
        ("{# never", "line 1", "comment"),
        ("\n{% raw %}x", "line 2", "raw"),
        ("\n\n{% nonsense %}", "line 3", "nonsense"),
        ("\n{{ 'x", "line 2", "text does not end"),
        ("\n{{ 'a\\\nb' }}\n{{ 1 + }}", "line 4", ""),
        ("{% set a = 'x' %}\n{{ a + 1 }}", "line 2", "+"),
        (
            "\n{{ raise_exception('Only\\nthis') }}",
            "line 2",
            "Only\nthis",
        ),
        (
            "\n\n{{ messages[0].nothing.at_all }}",
            "line 3",
            "undefined",
        ),
        ("\n{{ § }}", "line 2", "§"),
        ("{% set x = %}", "line 1", "missing"),
    ] {
        let error = render(source).expect_err(source);
        assert!(error.message().contains(line), "{source}: {error}");
        assert!(error.message().contains(cause), "{source}: {error}");
    }
}
