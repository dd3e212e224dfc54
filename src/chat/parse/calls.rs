//! From the text of a call to a [`ToolCall`].

use std::ops::Range;

use serde_json::{Map, Value};

use super::json;
use super::loose::Loose;
use super::part::CallError;
use crate::chat::message::{Tool, ToolCall};

/// Which calls there can be.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// `None`: any.
    pub(super) tools: Option<Vec<Tool>>,
    /// Whether a tool that is not in the list is called all the same.
    pub(super) accept_unknown: bool,
}

impl Known {
    pub(super) fn tool(&self, name: &str) -> Option<&Tool> {
        let tools = self.tools.as_deref().unwrap_or_default();
        tools.iter().find(|tool| tool.name() == name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.tools.is_none() || self.accept_unknown || self.tool(name).is_some()
    }

    /// The call, if there is such a tool.
    pub(super) fn call(
        &self,
        id: Option<String>,
        name: &str,
        arguments: Map<String, Value>,
    ) -> Result<ToolCall, CallError> {
        if name.is_empty() {
            return Err(invalid("it has no name"));
        }
        if !self.has(name) {
            return Err(CallError::UnknownTool(name.to_owned()));
        }
        let mut call = ToolCall::new(name, arguments);
        call.id = id;
        Ok(call)
    }
}

/// What a JSON value says about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Names and arguments under their keys; this or a list of these.
    Named,
    /// The tool's name is the only key and its arguments the value; a list of these.
    Keyed,
}

/// One call of a text and where it is in it. No call at all: what only says that none is made.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) place: Range<usize>,
    pub(super) call: Result<Option<ToolCall>, CallError>,
}

/// The calls in a JSON text.
pub(super) fn from_json(text: &str, shape: Shape, known: &Known) -> Vec<Found> {
    json::elements(text)
        .into_iter()
        .map(|place| Found {
            call: element(text.get(place.clone()).unwrap_or(""), shape, known),
            place,
        })
        .collect()
}

/// Whether a JSON text that no marker announces is a call, or a list of calls.
pub(super) fn is_call(text: &str, known: &Known) -> bool {
    let elements = json::elements(text);
    !elements.is_empty()
        && elements.into_iter().all(|place| {
            let Some(Ok(value)) = text.get(place).map(serde_json::from_str::<Value>) else {
                return false;
            };
            let call = value
                .get("function")
                .filter(|v| v.is_object())
                .unwrap_or(&value);
            let name = call.get("name").or_else(|| call.get("function"));
            let arguments = call.get("arguments").or_else(|| call.get("parameters"));
            name.and_then(Value::as_str).is_some_and(|name| {
                known.has(name) && (arguments.is_some() || known.tool(name).is_some())
            })
        })
}

fn element(text: &str, shape: Shape, known: &Known) -> Result<Option<ToolCall>, CallError> {
    let mut object = object(value(text)?)?;
    if shape == Shape::Keyed {
        let mut entries = object.into_iter();
        return match (entries.next(), entries.next()) {
            (Some((name, arguments)), None) => {
                known.call(None, &name, self::object(arguments)?).map(Some)
            }
            _ => Err(invalid("it is not one name with its arguments")),
        };
    }
    let id = ["id", "tool_call_id"]
        .iter()
        .find_map(|key| object.remove(*key));
    if let Some(Value::Object(function)) = object.get_mut("function") {
        object = std::mem::take(function);
    }
    let name = ["name", "tool_name", "function"]
        .iter()
        .find_map(|key| object.get(*key)?.as_str().map(str::to_owned))
        .ok_or_else(|| invalid("it has no name"))?;
    // What Command R is told to call when it needs none.
    let nothing = matches!(name.as_str(), "directly_answer" | "directly-answer");
    if nothing && known.tools.is_some() && known.tool(&name).is_none() {
        return Ok(None);
    }
    let arguments = ["arguments", "parameters"]
        .iter()
        .find_map(|key| object.remove(*key))
        .map_or(Ok(Map::new()), self::object)?;
    let id = id.and_then(|id| match id {
        Value::String(id) => Some(id),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    });
    known.call(id, &name, arguments).map(Some)
}

/// A text as JSON, or as what models write for it.
pub(super) fn value(text: &str) -> Result<Value, CallError> {
    serde_json::from_str(text).or_else(|error| {
        // Line breaks within strings, mostly; what is wrong is said in terms of JSON.
        Loose::new(text, None)
            .only()
            .map_err(|_| CallError::Invalid(error.to_string()))
    })
}

/// Arguments: an object, or a text that holds one.
pub(super) fn object(value: Value) -> Result<Map<String, Value>, CallError> {
    match value {
        Value::Object(object) => Ok(object),
        Value::String(text) => match self::value(&text)? {
            Value::Object(object) => Ok(object),
            other => Err(no_object(&other)),
        },
        other => Err(no_object(&other)),
    }
}

fn no_object(value: &Value) -> CallError {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    CallError::Invalid(format!("{kind} where an object must be"))
}

pub(super) fn invalid(what: &str) -> CallError {
    CallError::Invalid(what.to_owned())
}
