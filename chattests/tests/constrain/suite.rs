//! The JSON-Schema-Test-Suite: each schema is refused with its place, or no answer breaks it.

use llamakit::ErrorKind;
use llamakit::constrain::Constraint;
use llamakit_testkit::fetch::{JSON_SCHEMA_SUITE, sdist};
use serde_json::{Value, json};

use crate::random::{Dice, End, Words, accepts, answer, bytes, pieces};

struct Case {
    name: String,
    schema: Value,
    tests: Vec<Value>,
}

fn cases(draft: &str, uri: &str) -> Vec<Case> {
    let files = sdist(JSON_SCHEMA_SUITE, &format!("/json/tests/{draft}/")).unwrap();
    let mut cases = Vec::new();
    for (path, text) in files {
        let groups: Vec<Value> = serde_json::from_slice(&text).unwrap();
        for group in groups {
            let mut schema = group["schema"].clone();
            if let Value::Object(keywords) = &mut schema {
                keywords.entry("$schema").or_insert(json!(uri));
            }
            cases.push(Case {
                name: format!("{path}: {}", group["description"]),
                schema,
                tests: group["tests"].as_array().unwrap().clone(),
            });
        }
    }
    cases
}

/// What came of the schemas of a draft.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    schemas: usize,
    accepted: usize,
    /// Answers that ended by themselves.
    whole: usize,
    /// Values of the suite that a schema allows and that the constraint allows in their shortest form.
    allowed: usize,
}

fn check(case: &Case, tally: &mut Tally) {
    let name = &case.name;
    tally.schemas += 1;
    let constraint = match Constraint::json_schema(&case.schema) {
        Ok(constraint) => constraint,
        Err(error) => {
            let kinds = [ErrorKind::InvalidArgument, ErrorKind::Unsupported];
            assert!(kinds.contains(&error.kind()), "{name}: {error}");
            assert!(
                names_a_place(&case.schema, error.message()),
                "{name}: {error}"
            );
            return;
        }
    };
    tally.accepted += 1;
    let judge = jsonschema::options()
        .should_validate_formats(false)
        .without_content_media_type_support("application/json")
        .without_content_encoding_support("base64");
    let judge = judge.build(&case.schema).unwrap();
    for (words, seeds) in [(bytes(), 0..20), (pieces(), 20..30)] {
        for seed in seeds {
            let (text, end) = answer(&constraint, words, &mut Dice::new(seed), 300);
            assert_ne!(end, End::Dead, "{name}: {}", String::from_utf8_lossy(&text));
            if end == End::Whole {
                tally.whole += 1;
                let text = String::from_utf8(text).unwrap();
                let value: Value = serde_json::from_str(&text)
                    .unwrap_or_else(|error| panic!("{name}: {error} in {text}"));
                assert!(
                    judge.is_valid(&value),
                    "{name}: {} gave {text}",
                    case.schema
                );
            }
        }
    }
    for test in &case.tests {
        check_value(case, &constraint, bytes(), test, tally);
    }
}

/// What the suite says is invalid must never be allowed; most of what is valid is.
fn check_value(
    case: &Case,
    constraint: &Constraint,
    words: &Words,
    test: &Value,
    tally: &mut Tally,
) {
    let value = &test["data"];
    let texts = [
        value.to_string(),
        serde_json::to_string_pretty(value).unwrap(),
    ];
    let allowed = texts.map(|text| accepts(constraint, words, &text));
    match test["valid"].as_bool().unwrap() {
        true => tally.allowed += usize::from(allowed[0]),
        // Of formats the shape is checked, not for instance which years have a 29th of February. What
        // is written in a text says nothing about the text.
        false if case.name.contains("/format") || case.name.contains("/content.json") => {}
        false => assert_eq!(
            allowed, [false; 2],
            "{}: {} allows {value}",
            case.name, case.schema
        ),
    }
}

/// Whether a message ends with a place that is in the schema.
fn names_a_place(schema: &Value, message: &str) -> bool {
    let Some((_, place)) = message
        .strip_suffix(')')
        .and_then(|text| text.rsplit_once("(at "))
    else {
        return false;
    };
    match place {
        "the root" => true,
        place => schema.pointer(place).is_some(),
    }
}

fn run(draft: &str, uri: &str) -> Tally {
    let mut tally = Tally::default();
    for case in cases(draft, uri) {
        check(&case, &mut tally);
    }
    tally
}

/// The suite is of a fixed version: fewer accepted schemas or values than these means that something
/// is no longer understood.
fn assert_least(draft: &str, uri: &str, least: Tally) {
    let tally = run(draft, uri);
    let enough = tally.schemas == least.schemas
        && tally.accepted >= least.accepted
        && tally.whole >= least.whole
        && tally.allowed >= least.allowed;
    assert!(enough, "{tally:?}, not {least:?}");
}

#[test]
fn answers_meet_the_schemas_of_draft_2020_12() {
    let least = Tally {
        schemas: 438,
        accepted: 200,
        whole: 5400,
        allowed: 532,
    };
    assert_least(
        "draft2020-12",
        "https://json-schema.org/draft/2020-12/schema",
        least,
    );
}

#[test]
fn answers_meet_the_schemas_of_draft_7() {
    let least = Tally {
        schemas: 311,
        accepted: 195,
        whole: 5200,
        allowed: 472,
    };
    assert_least("draft7", "http://json-schema.org/draft-07/schema#", least);
}

#[test]
fn answers_meet_the_schemas_of_draft_4() {
    let least = Tally {
        schemas: 198,
        accepted: 151,
        whole: 4000,
        allowed: 363,
    };
    assert_least("draft4", "http://json-schema.org/draft-04/schema#", least);
}
