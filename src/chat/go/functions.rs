//! The functions of templates: Go's own and Ollama's.

use super::compare;
use super::limits;
use super::text::{Buffer, Text};
use super::value::{List, Struct, StructKind, Value};
use super::{escape, json, print, printf};

/// What a function needs to know beside its arguments.
pub(super) struct Today {
    pub(super) date: String,
    pub(super) yesterday: String,
}

/// How many arguments a function takes; `None` is any number.
pub(super) struct Arity {
    pub(super) least: usize,
    pub(super) most: Option<usize>,
}

/// Name, and how many arguments at least and at most.
const NAMES: [(&str, usize, Option<usize>); 23] = [
    ("and", 1, None),
    ("call", 1, None),
    ("currentDate", 0, None),
    ("eq", 1, None),
    ("ge", 2, Some(2)),
    ("gt", 2, Some(2)),
    ("html", 0, None),
    ("index", 1, None),
    ("js", 0, None),
    ("json", 1, Some(1)),
    ("le", 2, Some(2)),
    ("len", 1, Some(1)),
    ("lt", 2, Some(2)),
    ("ne", 2, Some(2)),
    ("not", 1, Some(1)),
    ("or", 1, None),
    ("print", 0, None),
    ("printf", 1, None),
    ("println", 0, None),
    ("slice", 1, None),
    ("toTypeScriptType", 1, Some(1)),
    ("urlquery", 0, None),
    ("yesterdayDate", 0, None),
];

pub(super) fn arity(name: &str) -> Option<Arity> {
    let &(_, least, most) = NAMES.iter().find(|(known, ..)| *known == name)?;
    Some(Arity { least, most })
}

pub(super) fn exists(name: &str) -> bool {
    arity(name).is_some()
}

/// Whether the function's argument at `index` must be a text.
pub(super) fn takes_text(name: &str, index: usize) -> bool {
    match name {
        "printf" => index == 0,
        "currentDate" | "yesterdayDate" => true,
        _ => false,
    }
}

/// Whether the function reads all that is inside of its arguments.
pub(super) fn reads_whole(name: &str) -> bool {
    matches!(
        name,
        "html" | "js" | "json" | "print" | "printf" | "println" | "toTypeScriptType" | "urlquery"
    )
}

/// Calls a function, `and` and `or` excepted, with as many arguments as it takes. The text that it makes
/// is at most `room` bytes long; more is an error. The error says what the function did not like.
pub(super) fn call(
    name: &str,
    arguments: &[Value],
    today: &Today,
    room: usize,
) -> Result<Value, String> {
    let made = |make: &dyn Fn(&mut Buffer)| {
        let mut buffer = Buffer::new(room.min(limits::OUTPUT));
        make(&mut buffer);
        if buffer.overflowed() {
            return Err("the text is longer than allowed".to_owned());
        }
        Ok(Value::Text(buffer.into_text()))
    };
    let of = |index: usize| arguments.get(index).unwrap_or(&Value::Invalid);
    let rest = arguments.get(1..).unwrap_or_default();
    match name {
        "call" => Err(match of(0).type_name() {
            Some(name) => format!("non-function of type {name}"),
            None => "call of nil".to_owned(),
        }),
        "currentDate" => Ok(Value::text(&today.date)),
        "yesterdayDate" => Ok(Value::text(&today.yesterday)),
        "eq" => compare::equal(of(0), rest).map(Value::Bool),
        "ne" => compare::equal(of(0), rest).map(|equal| Value::Bool(!equal)),
        "lt" => compare::less(of(0), of(1)).map(Value::Bool),
        "le" => compare::less_or_equal(of(0), of(1)).map(Value::Bool),
        "gt" => compare::less_or_equal(of(0), of(1)).map(|less| Value::Bool(!less)),
        "ge" => compare::less(of(0), of(1)).map(|less| Value::Bool(!less)),
        "not" => Ok(Value::Bool(!of(0).is_true())),
        "len" => length(of(0)),
        "index" => index(of(0), rest),
        "slice" => slice(of(0), rest),
        "json" => made(&|buffer| json::write(buffer, of(0))),
        "print" => made(&|buffer| print::all(buffer, arguments)),
        "println" => made(&|buffer| print::line(buffer, arguments)),
        "printf" => match of(0) {
            Value::Text(format) => made(&|buffer| printf::printf(buffer, format, rest)),
            other => Err(format!("expected string; found {}", other.described())),
        },
        "html" => made(&|buffer| escape::html(buffer, &joined(arguments))),
        "js" => made(&|buffer| escape::js(buffer, &joined(arguments))),
        "urlquery" => made(&|buffer| escape::url_query(buffer, &joined(arguments))),
        "toTypeScriptType" => match of(0) {
            Value::Struct(value) if value.kind == StructKind::Property => {
                made(&|buffer| type_script(buffer, value))
            }
            _ => Ok(Value::text("any")),
        },
        _ => Err("not a function".to_owned()),
    }
}

