//! What a client's JSON Schema means here: objects have the members that are named and no others.
//!
//! JSON Schema lets objects have any further members, and a model that may go on does. Ollama's grammars and
//! llama.cpp's end an object with what is named, unless `additionalProperties` says otherwise.

use serde_json::{Map, Value};

/// Keywords that hold one schema, lists of schemas, and schemas by name.
const ONE: [&str; 6] = [
    "items",
    "contains",
    "additionalProperties",
    "additionalItems",
    "if",
    "not",
];
const MANY: [&str; 3] = ["anyOf", "oneOf", "prefixItems"];
const NAMED: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];
/// Keywords that speak of the same object from another place, or of members that have no names.
const ELSEWHERE: [&str; 7] = [
    "additionalProperties",
    "patternProperties",
    "unevaluatedProperties",
    "allOf",
    "$ref",
    "anyOf",
    "oneOf",
];

/// The schema with its objects closed.
pub(crate) fn closed(schema: &Value) -> Value {
    let mut schema = schema.clone();
    // What must hold together with another schema can't be closed by itself.
    if !mentions(&schema, "allOf") {
        close(&mut schema);
    }
    schema
}

fn mentions(value: &Value, keyword: &str) -> bool {
    match value {
        Value::Object(members) => {
            members.contains_key(keyword) || members.values().any(|value| mentions(value, keyword))
        }
        Value::Array(items) => items.iter().any(|value| mentions(value, keyword)),
        _ => false,
    }
}

/// Schemas are as deep as the parser of JSON lets them be.
fn close(schema: &mut Value) {
    let Value::Object(members) = schema else {
        return;
    };
    let open = ELSEWHERE
        .iter()
        .any(|keyword| members.contains_key(*keyword));
    if members.get("properties").is_some_and(Value::is_object) && !open {
        members.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    for (keyword, value) in members.iter_mut() {
        let keyword = keyword.as_str();
        match value {
            Value::Object(named) if NAMED.contains(&keyword) => each(named),
            Value::Array(items) if MANY.contains(&keyword) || keyword == "items" => {
                items.iter_mut().for_each(close);
            }
            one if ONE.contains(&keyword) => close(one),
            _ => {}
        }
    }
}

fn each(named: &mut Map<String, Value>) {
    named.values_mut().for_each(close);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::closed;

    #[test]
    fn objects_end_with_what_is_named() {
        let schema = json!({
            "type": "object",
            "properties": {
                "place": { "type": "object", "properties": { "city": { "type": "string" } } },
                "list": { "type": "array", "items": { "properties": { "n": { "type": "integer" } } } },
                "any": { "type": "object" },
            },
            "$defs": { "d": { "properties": {} } },
        });
        let closed = closed(&schema);
        for place in [
            "",
            "/properties/place",
            "/properties/list/items",
            "/$defs/d",
        ] {
            let object = closed.pointer(place).unwrap();
            assert_eq!(object["additionalProperties"], false, "{place}");
        }
        assert_eq!(closed["properties"]["any"], json!({ "type": "object" }));
    }

    #[test]
    fn what_a_client_says_about_others_holds() {
        for schema in [
            json!({ "properties": { "a": {} }, "additionalProperties": true }),
            json!({ "properties": { "a": {} }, "additionalProperties": { "type": "string" } }),
            json!({ "properties": { "a": {} }, "patternProperties": { "x": {} } }),
            json!({ "allOf": [{ "properties": { "a": {} } }, { "properties": { "b": {} } }] }),
            json!({ "const": { "properties": { "a": 1 } } }),
        ] {
            assert_eq!(closed(&schema), schema);
        }
    }
}
