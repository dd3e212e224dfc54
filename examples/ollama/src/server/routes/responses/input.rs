//! Items of a request as the messages that templates know.

use std::collections::HashMap;

use serde_json::Value;

use crate::api::responses::ResponsesRequest;
use crate::api::{CalledFunction, Message, ToolCall};
use crate::error::shown;
use crate::server::error::ApiError;
use crate::server::routes::openai::arguments;

/// The conversation of a request.
pub(super) fn conversation(request: &ResponsesRequest) -> Result<Vec<Message>, ApiError> {
    let mut messages = Vec::new();
    if let Some(instructions) = request
        .instructions
        .as_ref()
        .filter(|text| !text.is_empty())
    {
        messages.push(Message::new("system", instructions));
    }
    let items = match &request.input {
        Value::String(text) => {
            messages.push(Message::new("user", text));
            return Ok(messages);
        }
        Value::Array(items) => items,
        _ => return Err(ApiError::bad("input: it must be a text or a list of items")),
    };
    // What was thought belongs to what the assistant says or calls next.
    let mut thinking = String::new();
    // The tools that were called, by the id of the call: of the last one, where an id was used twice.
    let mut called = HashMap::new();
    for (number, item) in items.iter().enumerate() {
        let at = format!("input[{number}]");
        let text = |name: &str| {
            let wrong = || ApiError::bad(format!("{at}.{name}: it must be a text"));
            item[name].as_str().ok_or_else(wrong)
        };
        let kind = item["type"]
            .as_str()
            .or_else(|| item.get("role").map(|_| "message"));
        match kind {
            Some("message") => {
                let role = match text("role")? {
                    "developer" => "system",
                    role => role,
                };
                let content = text_of(&format!("{at}.content"), &item["content"])?;
                let mut message = Message::new(role, content);
                if role == "assistant" {
                    message.thinking = std::mem::take(&mut thinking);
                    let calls_open = messages
                        .last()
                        .is_some_and(|last| !last.tool_calls.is_empty());
                    // Said between a call and its result: it belongs to the call.
                    if calls_open
                        && items
                            .get(number + 1)
                            .is_some_and(|next| next["type"] == "function_call_output")
                        && let Some(last) = messages.last_mut()
                    {
                        last.content.push_str(&message.content);
                        continue;
                    }
                }
                messages.push(message);
            }
            Some("reasoning") => {
                let summary = item["summary"].as_array().into_iter().flatten();
                let summary: String = summary.filter_map(|part| part["text"].as_str()).collect();
                thinking = match item["encrypted_content"].as_str() {
                    Some(text) if !text.is_empty() => text.to_owned(),
                    _ => summary,
                };
            }
            Some("function_call") => {
                let call = ToolCall {
                    id: text("call_id")?.to_owned(),
                    function: CalledFunction {
                        index: 0,
                        name: text("name")?.to_owned(),
                        arguments: arguments(
                            &format!("{at}.arguments"),
                            item["arguments"].as_str().unwrap_or_default(),
                        )?,
                        description: None,
                    },
                    kind: None,
                };
                called.insert(call.id.clone(), call.function.name.clone());
                if messages.last().is_none_or(|last| last.role != "assistant") {
                    messages.push(Message::new("assistant", ""));
                }
                if let Some(last) = messages.last_mut() {
                    if !thinking.is_empty() {
                        last.thinking = std::mem::take(&mut thinking);
                    }
                    last.tool_calls.push(call);
                }
            }
            Some("function_call_output") => {
                let id = text("call_id")?;
                let content = text_of(&format!("{at}.output"), &item["output"])?;
                messages.push(Message {
                    tool_name: called.get(id).cloned().unwrap_or_default(),
                    tool_call_id: id.to_owned(),
                    ..Message::new("tool", content)
                });
            }
            Some("web_search_call") => {}
            Some(kind) => {
                let kind = shown(kind, 40);
                return Err(ApiError::bad(format!(
                    "{at}.type: {kind:?} is not supported"
                )));
            }
            None => return Err(ApiError::bad(format!("{at}.type: it is required"))),
        }
    }
    Ok(messages)
}

/// The text of a message: a text, or parts.
fn text_of(at: &str, content: &Value) -> Result<String, ApiError> {
    match content {
        Value::String(text) => Ok(text.clone()),
        Value::Null => Ok(String::new()),
        Value::Array(parts) => {
            let texts = parts.iter().enumerate().map(|(number, part)| {
                let field = format!("{at}[{number}]");
                match part["type"].as_str() {
                    Some("input_text" | "output_text" | "text") => part["text"]
                        .as_str()
                        .ok_or_else(|| ApiError::bad(format!("{field}.text: it must be a text"))),
                    Some("refusal") => Ok(part["refusal"].as_str().unwrap_or_default()),
                    Some("input_image") => Err(ApiError::bad(format!(
                        "{field}: this server can't see images"
                    ))),
                    Some("input_file") => {
                        Err(ApiError::bad(format!("{field}: files are not supported")))
                    }
                    _ => Err(ApiError::bad(format!(
                        "{field}.type: it must be input_text or output_text"
                    ))),
                }
            });
            texts.collect::<Result<String, ApiError>>()
        }
        _ => Err(ApiError::bad(format!(
            "{at}: it must be a text or a list of parts"
        ))),
    }
}
