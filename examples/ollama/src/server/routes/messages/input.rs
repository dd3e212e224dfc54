//! A request as a conversation: messages and tools in the shape that templates know.

use std::collections::HashMap;

use llamakit::chat::ToolChoice;
use serde_json::{Map, Value, json};

use crate::api::anthropic::{
    MessageParam, MessagesRequest, ThinkingParam, ToolChoiceParam, ToolParam,
};
use crate::api::{CalledFunction, Message, Options, Think, ThinkLevel, ToolCall};
use crate::error::shown;
use crate::server::app::Heard;
use crate::server::error::ApiError;
use crate::server::routes::openai::format_of;
use crate::server::routes::talk::Talk;

/// The conversation that is to be answered, without the options, which need the model.
pub(super) fn talk(request: &MessagesRequest, heard: &mut Heard) -> Result<Talk, ApiError> {
    if request.messages.is_empty() {
        return Err(ApiError::bad("messages: it must have at least one message"));
    }
    let messages = messages(request, heard)?;
    let mut tools = Vec::new();
    for (at, tool) in request.tools.iter().enumerate() {
        tools.extend(tool_of(at, tool, heard)?);
    }
    let config = request.output_config.as_ref();
    let think = think(
        request.thinking.as_ref(),
        config.and_then(|config| config.effort.as_deref()),
    )?;
    let format = match config.and_then(|config| config.format.as_ref()) {
        None => None,
        Some(format) => {
            let kind = format["type"].as_str().unwrap_or("?");
            format_of("output_config.format", kind, format.get("schema"))?
        }
    };
    let choice = request.tool_choice.as_ref();
    Ok(Talk {
        asked: request.model.clone(),
        messages,
        tools,
        choice: tool_choice(choice)?,
        parallel_calls: !choice.is_some_and(|choice| choice.disable_parallel_tool_use),
        format,
        options: Options::default(),
        think,
        relax_thinking: true,
        keep_alive: request.keep_alive,
        logprobs: None,
        logit_bias: Vec::new(),
        truncate: request.truncate.unwrap_or(true),
        shift: false,
    })
}

fn messages(request: &MessagesRequest, heard: &mut Heard) -> Result<Vec<Message>, ApiError> {
    let mut messages = Vec::new();
    if let Some(system) = &request.system {
        let text = text_of("system", system, heard)?;
        if !text.is_empty() {
            messages.push(Message::new("system", text));
        }
    }
    let mut called = HashMap::new();
    for (at, message) in request.messages.iter().enumerate() {
        messages.extend(convert(
            &format!("messages[{at}]"),
            message,
            &mut called,
            heard,
        )?);
    }
    Ok(messages)
}

/// The messages that one of this API's is. `called` has the tools that were called, by the id of the call.
fn convert(
    at: &str,
    given: &MessageParam,
    called: &mut HashMap<String, String>,
    heard: &mut Heard,
) -> Result<Vec<Message>, ApiError> {
    let role = given.role.to_lowercase();
    if !["user", "assistant", "system"].contains(&role.as_str()) {
        return Err(ApiError::bad(format!(
            "{at}.role: it must be user or assistant"
        )));
    }
    let mut said = Message::new(&role, "");
    let mut results = Vec::new();
    let blocks = match &given.content {
        Value::String(text) => {
            said.content = text.clone();
            return Ok(vec![said]);
        }
        Value::Array(blocks) => blocks,
        _ => {
            return Err(ApiError::bad(format!(
                "{at}.content: it must be a text or a list of blocks"
            )));
        }
    };
    for (number, block) in blocks.iter().enumerate() {
        let field = format!("{at}.content[{number}]");
        let text = |name: &str| {
            let wrong = || ApiError::bad(format!("{field}.{name}: it must be a text"));
            block[name].as_str().map(str::to_owned).ok_or_else(wrong)
        };
        match block["type"].as_str() {
            Some("text") => said.content.push_str(&text("text")?),
            Some("thinking") => said.thinking.push_str(&text("thinking")?),
            Some("redacted_thinking") => {}
            Some("tool_use" | "server_tool_use") => {
                let (id, name) = (text("id")?, text("name")?);
                let arguments = match &block["input"] {
                    Value::Object(arguments) => arguments.clone(),
                    Value::Null => Map::new(),
                    _ => {
                        return Err(ApiError::bad(format!(
                            "{field}.input: it must be an object"
                        )));
                    }
                };
                called.insert(id.clone(), name.clone());
                said.tool_calls.push(ToolCall {
                    id,
                    function: CalledFunction {
                        index: u32::try_from(said.tool_calls.len()).unwrap_or(u32::MAX),
                        name,
                        arguments,
                        description: None,
                    },
                    kind: None,
                });
            }
            Some("tool_result") => {
                let id = text("tool_use_id")?;
                let mut content = text_of(&format!("{field}.content"), &block["content"], heard)?;
                if block["is_error"] == json!(true) && !content.starts_with("Error") {
                    content = format!("Error: {content}");
                }
                results.push(Message {
                    tool_name: called.get(&id).cloned().unwrap_or_default(),
                    tool_call_id: id,
                    ..Message::new("tool", content)
                });
            }
            Some("image" | "document") => return Err(unseen(&field)),
            Some(kind) => {
                let kind = shown(kind, 40);
                return Err(ApiError::bad(format!(
                    "{field}.type: {kind:?} is not supported"
                )));
            }
            None => return Err(ApiError::bad(format!("{field}.type: it must be a text"))),
        }
    }
    let empty = said.content.is_empty() && said.thinking.is_empty() && said.tool_calls.is_empty();
    // What tools answered comes before what the user says beside it.
    let mut messages = results;
    if !empty || messages.is_empty() {
        messages.push(said);
    }
    Ok(messages)
}

