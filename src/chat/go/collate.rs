//! The messages as templates see them: neighbours of the same role are one message.

use super::limits;
use super::text::{Author, Buffer, Text};
use super::tools::{self, Taken};
use super::value::{List, ListKind, MapKind, StructKind, Value};
use crate::chat::{Conversation, Message};

/// What stands between contents that are joined.
const BETWEEN: &str = "\n\n";

/// A message, or several that were joined.
pub(super) struct Collated<'c> {
    /// The first of them, which all but the content is from.
    pub(super) message: &'c Message,
    pub(super) content: Text,
    /// Its place in the conversation.
    pub(super) index: u32,
    /// The group that its text belongs to; none for what is always kept.
    pub(super) group: Option<u32>,
}

/// Joins neighbours of the same role, tools' messages excepted.
pub(super) fn messages(conversation: &Conversation) -> Vec<Collated<'_>> {
    let mut collated: Vec<(&Message, u32, Buffer)> = Vec::new();
    for (index, message) in (0..).zip(&conversation.messages) {
        let content = message.content.as_bytes();
        match collated.last_mut() {
            Some((last, _, joined)) if last.role == message.role && message.role != "tool" => {
                joined.push_str(BETWEEN);
                joined.push(content, Author::Message(index));
            }
            _ => {
                let mut joined = Buffer::new(usize::MAX);
                joined.push(content, Author::Message(index));
                collated.push((message, index, joined));
            }
        }
    }
    let count = collated.len();
    (1..)
        .zip(collated)
        .map(|(nth, (message, index, content))| Collated {
            message,
            content: content.into_text(),
            index,
            group: (nth < count && message.role != "system").then_some(index),
        })
        .collect()
}

/// All that the system says.
pub(super) fn system(conversation: &Conversation) -> Text {
    let mut joined = Buffer::new(usize::MAX);
    let mut first = true;
    for (index, message) in (0..).zip(&conversation.messages) {
        if message.role == "system" {
            if !first {
                joined.push_str(BETWEEN);
            }
            first = false;
            joined.push(message.content.as_bytes(), Author::Message(index));
        }
    }
    joined.into_text()
}

/// The messages as the list that templates range over.
pub(super) fn list(collated: &[Collated<'_>]) -> Taken<Value> {
    let item = |one: &Collated<'_>| {
        message(one).map_err(|cause| format!("message {}: {cause}", one.index))
    };
    let items = collated.iter().map(item).collect::<Taken<_>>()?;
    Ok(Value::List(List::appended(ListKind::Messages, items)))
}

fn message(collated: &Collated<'_>) -> Taken<Value> {
    let message = collated.message;
    let author = Author::Message(collated.index);
    let text = |text: &str| Value::Text(Text::new(text, author));
    // Control tokens may be made of the names of roles, but of no others that a caller thinks up.
    let role = match message.role.as_str() {
        role @ ("system" | "user" | "assistant" | "tool") => Value::text(role),
        role => text(role),
    };
    let images = match message.extra.get("images") {
        Some(serde_json::Value::Array(images)) => {
            let image = |image| tools::any(image, author, limits::JSON_DEPTH);
            images.iter().map(image).collect::<Taken<_>>()?
        }
        _ => Vec::new(),
    };
    let mut calls = Vec::with_capacity(message.tool_calls.len());
    for (nth, call) in (0..).zip(&message.tool_calls) {
        let arguments = tools::map(
            &call.arguments,
            MapKind::Arguments,
            author,
            limits::JSON_DEPTH,
        )?;
        let function = Value::of_fields(
            StructKind::CallFunction,
            vec![Value::Int(nth), text(&call.name), Value::Map(arguments)],
        );
        let id = text(call.id.as_deref().unwrap_or_default());
        calls.push(Value::of_fields(StructKind::ToolCall, vec![id, function]));
    }
    Ok(Value::message(
        vec![
            role,
            Value::Text(collated.content.clone()),
            text(message.thinking.as_deref().unwrap_or_default()),
            Value::List(List::appended(ListKind::Images, images)),
            Value::List(List::appended(ListKind::ToolCalls, calls)),
            text(message.tool_name.as_deref().unwrap_or_default()),
            text(message.tool_call_id.as_deref().unwrap_or_default()),
        ],
        collated.group,
    ))
}
