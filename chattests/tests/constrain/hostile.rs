//! Schemas and grammars of strangers: each ends in an error or in an answer, on a small stack.

use std::fmt::Display;

use llamakit::constrain::Constraint;
use llamakit::{Error, ErrorKind};
use serde_json::{Map, Value, json};

use crate::random::{Dice, answer, bytes, pieces};

/// Half of what threads of programs have at least.
const STACK: usize = 512 << 10;

fn with_small_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        thread.spawn_scoped(scope, work).unwrap().join().unwrap()
    })
}

fn refused(name: impl Display + Sync, make: impl FnOnce() -> Result<Constraint, Error> + Send) {
    let error = with_small_stack(|| make().map(drop)).expect_err(&name.to_string());
    let kinds = [ErrorKind::InvalidArgument, ErrorKind::Unsupported];
    assert!(kinds.contains(&error.kind()), "{name}: {error}");
    assert!(error.message().len() < 1000, "{name}: {error}");
}

/// Made or refused: what is made gives tokens, or says why it gives none.
fn bounded(name: impl Display + Sync, make: impl FnOnce() -> Result<Constraint, Error> + Send) {
    with_small_stack(|| match make() {
        Err(error) => assert!(error.message().len() < 1000, "{name}: {error}"),
        Ok(constraint) => {
            for words in [bytes(), pieces()] {
                let mut matcher = constraint.matcher(&words.table).unwrap();
                for _ in 0..3 {
                    let allowed = crate::random::allowed(&mut matcher);
                    assert!(!allowed.is_empty() || matcher.failure().is_some(), "{name}");
                    let Some(&token) = allowed.first() else {
                        break;
                    };
                    if matcher.accept(token).is_err() {
                        assert!(matcher.failure().is_some(), "{name}");
                    }
                }
                if matcher.failure().is_none() {
                    answer(&constraint, words, &mut Dice::new(1), 20);
                }
            }
        }
    });
}

fn nested(depth: usize, wrap: impl Fn(Value) -> Value) -> Value {
    (0..depth).fold(json!({ "type": "string" }), |inner, _| wrap(inner))
}

/// Arrays in arrays.
fn deep_value(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}

/// Schemas in schemas; never dropped, for which they would need a large stack.
fn deep(depth: usize, key: &str) -> &'static Value {
    let value = (0..depth).fold(Value::Null, |inner, _| {
        Value::Object(Map::from_iter([(key.to_owned(), inner)]))
    });
    Box::leak(Box::new(value))
}

fn members<T: Into<Value>>(count: usize, make: impl Fn(usize) -> (String, T)) -> Value {
    Value::Object(
        (0..count)
            .map(make)
            .map(|(name, value)| (name, value.into()))
            .collect(),
    )
}

#[test]
fn schemas_that_are_too_deep_or_too_large() {
    for key in ["items", "additionalProperties"] {
        refused(key, || Constraint::json_schema(deep(100_000, key)));
    }
    for key in [
        "const",
        "enum",
        "type",
        "required",
        "anyOf",
        "minimum",
        "properties",
        "$ref",
        "x-y",
    ] {
        let schema = Map::from_iter([(key.to_owned(), deep_value(100_000))]);
        let schema: &'static Value = Box::leak(Box::new(Value::Object(schema)));
        match key {
            "x-y" => bounded(key, || Constraint::json_schema(schema)),
            _ => refused(key, || Constraint::json_schema(schema)),
        }
    }
    bounded("as deep as may be", || {
        Constraint::json_schema(&nested(
            60,
            |inner| json!({ "items": inner, "anyOf": [true, { "type": "null" }] }),
        ))
    });
    for wrap in ["items", "additionalProperties"] {
        bounded(wrap, || {
            Constraint::json_schema(&nested(64, |inner| json!({ wrap: inner })))
        });
        refused(wrap, || {
            Constraint::json_schema(&nested(65, |inner| json!({ wrap: inner })))
        });
    }
    bounded("allOf", || {
        Constraint::json_schema(&nested(
            60,
            |inner| json!({ "allOf": [inner, { "minLength": 1 }] }),
        ))
    });
    refused("many schemas", || {
        Constraint::json_schema(&nested(
            12,
            |inner| json!({ "items": inner, "additionalProperties": inner }),
        ))
    });
    refused("many properties", || {
        Constraint::json_schema(&json!({ "properties": members(1001, |n| (n.to_string(), true)) }))
    });
    bounded("properties", || {
        Constraint::json_schema(&json!({ "properties": members(300, |n| (n.to_string(), true)) }))
    });
    refused("many patterns of names", || {
        Constraint::json_schema(
            &json!({ "patternProperties": members(21, |n| (format!("^{n}-"), true)) }),
        )
    });
    refused("a large enum", || {
        Constraint::json_schema(&json!({ "enum": (0..10_001).collect::<Vec<_>>() }))
    });
    refused("long texts", || {
        Constraint::json_schema(&json!({ "enum": vec!["x".repeat(1 << 17); 9] }))
    });
    bounded("an enum", || {
        Constraint::json_schema(&json!({ "enum": (0..10_000).collect::<Vec<_>>() }))
    });
}

