//! JSON Schema: what is understood, how it is written, and what is refused.

use llamakit::ErrorKind;
use llamakit::constrain::Constraint;
use serde_json::{Value, json};

use crate::random::{Dice, End, accepts, answer, bytes, pieces};

fn constraint(schema: &Value) -> Constraint {
    Constraint::json_schema(schema).unwrap_or_else(|error| panic!("{schema}: {error}"))
}

fn check(schema: &Value, yes: &[&str], no: &[&str]) {
    let constraint = constraint(schema);
    for words in [bytes(), pieces()] {
        for text in yes {
            assert!(accepts(&constraint, words, text), "{schema} refuses {text}");
        }
        for text in no {
            assert!(!accepts(&constraint, words, text), "{schema} allows {text}");
        }
    }
}

#[test]
fn what_users_write() {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Order",
        "type": "object",
        "properties": {
            "kind": { "enum": ["new", "old"], "description": "which", "default": "new" },
            "items": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/Item" } },
            "note": { "anyOf": [{ "type": "string", "maxLength": 5 }, { "type": "null" }] },
            "count": { "type": "integer", "format": "uint8", "minimum": 0, "x-order": 3 }
        },
        "required": ["kind", "items"],
        "additionalProperties": false,
        "$defs": { "Item": { "type": "object", "properties": { "id": { "type": "string", "pattern": "^[a-z]{2}$" } },
            "required": ["id"], "additionalProperties": false } }
    });
    check(
        &schema,
        &[
            r#"{"kind":"new","items":[{"id":"ab"}]}"#,
            "{\n  \"kind\": \"old\",\n  \"items\": [\n    {\n      \"id\": \"zz\"\n    }\n  ],\n  \"note\": null\n}",
            r#"{"kind":"old", "items":[{"id":"ab"},{"id":"cd"}], "note":"short", "count":7}"#,
        ],
        &[
            r#"{"kind":"newer","items":[{"id":"ab"}]}"#,
            r#"{"kind":"new","items":[]}"#,
            r#"{"kind":"new","items":[{"id":"abc"}]}"#,
            r#"{"kind":"new","items":[{"id":"ab"}],"note":"longer"}"#,
            r#"{"kind":"new","items":[{"id":"ab"}],"more":1}"#,
            r#"{"kind":"new","items":[{"id":"ab"}],"count":-1}"#,
            r#"{"items":[{"id":"ab"}],"kind":"new"}"#,
        ],
    );
    let tagged = json!({ "oneOf": [
        { "type": "object", "properties": { "t": { "const": "a" }, "x": { "type": "integer" } }, "required": ["t", "x"] },
        { "type": "object", "properties": { "t": { "const": "b" } }, "required": ["t"] }
    ] });
    check(
        &tagged,
        &[r#"{"t":"a","x":1}"#, r#"{"t":"b","y":2}"#],
        &[r#"{"t":"a"}"#, r#"{"t":"c"}"#],
    );
}

#[test]
fn blanks_are_bounded() {
    check(
        &json!({ "type": "array", "items": { "type": "integer" } }),
        &[
            "[]",
            "[ ]",
            "[\n]",
            "[1, 2]",
            "[\n\n\t\t1\n,2 ]",
            &format!("[\n{}1]", " ".repeat(20)),
        ],
        &[
            "[  ]",
            "[\n\n\n]",
            "[\r\n]",
            " []",
            &format!("[\n{}1]", " ".repeat(21)),
            "[]  ",
        ],
    );
}

#[test]
fn texts_have_one_spelling() {
    check(
        &json!({ "type": "string" }),
        &["\"é日本\\n\\\"\\\\\"", "\"\"", "\"/\""],
        &["\"\\u00e9\"", "\"\\/\"", "\"\n\"", "\"\\x\"", "\"the"],
    );
    // Or a name could be written twice in two ways.
    check(
        &json!({ "type": "object", "properties": { "a": { "type": "integer" } } }),
        &[r#"{"a":1,"b":"x"}"#, r#"{"b":"x"}"#],
        &[r#"{"\u0061":"x"}"#, r#"{"a":"x"}"#, r#"{"a":1,"a":2}"#],
    );
}

#[test]
fn numbers_stay_within_what_readers_read() {
    let number = json!({ "type": "number" });
    check(
        &number,
        &[
            "0",
            "-0",
            "12.5",
            "1e9",
            "-1E-99",
            "123456789012345678",
            &format!("0.{}", "1".repeat(40)),
        ],
        &[
            "01",
            "1.",
            ".5",
            "+1",
            "1e999",
            "1e100",
            "1234567890123456789",
            &format!("0.{}", "1".repeat(41)),
        ],
    );
    // What is no integer for some readers.
    check(
        &json!({ "type": "integer" }),
        &["0", "-1"],
        &["-0", "1.0", "1e3"],
    );
    check(&json!({}), &["1e99", "[1e99]"], &["1e100", "[1e100]"]);
    for seed in 0..200 {
        let (text, end) = answer(&constraint(&number), bytes(), &mut Dice::new(seed), 100);
        assert_eq!(end, End::Whole);
        serde_json::from_slice::<f64>(&text).unwrap();
    }
    check(
        &json!({ "type": "integer", "minimum": -3, "exclusiveMaximum": 120, "multipleOf": 3 }),
        &["-3", "0", "117"],
        &["-6", "120", "1", "3.0"],
    );
    check(
        &json!({ "type": "number", "multipleOf": 0.25 }),
        &["0.25", "7.25", "-7.25", "3"],
        &["0.3", "1e2"],
    );
}

#[test]
fn an_object_is_meant_where_only_objects_are_described() {
    check(
        &json!({ "properties": { "a": { "type": "integer" } }, "required": ["a"] }),
        &[r#"{"a":1}"#],
        &["1", "null", "[]", "{}"],
    );
    check(&json!({ "description": "anything" }), &["1", "{}"], &["x"]);
}

#[test]
fn references_lead_anywhere_in_the_schema() {
    check(
        &json!({
            "type": "object",
            "properties": {
                "a/b~c": { "type": "boolean" },
                "x": { "$ref": "#/properties/a~1b~0c" },
                "y": { "$ref": "#/properties/a%7E1b~0c" },
                "z": { "$ref": "#/$defs/list/prefixItems/0" },
                "tree": { "$ref": "#" }
            },
            "additionalProperties": false,
            "$defs": { "list": { "prefixItems": [{ "const": 7 }] }, "unused": { "not": {} } }
        }),
        &[r#"{"x":true,"z":7}"#, r#"{"tree":{"tree":{"z":7}}}"#],
        &[r#"{"x":1}"#, r#"{"z":8}"#, r#"{"tree":1}"#],
    );
    let y = json!({ "$ref": "#/properties/a%2Fb", "properties": { "a/b": {} } });
    let error = Constraint::json_schema(&y).unwrap_err();
    assert!(error.message().contains("leads nowhere"), "{error}");
}

/// A schema, the place of what is wrong with it, and words of the message.
type Refused = (Value, &'static str, &'static str);

fn refuse(kind: ErrorKind, cases: impl IntoIterator<Item = Refused>) {
    for (schema, place, words) in cases {
        let error = Constraint::json_schema(&schema).unwrap_err();
        let message = error.message();
        assert_eq!(error.kind(), kind, "{schema}: {message}");
        assert!(
            message.contains(&format!("(at {place})")),
            "{schema}: {message}"
        );
        assert!(message.contains(words), "{schema}: {message}");
    }
}

#[test]
fn what_cannot_be_obeyed_is_refused_with_its_place() {
    let deep = |inner: Value| json!({ "properties": { "a": { "items": inner } } });
    refuse(
        ErrorKind::Unsupported,
        [
            (
                deep(json!({ "not": {} })),
                "/properties/a/items/not",
                "\"not\"",
            ),
            (
                deep(json!({ "uniqueItems": true })),
                "/properties/a/items/uniqueItems",
                "uniqueItems",
            ),
            (json!({ "if": {}, "then": {} }), "/if", "\"if\""),
            (json!({ "contains": {} }), "/contains", "contains"),
            (
                json!({ "propertyNames": { "maxLength": 3 } }),
                "/propertyNames",
                "propertyNames",
            ),
            (
                json!({ "dependentRequired": { "a": ["b"] } }),
                "/dependentRequired",
                "dependentRequired",
            ),
            (
                json!({ "unevaluatedProperties": false }),
                "/unevaluatedProperties",
                "unevaluated",
            ),
            (
                json!({ "type": "string", "nullable": true }),
                "/nullable",
                "nullable",
            ),
            (
                json!({ "type": "string", "maxlength": 3 }),
                "/maxlength",
                "no keyword",
            ),
            (
                json!({ "type": "string", "format": "iri" }),
                "/format",
                "unknown format \"iri\"",
            ),
            (
                json!({ "$ref": "https://example.com/schema" }),
                "/$ref",
                "no place in this schema",
            ),
            (
                json!({ "$ref": "#anchor" }),
                "/$ref",
                "no place in this schema",
            ),
            (
                json!({ "$schema": "https://example.com/mine" }),
                "/$schema",
                "unknown schema",
            ),
            (
                json!({ "properties": { "a": { "$id": "b", "$ref": "#" } } }),
                "/properties/a/$id",
                "of its own",
            ),
            (
                json!({ "oneOf": [{ "type": "integer" }, { "type": "number" }] }),
                "/oneOf",
                "exclude each other",
            ),
            (
                deep(json!({ "oneOf": [{}, {}] })),
                "/properties/a/items/oneOf",
                "exclude each other",
            ),
            (
                json!({ "type": "object", "minProperties": 2 }),
                "/minProperties",
                "one more",
            ),
            (
                json!({ "properties": { "a": {}, "b": {} }, "maxProperties": 1 }),
                "/maxProperties",
                "maxProperties",
            ),
            (json!({ "const": 1e300 }), "/const", "out of range"),
            (
                json!({ "minimum": 9_007_199_254_740_993_u64 }),
                "/minimum",
                "out of range",
            ),
            (
                json!({ "enum": ["a", "b\u{1}"] }),
                "/enum/1",
                "control characters",
            ),
            (
                json!({ "type": "integer", "multipleOf": 1e6 }),
                "/multipleOf",
                "too many digits",
            ),
        ],
    );
}

#[test]
fn what_is_no_schema_or_has_no_values_is_refused_with_its_place() {
    refuse(
        ErrorKind::InvalidArgument,
        [
            (json!(3), "the root", "a schema is"),
            (json!(false), "the root", "nsatisfiable"),
            (json!({ "type": "strin" }), "/type", "\"strin\" is no type"),
            (json!({ "type": [] }), "/type", "no type"),
            (json!({ "type": 3 }), "/type", "not the name"),
            (json!({ "properties": [] }), "/properties", "not an object"),
            (
                json!({ "properties": { "a": 1 } }),
                "/properties/a",
                "a schema is",
            ),
            (json!({ "required": "a" }), "/required", "not an array"),
            (json!({ "required": [1] }), "/required/0", "not a string"),
            (json!({ "minLength": -1 }), "/minLength", "whole number"),
            (json!({ "maxItems": 1.5 }), "/maxItems", "whole number"),
            (json!({ "minimum": "3" }), "/minimum", "not a number"),
            (json!({ "multipleOf": 0 }), "/multipleOf", "above 0"),
            (
                json!({ "exclusiveMinimum": true }),
                "/exclusiveMinimum",
                "not a number",
            ),
            (json!({ "pattern": "(" }), "/pattern", "unclosed group"),
            (json!({ "pattern": "(?<=x)*" }), "/pattern", "look-around"),
            (
                json!({ "patternProperties": { "[": {} } }),
                "/patternProperties/[",
                "unclosed",
            ),
            (json!({ "enum": [] }), "/enum", "nsatisfiable"),
            (
                json!({ "type": "string", "minLength": 5, "maxLength": 2 }),
                "/minLength",
                "minLength",
            ),
            (
                json!({ "type": "integer", "minimum": 5, "maximum": 2 }),
                "/minimum",
                "minimum",
            ),
            (json!({ "$ref": "#/$defs/gone" }), "/$ref", "leads nowhere"),
            (json!({ "$ref": "#" }), "the root", "leads to itself"),
            (
                json!({ "$ref": "#/$defs/a", "$defs": { "a": { "anyOf": [{ "$ref": "#/$defs/b" }, {}] },
                    "b": { "allOf": [{ "$ref": "#/$defs/a" }] } } }),
                "/$defs/a",
                "leads to itself",
            ),
            (
                json!({ "$ref": "#/$defs/a", "$defs": { "a": { "type": "object", "required": ["a"],
                    "properties": { "a": { "$ref": "#/$defs/a" } } } } }),
                "/$defs/a",
                "no finite value",
            ),
            (
                json!({ "$ref": "#/$defs/a", "$defs": { "a": { "type": "array", "minItems": 1,
                    "items": { "$ref": "#/$defs/a" } } } }),
                "/$defs/a",
                "no finite value",
            ),
        ],
    );
}

#[test]
fn what_says_nothing_is_passed_over() {
    for schema in [
        json!({ "type": "string", "uniqueItems": false, "nullable": false }),
        json!({ "type": "string", "then": { "not": {} }, "minContains": 3 }),
        json!({ "type": "string", "if": { "not": {} } }),
        json!({ "type": "string", "unevaluatedProperties": true, "propertyNames": true }),
        json!({ "type": "string", "x-guidance": { "lenient": true, "whitespace_pattern": ".*" } }),
        json!({ "type": "string", "format": "password", "deprecated": true, "examples": [1], "example": 2 }),
        json!({ "type": "string", "$id": "https://example.com/a", "definitions": { "x": { "not": {} } } }),
    ] {
        check(&schema, &["\"the\""], &["1"]);
    }
}
