//! The keywords of JSON Schema: which say something about values, and which only about the schema.

use serde_json::Value;

/// What a keyword is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    /// It says what values may be, and is obeyed.
    Obeyed,
    /// It says nothing about values.
    Annotation,
    /// It says what values may be, and can't be obeyed.
    Refused,
    /// Not a keyword of JSON Schema, nor one that is known to be an annotation.
    Unknown,
}

const OBEYED: [&str; 27] = [
    "$ref",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "required",
    "type",
];

/// Of JSON Schema, of OpenAPI, and of programs that show forms.
const ANNOTATIONS: [&str; 30] = [
    "$anchor",
    "$comment",
    "$defs",
    "$dynamicAnchor",
    "$id",
    "$schema",
    "$vocabulary",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "discriminator",
    "enumDescriptions",
    "enumNames",
    "errorMessage",
    "example",
    "examples",
    "externalDocs",
    "id",
    "markdownDescription",
    "order",
    "propertyOrdering",
    "readOnly",
    "strict",
    "title",
    "writeOnly",
    "xml",
];

const REFUSED: [&str; 21] = [
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "contains",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "disallow",
    "divisibleBy",
    "else",
    "extends",
    "if",
    "maxContains",
    "minContains",
    "not",
    "nullable",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
];

/// What a keyword is, in a schema with others.
pub(super) fn keyword(name: &str, value: &Value, beside: impl Fn(&str) -> bool) -> Keyword {
    if OBEYED.contains(&name) {
        return Keyword::Obeyed;
    }
    if ANNOTATIONS.contains(&name) || name.starts_with("x-") {
        return Keyword::Annotation;
    }
    let says_nothing = match (name, value) {
        ("uniqueItems" | "nullable" | "$recursiveAnchor", Value::Bool(false)) => true,
        ("unevaluatedItems" | "unevaluatedProperties" | "propertyNames", Value::Bool(true)) => true,
        ("if", _) => !beside("then") && !beside("else"),
        ("then" | "else", _) => !beside("if"),
        ("minContains" | "maxContains", _) => !beside("contains"),
        _ => false,
    };
    match REFUSED.contains(&name) {
        true if says_nothing => Keyword::Annotation,
        true => Keyword::Refused,
        false => Keyword::Unknown,
    }
}

/// The drafts that differ in what keywords mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Draft {
    Draft4,
    Draft6,
    Draft7,
    Draft2019,
    Draft2020,
}

/// The draft that `$schema` names.
pub(super) fn draft(uri: &str) -> Option<Draft> {
    let uri = uri.trim_end_matches('#');
    let uri = uri
        .strip_prefix("https://")
        .or_else(|| uri.strip_prefix("http://"))?;
    Some(match uri {
        "json-schema.org/draft-04/schema" => Draft::Draft4,
        "json-schema.org/draft-06/schema" => Draft::Draft6,
        "json-schema.org/draft-07/schema" => Draft::Draft7,
        "json-schema.org/draft/2019-09/schema" => Draft::Draft2019,
        "json-schema.org/draft/2020-12/schema" | "json-schema.org/schema" => Draft::Draft2020,
        _ => return None,
    })
}
