//! What a tool's JSON Schema says about one of its arguments.

use std::collections::BTreeSet;

use serde_json::Value;

use super::loose::number;

/// How many references are followed for one argument.
const MAX_REFERENCES: usize = 16;

/// The types that an argument may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Types(BTreeSet<String>);

impl Types {
    /// Of the property `name` of the schema of a tool's arguments. Empty: any.
    pub(super) fn of(parameters: &Value, name: &str) -> Self {
        let mut types = Self::default();
        let mut budget = MAX_REFERENCES;
        if let Some(schema) = parameters["properties"].get(name) {
            types.add(parameters, schema, &mut budget);
        }
        types
    }

    fn add(&mut self, root: &Value, schema: &Value, budget: &mut usize) {
        if *budget == 0 {
            return;
        }
        *budget -= 1;
        match &schema["type"] {
            Value::String(name) => {
                self.0.insert(name.clone());
            }
            Value::Array(names) => {
                let names = names.iter().filter_map(Value::as_str);
                self.0.extend(names.map(str::to_owned));
            }
            _ => {
                let consts = schema.get("const").into_iter();
                let values = schema["enum"].as_array().into_iter().flatten();
                self.0
                    .extend(consts.chain(values).map(|v| kind(v).to_owned()));
            }
        }
        for key in ["anyOf", "oneOf", "allOf"] {
            for schema in schema[key].as_array().into_iter().flatten() {
                self.add(root, schema, budget);
            }
        }
        if let Some(target) = reference(root, schema) {
            self.add(root, target, budget);
        }
    }

    pub(super) fn only_text(&self) -> bool {
        self.0.len() == 1 && self.0.contains("string")
    }

    pub(super) fn text(&self) -> bool {
        self.0.is_empty() || self.0.contains("string")
    }

    /// Whether a value is of one of the types.
    fn allow(&self, value: &Value) -> bool {
        let kind = kind(value);
        let whole = kind == "number" && value.as_f64().is_some_and(|n| n.fract() == 0.0);
        self.0.is_empty()
            || self.0.contains(kind)
            || (whole && self.0.contains("integer"))
            || (kind == "integer" && self.0.contains("number"))
    }

    fn allow_number(&self) -> bool {
        self.0.contains("number") || self.0.contains("integer")
    }

    /// An argument that is written without quotes: what it is by its type, and text where it is
    /// nothing else.
    pub(super) fn read(&self, text: &str) -> Value {
        if self.only_text() {
            return Value::String(text.to_owned());
        }
        let word = text.trim();
        let value = match word {
            "True" if self.0.contains("boolean") => Some(Value::Bool(true)),
            "False" if self.0.contains("boolean") => Some(Value::Bool(false)),
            "None" if self.0.contains("null") => Some(Value::Null),
            // In quotes a text is what the quotes hold only where it can't be one without.
            _ if word.starts_with('"') && self.text() => None,
            _ => serde_json::from_str(word).ok().or_else(|| {
                let digits = word.starts_with(|c: char| c == '-' || c.is_ascii_digit());
                number(word)
                    .filter(|_| digits && self.allow_number())
                    .map(Value::Number)
            }),
        };
        value
            .filter(|value| self.allow(value))
            .unwrap_or_else(|| Value::String(text.to_owned()))
    }
}

/// What a schema's `$ref` points to within the same schema.
pub(super) fn reference<'a>(root: &'a Value, schema: &Value) -> Option<&'a Value> {
    root.pointer(schema["$ref"].as_str()?.strip_prefix('#')?)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
