//! Values as `encoding/json` of Go writes them.

use super::text::{Author, Buffer, Char, Text};
use super::value::{ListKind, Value};

/// Writes a value. Values are never deeper than [`super::limits::JSON_DEPTH`], so recursion ends.
pub(super) fn write(buffer: &mut Buffer, value: &Value) {
    match value {
        Value::Invalid | Value::Nil | Value::Ordered(None) => buffer.push_str("null"),
        Value::Bool(value) => buffer.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => buffer.push_str(&value.to_string()),
        Value::Float(value) => buffer.push_str(&number(*value)),
        Value::Text(text) => write_text(buffer, text),
        Value::List(list) => match (&list.items, list.items()) {
            (None, _) => buffer.push_str("null"),
            (_, [only]) if list.kind == ListKind::Types => write(buffer, only),
            (_, items) => {
                buffer.push_str("[");
                for (index, item) in items.iter().enumerate() {
                    separate(buffer, index);
                    write(buffer, item);
                }
                buffer.push_str("]");
            }
        },
        Value::Map(map) => match &map.entries {
            None => buffer.push_str("null"),
            Some(entries) => write_entries(buffer, entries),
        },
        Value::Ordered(Some(entries)) => write_entries(buffer, entries),
        Value::Struct(value) => {
            buffer.push_str("{");
            let mut count = 0;
            for (field, value) in value.kind.fields().iter().zip(&value.values) {
                if field.omit_empty && value.is_empty() {
                    continue;
                }
                separate(buffer, count);
                count += 1;
                buffer.push_str("\"");
                buffer.push_str(field.json);
                buffer.push_str("\":");
                write(buffer, value);
            }
            buffer.push_str("}");
        }
    }
}

fn separate(buffer: &mut Buffer, index: usize) {
    if index > 0 {
        buffer.push_str(",");
    }
}

fn write_entries(buffer: &mut Buffer, entries: &[(Text, Value)]) {
    buffer.push_str("{");
    for (index, (key, value)) in entries.iter().enumerate() {
        separate(buffer, index);
        write_text(buffer, key);
        buffer.push_str(":");
        write(buffer, value);
    }
    buffer.push_str("}");
}

fn write_text(buffer: &mut Buffer, text: &Text) {
    buffer.push_str("\"");
    for Char {
        char,
        bytes,
        author,
    } in text.chars()
    {
        let mut escape = |escape: &str| buffer.push(escape.as_bytes(), author);
        match char {
            None => escape("\\ufffd"),
            Some('"') => escape("\\\""),
            Some('\\') => escape("\\\\"),
            Some('\x08') => escape("\\b"),
            Some('\x0c') => escape("\\f"),
            Some('\n') => escape("\\n"),
            Some('\r') => escape("\\r"),
            Some('\t') => escape("\\t"),
            // What HTML and JavaScript could take for something else.
            Some(char @ ('\0'..='\x1f' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}')) => {
                escape(&format!("\\u{:04x}", u32::from(char)));
            }
            Some(_) => buffer.push(bytes, author),
        }
    }
    buffer.push("\"".as_bytes(), Author::Template);
}

/// The shortest digits that are the same number, with an exponent where JavaScript has one.
fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            _ => text,
        }
    } else {
        format!("{value}")
    }
}