#[test]
fn counts_and_numbers_out_of_range() {
    for name in [
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "maxProperties",
    ] {
        for count in [100_001, 1_000_000_000, u64::MAX] {
            refused(name, || Constraint::json_schema(&json!({ name: count })));
        }
        bounded(name, || Constraint::json_schema(&json!({ name: 100_000 })));
    }
    bounded("a pattern and a length", || {
        Constraint::json_schema(
            &json!({ "type": "string", "pattern": "^[a-z]+( [a-z]+)*$", "maxLength": 100_000 }),
        )
    });
    for name in ["minimum", "exclusiveMaximum", "multipleOf", "const"] {
        for number in [1e300, -1e300, 1e-300, 1e17] {
            refused(name, || Constraint::json_schema(&json!({ name: number })));
        }
    }
    let coprime = json!({ "allOf": [{ "multipleOf": 97 }, { "multipleOf": 89 }] });
    refused("multiples of both", || Constraint::json_schema(&coprime));
}

#[test]
fn schemas_that_refer_to_themselves_and_to_many() {
    let chain = |count: usize| {
        let next = |n: usize| json!({ "properties": { "a": { "$ref": format!("#/$defs/{}", (n + 1) % count) } } });
        json!({ "$ref": "#/$defs/0", "$defs": members(count, |n| (n.to_string(), next(n))) })
    };
    for count in [100, 1000, 3000] {
        bounded(format!("a chain of {count}"), || {
            Constraint::json_schema(&chain(count))
        });
    }
    let doubling = |count: usize| {
        let next = |n: usize| json!({ "allOf": [{ "$ref": format!("#/$defs/{}", n + 1) }, { "$ref": format!("#/$defs/{}", n + 1) }] });
        let last = json!({ "type": "string" });
        json!({ "$ref": "#/$defs/0", "$defs": members(count, |n| (n.to_string(), if n + 1 == count { last.clone() } else { next(n) })) })
    };
    bounded("doubling", || Constraint::json_schema(&doubling(60)));
    let option = |n: usize, m: usize| json!({ "type": "object", "properties": { format!("{n}.{m}"): true } });
    let product = |count: usize| {
        let options = |n| json!({ "anyOf": (0..count).map(|m| option(n, m)).collect::<Vec<_>>() });
        json!({ "allOf": (0..count).map(options).collect::<Vec<_>>() })
    };
    for count in [5, 20] {
        refused(format!("a product of {count}"), || {
            Constraint::json_schema(&product(count))
        });
    }
    let tree = |n: usize| json!({ "type": "object", "properties": { "child": { "$ref": format!("#/$defs/tree{n}") } } });
    refused("two trees in one", || {
        Constraint::json_schema(&json!({
            "allOf": [{ "$ref": "#/$defs/tree1" }, { "$ref": "#/$defs/tree2" }],
            "$defs": { "tree1": tree(1), "tree2": tree(2) }
        }))
    });
}