/// A text, or the texts of blocks.
fn text_of(at: &str, value: &Value, heard: &mut Heard) -> Result<String, ApiError> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Array(blocks) => {
            let texts = blocks.iter().enumerate().map(|(number, block)| {
                let field = format!("{at}[{number}]");
                match block["type"].as_str() {
                    Some("text") => block["text"]
                        .as_str()
                        .ok_or_else(|| ApiError::bad(format!("{field}.text: it must be a text"))),
                    Some("image" | "document") => Err(unseen(&field)),
                    Some(kind) => {
                        let kind = shown(kind, 40);
                        heard.warn(format!("{field}: {kind:?} is not known and is left out"));
                        Ok("")
                    }
                    None => Err(ApiError::bad(format!("{field}.type: it must be a text"))),
                }
            });
            texts.collect::<Result<String, ApiError>>()
        }
        _ => Err(ApiError::bad(format!(
            "{at}: it must be a text or a list of blocks"
        ))),
    }
}

fn unseen(field: &str) -> ApiError {
    ApiError::bad(format!(
        "{field}: this server can't see images or documents"
    ))
}

fn tool_of(at: usize, tool: &ToolParam, heard: &mut Heard) -> Result<Option<Value>, ApiError> {
    let kind = tool.kind.as_deref().unwrap_or("custom");
    if kind != "custom" {
        let kind = shown(kind, 40);
        heard.warn(format!(
            "tools[{at}]: {kind:?} is a tool of Anthropic's own and is left out"
        ));
        return Ok(None);
    }
    if tool.name.is_empty() {
        return Err(ApiError::bad(format!("tools[{at}].name: it is required")));
    }
    let schema = match &tool.input_schema {
        None | Some(Value::Null) => json!({ "type": "object", "properties": {} }),
        Some(schema @ Value::Object(_)) => schema.clone(),
        Some(_) => {
            return Err(ApiError::bad(format!(
                "tools[{at}].input_schema: it must be an object"
            )));
        }
    };
    Ok(Some(json!({
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description.as_deref().unwrap_or_default(),
            "parameters": schema,
        },
    })))
}

fn tool_choice(given: Option<&ToolChoiceParam>) -> Result<ToolChoice, ApiError> {
    let Some(given) = given else {
        return Ok(ToolChoice::Auto);
    };
    match given.kind.as_str() {
        "auto" => Ok(ToolChoice::Auto),
        "none" => Ok(ToolChoice::None),
        "any" => Ok(ToolChoice::Required),
        "tool" => match &given.name {
            Some(name) => Ok(ToolChoice::Function(name.clone())),
            None => Err(ApiError::bad("tool_choice.name: it is required")),
        },
        _ => Err(ApiError::bad(
            "tool_choice.type: it must be auto, any, tool or none",
        )),
    }
}

fn think(
    thinking: Option<&ThinkingParam>,
    effort: Option<&str>,
) -> Result<Option<Think>, ApiError> {
    match thinking.map(|thinking| thinking.kind.as_str()) {
        None => {}
        Some("enabled") => return Ok(Some(Think::Switch(true))),
        Some("disabled") => return Ok(Some(Think::Switch(false))),
        Some("adaptive") => {}
        Some(_) => {
            return Err(ApiError::bad(
                "thinking.type: it must be enabled, adaptive or disabled",
            ));
        }
    }
    let level = match effort.map(|effort| effort.trim().to_lowercase()).as_deref() {
        Some("low") => ThinkLevel::Low,
        Some("medium") => ThinkLevel::Medium,
        Some("high" | "xhigh") => ThinkLevel::High,
        Some("max") => ThinkLevel::Max,
        Some(_) => {
            return Err(ApiError::bad(
                "output_config.effort: it must be low, medium, high, xhigh or max",
            ));
        }
        None => return Ok(None),
    };
    Ok(Some(Think::Level(level)))
}
