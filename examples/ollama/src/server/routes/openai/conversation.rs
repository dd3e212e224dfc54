//! Messages of chat completions as those that templates know.

use std::collections::HashMap;

use serde_json::Value;

use super::fields::arguments;
use crate::api::openai::{ChatMessage, ChatToolCall};
use crate::api::{CalledFunction, Message, ToolCall};
use crate::server::error::ApiError;

/// The conversation of a request.
pub(super) fn messages(given: &[ChatMessage]) -> Result<Vec<Message>, ApiError> {
    let mut messages = Vec::new();
    // The tools that were called, by the id of the call: of the last one, where an id was used twice.
    let mut called = HashMap::new();
    for (at, message) in given.iter().enumerate() {
        let at = format!("messages[{at}]");
        let calls = message.tool_calls.iter().enumerate();
        let calls = calls.map(|(call_at, call)| {
            let field = format!("{at}.tool_calls[{call_at}].function.arguments");
            call_of(&field, call, call_at)
        });
        let tool_calls = calls.collect::<Result<Vec<_>, _>>()?;
        for call in &message.tool_calls {
            called.insert(call.id.as_str(), call.function.name.as_str());
        }
        let content = content(&at, message.content.as_ref(), !tool_calls.is_empty())?;
        let role = message.role.to_lowercase();
        let id = message.tool_call_id.clone().unwrap_or_default();
        let tool_name = match (role.as_str(), message.name.as_deref()) {
            ("tool", Some(name)) if !name.is_empty() => name,
            ("tool", _) if !id.is_empty() => called.get(id.as_str()).copied().unwrap_or_default(),
            _ => "",
        };
        let reasoning = message
            .reasoning
            .clone()
            .or(message.reasoning_content.clone());
        messages.push(Message {
            role: match role.as_str() {
                "developer" => "system".to_owned(),
                _ => role,
            },
            content,
            thinking: reasoning.unwrap_or_default(),
            images: Vec::new(),
            tool_calls,
            tool_name: tool_name.to_owned(),
            tool_call_id: id,
        });
    }
    Ok(messages)
}

fn call_of(field: &str, call: &ChatToolCall, at: usize) -> Result<ToolCall, ApiError> {
    Ok(ToolCall {
        id: call.id.clone(),
        function: CalledFunction {
            index: u32::try_from(at).unwrap_or(u32::MAX),
            name: call.function.name.clone(),
            arguments: arguments(field, &call.function.arguments)?,
            description: None,
        },
        kind: None,
    })
}

/// The text of a message: a text, or parts.
fn content(at: &str, content: Option<&Value>, optional: bool) -> Result<String, ApiError> {
    match content {
        Some(Value::String(text)) => Ok(text.clone()),
        None | Some(Value::Null) if optional => Ok(String::new()),
        Some(Value::Array(parts)) => {
            let mut text = Vec::new();
            for (number, part) in parts.iter().enumerate() {
                let field = format!("{at}.content[{number}]");
                match part["type"].as_str() {
                    Some("text" | "input_text" | "output_text") => {
                        let wrong = || ApiError::bad(format!("{field}.text: it must be a text"));
                        text.push(part["text"].as_str().ok_or_else(wrong)?);
                    }
                    Some("refusal") => text.extend(part["refusal"].as_str()),
                    Some("image_url" | "input_image") => {
                        return Err(ApiError::bad(format!(
                            "{field}: this server can't see images"
                        )));
                    }
                    Some("input_audio") => {
                        return Err(ApiError::bad(format!("{field}: this server can't hear")));
                    }
                    _ => {
                        return Err(ApiError::bad(format!(
                            "{field}.type: it must be text, or another kind of part that is known"
                        )));
                    }
                }
            }
            Ok(text.join("\n"))
        }
        _ => Err(ApiError::bad(format!(
            "{at}.content: it must be a text or a list of parts"
        ))),
    }
}
