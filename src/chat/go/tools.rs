//! Definitions of tools as Ollama understands them: what it has no field for is left out, properties are
//! a Go map and come in the order of their names.

use std::rc::Rc;

use serde_json::{Map as Object, Value as Json};

use super::limits;
use super::text::{Author, Text};
use super::value::{List, ListKind, Map, MapKind, StructKind, Value};
use crate::chat::Tool;

/// Why a value could not be taken; the caller says where it is from.
pub(super) type Taken<T> = Result<T, String>;

/// Any JSON, as Go decodes it into an `any`: numbers are floats, objects are maps.
pub(super) fn any(json: &Json, author: Author, depth: usize) -> Taken<Value> {
    let inner = deeper(depth)?;
    Ok(match json {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Float(number.as_f64().unwrap_or(f64::INFINITY)),
        Json::String(text) => Value::Text(Text::new(text, author)),
        Json::Array(items) => {
            let mut values = Vec::with_capacity(items.len());
            for item in items {
                values.push(any(item, author, inner)?);
            }
            Value::List(List::new(ListKind::Any, values))
        }
        Json::Object(object) => Value::Map(map(object, MapKind::Any, author, inner)?),
    })
}

pub(super) fn map(
    object: &Object<String, Json>,
    kind: MapKind,
    author: Author,
    depth: usize,
) -> Taken<Map> {
    let mut entries = Vec::with_capacity(object.len());
    for (key, value) in object {
        entries.push((Text::new(key, author), any(value, author, depth)?));
    }
    Ok(Map::new(kind, entries))
}

pub(super) fn tools(tools: &[Tool]) -> Taken<Value> {
    if tools.is_empty() {
        return Ok(Value::List(List::nil(ListKind::Tools)));
    }
    let items = tools.iter().map(|definition| {
        tool(definition).map_err(|cause| format!("tool {:?}: {cause}", definition.name()))
    });
    let items = items.collect::<Taken<_>>()?;
    Ok(Value::List(List::new(ListKind::Tools, items)))
}

fn tool(tool: &Tool) -> Taken<Value> {
    let empty = Object::new();
    let definition = tool.definition().as_object().unwrap_or(&empty);
    let function = object(definition, "function")?.unwrap_or(&empty);
    let parameters = object(function, "parameters")?.unwrap_or(&empty);
    let properties = match object(parameters, "properties")? {
        None => Map::nil(MapKind::Properties),
        Some(object) => Map::new(MapKind::Properties, properties(object, limits::JSON_DEPTH)?),
    };
    let parameters = Value::of_fields(
        StructKind::Parameters,
        vec![
            text(parameters, "type")?,
            field(parameters, "$defs")?,
            field(parameters, "items")?,
            texts(parameters, "required")?,
            Value::Map(properties),
        ],
    );
    let function = Value::of_fields(
        StructKind::Function,
        vec![
            text(function, "name")?,
            text(function, "description")?,
            parameters,
        ],
    );
    Ok(Value::of_fields(
        StructKind::Tool,
        vec![
            text(definition, "type")?,
            field(definition, "items")?,
            function,
        ],
    ))
}

fn properties(object: &Object<String, Json>, depth: usize) -> Taken<Vec<(Text, Value)>> {
    let mut entries = Vec::with_capacity(object.len());
    for (name, json) in object {
        let property = property(json, depth).map_err(|cause| format!("property {name:?}: {cause}"));
        entries.push((Text::new(name, Author::Caller), property?));
    }
    Ok(entries)
}

fn property(json: &Json, depth: usize) -> Taken<Value> {
    let inner = deeper(depth)?;
    let empty = Object::new();
    let json = match json {
        Json::Object(object) => object,
        Json::Null => &empty,
        _ => return Err("not an object".to_owned()),
    };
    let any_of = match json.get("anyOf") {
        None | Some(Json::Null) => List::nil(ListKind::Properties),
        Some(Json::Array(items)) => {
            let mut alternatives = Vec::with_capacity(items.len());
            for item in items {
                alternatives.push(property(item, inner)?);
            }
            List::new(ListKind::Properties, alternatives)
        }
        Some(_) => return Err(wrong("anyOf", "a list")),
    };
    let types = match json.get("type") {
        None | Some(Json::Null) => List::nil(ListKind::Types),
        Some(Json::String(name)) => {
            let name = Value::Text(Text::new(name, Author::Caller));
            List::new(ListKind::Types, vec![name])
        }
        Some(names) => List::new(ListKind::Types, strings(names, "type")?),
    };
    let choices = match json.get("enum") {
        None | Some(Json::Null) => Value::List(List::nil(ListKind::Any)),
        Some(list @ Json::Array(_)) => any(list, Author::Caller, inner)?,
        Some(_) => return Err(wrong("enum", "a list")),
    };
    let nested = match object(json, "properties")? {
        Some(object) => Some(Rc::new(properties(object, inner)?)),
        None => None,
    };
    Ok(Value::of_fields(
        StructKind::Property,
        vec![
            Value::List(any_of),
            Value::List(types),
            any(
                json.get("items").unwrap_or(&Json::Null),
                Author::Caller,
                inner,
            )?,
            text(json, "description")?,
            choices,
            Value::Ordered(nested),
            texts(json, "required")?,
        ],
    ))
}

fn deeper(depth: usize) -> Taken<usize> {
    let deeper = depth.checked_sub(1);
    deeper.ok_or_else(|| format!("more than {} levels deep", limits::JSON_DEPTH))
}

fn wrong(name: &str, wanted: &str) -> String {
    format!("{name} is not {wanted}")
}

fn object<'j>(
    json: &'j Object<String, Json>,
    name: &str,
) -> Taken<Option<&'j Object<String, Json>>> {
    match json.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Object(object)) => Ok(Some(object)),
        Some(_) => Err(wrong(name, "an object")),
    }
}

fn field(json: &Object<String, Json>, name: &str) -> Taken<Value> {
    let value = json.get(name).unwrap_or(&Json::Null);
    any(value, Author::Caller, limits::JSON_DEPTH)
}

fn text(json: &Object<String, Json>, name: &str) -> Taken<Value> {
    match json.get(name) {
        None | Some(Json::Null) => Ok(Value::text("")),
        Some(Json::String(text)) => Ok(Value::Text(Text::new(text, Author::Caller))),
        Some(_) => Err(wrong(name, "a text")),
    }
}

fn texts(json: &Object<String, Json>, name: &str) -> Taken<Value> {
    Ok(Value::List(match json.get(name) {
        None | Some(Json::Null) => List::nil(ListKind::Strings),
        Some(list) => List::new(ListKind::Strings, strings(list, name)?),
    }))
}

fn strings(json: &Json, name: &str) -> Taken<Vec<Value>> {
    let Json::Array(items) = json else {
        return Err(wrong(name, "a list of texts"));
    };
    let text = |item: &Json| match item {
        Json::String(text) => Ok(Value::Text(Text::new(text, Author::Caller))),
        _ => Err(wrong(name, "a list of texts")),
    };
    items.iter().map(text).collect()
}
