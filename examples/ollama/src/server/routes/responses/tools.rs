//! Tools of a request as the other APIs write them.

use serde_json::{Value, json};

use crate::error::shown;
use crate::server::app::Heard;
use crate::server::error::ApiError;

/// All that may be called.
pub(super) fn tools(given: &[Value], heard: &mut Heard) -> Result<Vec<Value>, ApiError> {
    let mut out = Vec::new();
    for (at, tool) in given.iter().enumerate() {
        push_tool(&format!("tools[{at}]"), "", tool, &mut out, heard)?;
    }
    Ok(out)
}

fn push_tool(
    at: &str,
    prefix: &str,
    tool: &Value,
    out: &mut Vec<Value>,
    heard: &mut Heard,
) -> Result<(), ApiError> {
    let name = || {
        let wrong = || ApiError::bad(format!("{at}.name: it must be a text"));
        tool["name"]
            .as_str()
            .filter(|name| !name.is_empty())
            .ok_or_else(wrong)
    };
    match tool["type"].as_str() {
        Some("function") => {
            let parameters = match &tool["parameters"] {
                Value::Null => json!({ "type": "object", "properties": {} }),
                parameters => parameters.clone(),
            };
            out.push(json!({
                "type": "function",
                "function": {
                    "name": format!("{prefix}{}", name()?),
                    "description": tool["description"].as_str().unwrap_or_default(),
                    "parameters": parameters,
                },
            }));
            Ok(())
        }
        Some("namespace") if prefix.is_empty() => {
            let prefix = format!("{}.", name()?);
            for (number, member) in tool["tools"].as_array().into_iter().flatten().enumerate() {
                push_tool(
                    &format!("{at}.tools[{number}]"),
                    &prefix,
                    member,
                    out,
                    heard,
                )?;
            }
            Ok(())
        }
        Some(kind) => {
            let kind = shown(kind, 40);
            heard.warn(format!(
                "{at}: {kind:?} is a tool of OpenAI's own and is left out"
            ));
            Ok(())
        }
        None => Err(ApiError::bad(format!("{at}.type: it must be a text"))),
    }
}