#[test]
fn expressions() {
    let long = (0..1000)
        .map(|n| format!("word{n}"))
        .collect::<Vec<_>>()
        .join("|");
    let cases = [
        ("groups", "(".repeat(60_000) + &")".repeat(60_000)),
        ("open groups", "(".repeat(60_000)),
        ("classes", "[".repeat(10_000)),
        ("options", "a?".repeat(30_000)),
        ("empty options", "(|a)".repeat(500)),
        ("repetitions", "(a+)+(b*)*$".to_owned()),
        (
            "repetitions of repetitions",
            "(((a{1000}){1000}){1000}){1000}".to_owned(),
        ),
        ("more repetitions than fit", "a{99999999999}".to_owned()),
        ("many states", "(a|b)*a(a|b){2000}".to_owned()),
        ("unicode", "\\p{L}{1000}[\\p{L}\\p{N}]{5000}".to_owned()),
        ("dots", ".*a".repeat(100)),
        ("counted", "(.{0,500}x){0,500}".to_owned()),
        ("any case", format!("(?i){}", "abcdefghij".repeat(1000))),
        ("words", long),
        ("look-behind", "(?<=x)*".to_owned()),
        ("anchors", "^+[a-z]$".to_owned()),
        ("intersection", "[a-z&&[^aeiou]]{100}".to_owned()),
    ];
    for (name, pattern) in &cases {
        bounded(name, || Constraint::regex(pattern));
        bounded(name, || {
            Constraint::json_schema(&json!({ "type": "string", "pattern": pattern }))
        });
        let lark = format!("start: /{}/", pattern.replace('/', "\\/"));
        bounded(name, || Constraint::lark(&lark));
    }
    refused("repetitions", || Constraint::regex(&"a?".repeat(1001)));
    refused("length", || Constraint::regex(&"a".repeat((1 << 15) + 1)));
    let patterns = json!({ "properties": members(3, |n| (n.to_string(), json!({ "pattern": "a?".repeat(700) }))) });
    refused("all patterns", || Constraint::json_schema(&patterns));
    let both = |a: &str, b: &str| json!({ "type": "string", "allOf": [{ "pattern": a }, { "pattern": b }] });
    bounded("two at once", || {
        Constraint::json_schema(&both("^(a|b)*a(a|b){300}$", "^(a|b)*b(a|b){299}$"))
    });
}

#[test]
fn choices() {
    bounded("as many as may be", || {
        Constraint::choice((0..10_000).map(|n| format!("choice {n}")))
    });
    refused("more", || {
        Constraint::choice((0..10_001).map(|n| n.to_string()))
    });
    refused("endless", || {
        Constraint::choice((0_u64..).map(|n| n.to_string()))
    });
    refused("long", || Constraint::choice(["x".repeat((1 << 20) + 1)]));
}

#[test]
fn lark_grammars() {
    let rules = |count: usize, first: &str| {
        let rules = (0..count).map(|n| format!("{first}{n}: \"a\" {first}{}\n", n + 1));
        format!(
            "start: {first}0\n{}{first}{count}: \"b\"\n",
            rules.collect::<String>()
        )
    };
    for first in ["r", "R"] {
        bounded(first, || Constraint::lark(&rules(1900, first)));
        refused(first, || Constraint::lark(&rules(2500, first)));
    }
    let doubling = |count: usize, last: &str| {
        let rules = (0..count).map(|n| format!("T{n}: T{} T{}\n", n + 1, n + 1));
        format!("start: T0\n{}T{count}: {last}\n", rules.collect::<String>())
    };
    refused("doubling", || Constraint::lark(&doubling(50, "\"a\"")));
    refused("doubling options", || {
        Constraint::lark(&doubling(8, &"\"a\"? ".repeat(100)))
    });
    refused("options", || {
        Constraint::lark(&format!("start: T\nT: {}", "\"a\"? ".repeat(2001)))
    });
    refused("parentheses", || {
        Constraint::lark(&format!(
            "start: {}\"a\"{}",
            "(".repeat(60_000),
            ")".repeat(60_000)
        ))
    });
    refused("schemas in schemas", || {
        Constraint::lark(&format!("start: %json {}1", "{\"items\":".repeat(500)))
    });
    refused("length", || {
        Constraint::lark(&format!("start: \"a\"{}", " ".repeat(1 << 20)))
    });
    bounded("left recursion", || {
        Constraint::lark("start: start \"a\" | \"b\"")
    });
    bounded("a rule that is itself", || {
        Constraint::lark("start: a\na: b\nb: a | \"x\"")
    });
    bounded("ambiguous", || {
        Constraint::lark("start: s\ns: s s | s s s | \"a\" |")
    });
    bounded("repetitions", || {
        Constraint::lark("start: (\"a\"{1000}){1000}")
    });
    bounded("more repetitions", || {
        Constraint::lark("start: (\"a\" | \"b\"){2147483647}")
    });
    bounded("substrings", || {
        Constraint::lark(&format!(
            "start: X\nX: %regex {{ \"substring_chars\": \"{}\" }}",
            "ab".repeat(2000)
        ))
    });
}