/// The text that escaping functions work on.
fn joined(arguments: &[Value]) -> Text {
    if let [Value::Text(text)] = arguments {
        return text.clone();
    }
    let mut buffer = Buffer::new(limits::OUTPUT);
    print::all_actions(&mut buffer, arguments);
    buffer.into_text()
}

/// A method that a value of this type has, called without arguments.
pub(super) fn method(value: &Value, name: &str, room: usize) -> Option<Value> {
    match (name, value) {
        ("String", value) => print::string_method(value, room).map(Value::Text),
        ("ToTypeScriptType", Value::Struct(property)) => (property.kind == StructKind::Property)
            .then(|| {
                let mut buffer = Buffer::new(room);
                type_script(&mut buffer, property);
                Value::Text(buffer.into_text())
            }),
        ("Len", Value::Ordered(entries)) => {
            let len = entries.as_ref().map_or(0, |entries| entries.len());
            Some(Value::Int(len as i64))
        }
        _ => None,
    }
}

fn length(value: &Value) -> Result<Value, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.entries().len(),
        Value::Nil | Value::Invalid | Value::Ordered(None) => {
            return Err("len of nil pointer".to_owned());
        }
        other => return Err(format!("len of type {}", other.described())),
    };
    Ok(Value::Int(length as i64))
}

/// A position up to `most`, that one included.
fn position(index: &Value, most: usize) -> Result<usize, String> {
    match index {
        Value::Int(index) => match usize::try_from(*index) {
            Ok(position) if position <= most => Ok(position),
            _ => Err(format!("index out of range: {index}")),
        },
        Value::Invalid | Value::Nil => Err("cannot index slice/array with nil".to_owned()),
        other => Err(format!(
            "cannot index slice/array with type {}",
            other.described()
        )),
    }
}

fn index(item: &Value, indexes: &[Value]) -> Result<Value, String> {
    if matches!(item, Value::Invalid | Value::Nil) {
        return Err("index of untyped nil".to_owned());
    }
    let mut item = item.clone();
    for index in indexes {
        item = match &item {
            Value::Invalid | Value::Nil | Value::Ordered(None) => {
                return Err("index of nil pointer".to_owned());
            }
            Value::Text(text) => {
                let at = position(index, text.len())?;
                let byte = text.bytes().get(at);
                Value::Int(i64::from(*byte.ok_or("string index out of range")?))
            }
            Value::List(list) => {
                let at = position(index, list.len())?;
                let item = list.items().get(at);
                item.ok_or("slice index out of range")?.clone()
            }
            Value::Map(map) => match index {
                Value::Text(key) => map.get(key.bytes()),
                other => {
                    return Err(match other.type_name() {
                        Some(name) => format!("value has type {name}; should be string"),
                        None => "value is nil; should be of type string".to_owned(),
                    });
                }
            },
            other => return Err(format!("can't index item of type {}", other.described())),
        };
    }
    Ok(item)
}

fn slice(item: &Value, indexes: &[Value]) -> Result<Value, String> {
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let (len, cap) = match item {
        Value::Text(_) if indexes.len() == 3 => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        Value::Text(text) => (text.len(), text.len()),
        Value::List(list) => (list.len(), list.cap),
        Value::Invalid | Value::Nil => return Err("slice of untyped nil".to_owned()),
        Value::Ordered(None) => return Err("slice of nil pointer".to_owned()),
        other => return Err(format!("can't slice item of type {}", other.described())),
    };
    let mut bounds = [0, len, cap];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, cap)?;
    }
    let [start, end, most] = bounds;
    for (low, high) in [(start, end), (end, most)] {
        if low > high {
            return Err(format!("invalid slice index: {low} > {high}"));
        }
    }
    Ok(match item {
        Value::List(list) => Value::List(List {
            start: list.start + start,
            end: list.start + end,
            cap: most - start,
            ..list.clone()
        }),
        Value::Text(text) => Value::Text(text.cut(start, end)),
        other => other.clone(),
    })
}

/// The TypeScript type of a tool's parameter. Properties are never deeper than
/// [`limits::JSON_DEPTH`], so recursion ends.
fn type_script(buffer: &mut Buffer, property: &Struct) {
    let list = |name| match property.get(name) {
        Some(Value::List(list)) => list.items(),
        _ => &[],
    };
    let (any_of, types) = (list("AnyOf"), list("Type"));
    if any_of.is_empty() && types.is_empty() {
        buffer.push_str("any");
        return;
    }
    let alternatives = if any_of.is_empty() { types } else { any_of };
    for (index, alternative) in alternatives.iter().enumerate() {
        if index > 0 {
            buffer.push_str(" | ");
        }
        match alternative {
            Value::Struct(property) => type_script(buffer, property),
            Value::Text(name) => buffer.push_str(match name.bytes() {
                b"string" => "string",
                b"number" | b"integer" => "number",
                b"boolean" => "boolean",
                b"array" => "any[]",
                b"object" => "Record<string, any>",
                b"null" => "null",
                _ => "any",
            }),
            _ => buffer.push_str("any"),
        }
    }
}
