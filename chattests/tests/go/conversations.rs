//! Conversations from requests of Ollama's API.

use llamakit::chat::{Clock, Conversation, Message, Thinking, ThinkingLevel, Tool, ToolCall};
use serde_json::Value;

/// A golden file.
pub(crate) fn golden(name: &str) -> Value {
    let path = format!("{}/golden/go/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

pub(crate) fn conversation(request: &Value) -> Conversation {
    let list = |name: &str| request[name].as_array().cloned().unwrap_or_default();
    let messages: Vec<_> = list("messages").iter().map(message).collect();
    let tools: Vec<_> = list("tools")
        .into_iter()
        .map(|tool| Tool::from_json(tool).unwrap())
        .collect();
    let thinking = match &request["think"] {
        Value::Bool(true) => Thinking::On,
        Value::Bool(false) => Thinking::Off,
        Value::String(level) if level == "high" => Thinking::Level(ThinkingLevel::High),
        Value::Null => Thinking::Default,
        other => panic!("think: {other}"),
    };
    let mut conversation = Conversation::new(messages).tools(tools).thinking(thinking);
    for (field, variable) in [("prompt", "Prompt"), ("suffix", "Suffix")] {
        if let Some(value) = request.get(field) {
            conversation
                .extra
                .insert(variable.to_owned(), value.clone());
        }
    }
    conversation
}

fn message(json: &Value) -> Message {
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    let mut message = Message::new(text("role").unwrap(), text("content").unwrap());
    message.thinking = text("thinking");
    message.tool_name = text("tool_name");
    message.tool_call_id = text("tool_call_id");
    for call in json["tool_calls"].as_array().into_iter().flatten() {
        let function = &call["function"];
        let arguments = function["arguments"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        let mut called = ToolCall::new(function["name"].as_str().unwrap(), arguments);
        called.id = call["id"].as_str().map(str::to_owned);
        message.tool_calls.push(called);
    }
    message
}

/// Noon of a day written as `YYYY-MM-DD`.
pub(crate) fn noon(date: &str) -> Clock {
    let mut parts = date.split('-').map(|part| part.parse::<i64>().unwrap());
    let (year, month, day) = (
        parts.next().unwrap(),
        parts.next().unwrap(),
        parts.next().unwrap(),
    );
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let february = if leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let years: i64 = (1970..year).map(|year| 365 + i64::from(leap(year))).sum();
    let months: i64 = months[..(month - 1) as usize].iter().sum();
    Clock {
        unix_seconds: (years + months + day - 1) * 86_400 + 43_200,
        utc_offset: 0,
    }
}