#[test]
fn gbnf_grammars() {
    let rules = |count: usize, last: &str| {
        let rules = (0..count).map(|n| format!("r{n} ::= \"a\" r{}\n", n + 1));
        format!(
            "root ::= r0\n{}r{count} ::= {last}\n",
            rules.collect::<String>()
        )
    };
    for last in ["\"b\"", "\"b\" | \"c\" root"] {
        bounded(last, || Constraint::gbnf(&rules(3000, last)));
        refused(last, || Constraint::gbnf(&rules(8000, last)));
    }
    let doubling = |count: usize, first: &str| {
        let rules = (0..count).map(|n| format!("r{n} ::= r{} r{}\n", n + 1, n + 1));
        format!(
            "root ::= r0{first}\n{}r{count} ::= \"a\"?\n",
            rules.collect::<String>()
        )
    };
    for first in ["", " | \"(\" root \")\""] {
        bounded("doubling", || Constraint::gbnf(&doubling(60, first)));
        bounded("options", || {
            Constraint::gbnf(&format!("root ::= ({}){first}", "\"a\"? ".repeat(5000)))
        });
        bounded("classes", || {
            Constraint::gbnf(&format!("root ::= ({}){first}", "[a-z] ".repeat(3000)))
        });
        bounded("a long text", || {
            Constraint::gbnf(&format!("root ::= \"{}\"{first}", "ab".repeat(9000)))
        });
        bounded("many words", || {
            let words = (0..1000).map(|n| format!(" | \"w{n}\" [a-z]*"));
            Constraint::gbnf(&format!(
                "root ::= \"x\"{}{first}",
                words.collect::<String>()
            ))
        });
        bounded("many characters", || {
            let classes = (0..3000).map(|n| format!("[\\u{:04x}]", 0x1000 + 2 * n));
            Constraint::gbnf(&format!(
                "root ::= ({}){first}",
                classes.collect::<Vec<_>>().join(" | ")
            ))
        });
        bounded("repetitions", || {
            Constraint::gbnf(&format!("root ::= (\"a\"{{1000}}){{1000}}{first}"))
        });
    }
    refused("parentheses", || {
        Constraint::gbnf(&format!(
            "root ::= {}\"a\"{}",
            "(".repeat(60_000),
            ")".repeat(60_000)
        ))
    });
    refused("repetitions", || {
        Constraint::gbnf("root ::= \"a\"{99999999999}")
    });
    refused("length", || {
        Constraint::gbnf(&format!("root ::= \"a\"{}", " ".repeat(1 << 20)))
    });
    bounded("rules of nothing", || {
        Constraint::gbnf("root ::= (\"a\"? \"b\"?)* | \"(\" (root | \"\")* \")\"")
    });
    bounded("ambiguous", || {
        Constraint::gbnf(
            "root ::= \"a\" | \"(\" root root? root? \")\" | \"a\" root | \"a\" \"a\" root",
        )
    });
}
