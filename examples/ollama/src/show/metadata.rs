//! Metadata of GGUF files as JSON and as text.

use llamakit::gguf::{File, ValueRef};
use serde_json::{Map, Value};

use super::go;

/// How wide the shown part of an array may be.
const ARRAY_WIDTH: usize = 10;

/// All keys; arrays become `null` unless they are asked for, as with Ollama.
pub(super) fn to_json(file: &File, arrays: bool) -> Map<String, Value> {
    file.metadata()
        .map(|(key, value)| {
            let value = match value {
                ValueRef::Array(_) if !arrays => Value::Null,
                ValueRef::Array(array) => array.iter().map(json).collect(),
                value => json(value),
            };
            (key.to_owned(), value)
        })
        .collect()
}

/// One value that is no array.
fn json(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::String(text) => String::from_utf8_lossy(text).into(),
        ValueRef::Bool(value) => value.into(),
        ValueRef::F32(value) => shortest(value).into(),
        ValueRef::F64(value) => value.into(),
        ValueRef::U64(value) => value.into(),
        ValueRef::I8(value) => value.into(),
        ValueRef::I16(value) => value.into(),
        ValueRef::I32(value) => value.into(),
        ValueRef::I64(value) => value.into(),
        value => value.as_u64().into(),
    }
}

/// The number that has the digits of the `f32`: 0.1 and not 0.10000000149011612.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(value.into())
}

/// Each key with its value in one line.
pub(super) fn to_lines(file: &File) -> Vec<(String, String)> {
    let line = |(key, value): (&str, ValueRef<'_>)| (key.to_owned(), text(value));
    file.metadata().map(line).collect()
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Array(array) => array_text(array.iter().map(text), array.len()),
        value => text_of(&json(value)),
    }
}

/// The same of what a server tells.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => go::number(number.as_f64().unwrap_or(f64::NAN)),
        Value::Array(items) => array_text(items.iter().map(text_of), items.len()),
        other => other.to_string(),
    }
}

/// As many items as fit, at least one, and how many more there are.
fn array_text(items: impl Iterator<Item = String>, count: usize) -> String {
    use unicode_width::UnicodeWidthStr;
    let mut shown: Vec<String> = Vec::new();
    let mut width = 1;
    for item in items {
        width += item.width() + if shown.is_empty() { 0 } else { 2 };
        if width > ARRAY_WIDTH && !shown.is_empty() {
            break;
        }
        shown.push(item);
    }
    let more = count - shown.len();
    let shown = shown.join(" ");
    if more == 0 {
        format!("[{shown}]")
    } else {
        format!("[{shown} ...+{more} more]")
    }
}
