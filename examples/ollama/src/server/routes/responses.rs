//! `POST /v1/responses`: OpenAI's Responses API, without what keeps state.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Map, Value, json};

use super::chat::{Begun, Talk, talk, whole_messages};
use super::openai::{add_warnings, arguments, effort, format_of, tool_choice};
use crate::api::responses::ResponsesRequest;
use crate::api::{CalledFunction, Message, ToolCall};
use crate::server::app::{App, Caller, Heard, hear, options};
use crate::server::body;
use crate::server::clock;
use crate::server::error::ApiError;
use crate::server::id;
use crate::server::infer::{self, Chunk, End, Item};
use crate::server::reply;

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

/// The conversation of a request.
fn conversation(request: &ResponsesRequest) -> Result<Vec<Message>, ApiError> {
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
                let calls = messages
                    .iter()
                    .flat_map(|message: &Message| &message.tool_calls);
                let call = calls.rev().find(|call| call.id == id);
                let name = call
                    .map(|call| call.function.name.clone())
                    .unwrap_or_default();
                let content = text_of(&format!("{at}.output"), &item["output"])?;
                messages.push(Message {
                    tool_name: name,
                    tool_call_id: id.to_owned(),
                    ..Message::new("tool", content)
                });
            }
            Some("web_search_call") => {}
            Some(kind) => {
                let kind: String = kind.chars().take(40).collect();
                return Err(ApiError::bad(format!(
                    "{at}.type: {kind:?} is not supported"
                )));
            }
            None => return Err(ApiError::bad(format!("{at}.type: it is required"))),
        }
    }
    Ok(messages)
}

/// Tools as the other APIs write them.
fn tools(given: &[Value], heard: &mut Heard) -> Result<Vec<Value>, ApiError> {
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
            let kind: String = kind.chars().take(40).collect();
            heard.warn(format!(
                "{at}: {kind:?} is a tool of OpenAI's own and is left out"
            ));
            Ok(())
        }
        None => Err(ApiError::bad(format!("{at}.type: it must be a text"))),
    }
}

pub(crate) async fn responses(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let began = Instant::now();
    let body = body::read(request, body::JSON).await?;
    let (request, mut heard) = hear::<ResponsesRequest>(&body, &caller)?;
    if request.previous_response_id.is_some() {
        return Err(ApiError::bad(
            "previous_response_id: responses are not kept; send the whole conversation",
        ));
    }
    if request
        .conversation
        .as_ref()
        .is_some_and(|value| !value.is_null())
    {
        return Err(ApiError::bad(
            "conversation: conversations are not kept; send the whole conversation",
        ));
    }
    if request.background {
        return Err(ApiError::bad("background: it is not supported"));
    }
    let messages = conversation(&request)?;
    if messages.is_empty() {
        return Err(ApiError::bad("input: it must have at least one message"));
    }
    let logprobs = infer::logprobs(request.top_logprobs > 0, request.top_logprobs)?;
    let think = effort(
        request
            .reasoning
            .as_ref()
            .and_then(|reasoning| reasoning.effort.as_deref()),
    )?;
    let named = request.text.as_ref().and_then(|text| text.format.as_ref());
    let format = match named {
        None => None,
        Some(named) => format_of("text.format", &named.kind, named.schema.as_ref())?,
    };
    let truncate = match request.truncation.as_deref() {
        None | Some("disabled") => false,
        Some("auto") => true,
        Some(_) => return Err(ApiError::bad("truncation: it must be auto or disabled")),
    };
    let choice = tool_choice(request.tool_choice.as_ref())?;
    let offered = tools(&request.tools, &mut heard)?;
    let model = app.find(&request.model).await?;
    let values = request.option_values();
    let options = options(&model, Some(&values), &[], &mut heard)?;
    let talk_of = Talk {
        asked: request.model.clone(),
        messages,
        tools: offered,
        choice,
        parallel_calls: request.parallel_tool_calls.unwrap_or(true),
        format,
        options,
        think,
        relax_thinking: false,
        keep_alive: request.keep_alive,
        logprobs,
        logit_bias: Vec::new(),
        // As with the original, the conversation may be shortened unless it was said that it may not.
        truncate: truncate || request.truncation.is_none(),
        shift: false,
    };
    let mut answering = match talk(&app, &caller, model, talk_of, heard, began, false).await? {
        Begun::Answer(answering) => *answering,
        Begun::Prompt(_) => return Err(ApiError::internal("there is no answer")),
    };
    let mut writer = Writer::new(&request);
    if !request.stream {
        let (chunk, end) = answering.whole().await?;
        writer.chunk(&chunk);
        writer.close();
        return reply::json(&writer.finished(&end));
    }
    // What fails before the first part has a status of its own.
    let first = answering.next().await.transpose()?;
    let begin = writer.begin();
    let events = whole_messages(first, answering).map(move |item| match item {
        Ok(Item::Chunk(chunk)) => {
            writer.chunk(&chunk);
            writer.take()
        }
        Ok(Item::End(end)) => writer.end(&end),
        Err(error) => writer.failed(&error),
    });
    Ok(reply::events(
        futures_util::stream::iter([begin]).chain(events),
    ))
}

/// The item that is being written.
#[derive(Debug)]
enum Open {
    Nothing,
    Reasoning { id: String, text: String },
    Message { id: String, text: String },
}

/// Writes an answer as this API's events, and keeps its items for the whole response.
struct Writer {
    /// What replies repeat of the request.
    base: Map<String, Value>,
    open: Open,
    items: Vec<Value>,
    sequence: u64,
    out: Vec<u8>,
}

impl Writer {
    fn new(request: &ResponsesRequest) -> Self {
        let format = request.text.as_ref().and_then(|text| text.format.as_ref());
        let format = format.map_or_else(|| json!({ "type": "text" }), |format| json!(format));
        let reasoning = request
            .reasoning
            .as_ref()
            .map(|reasoning| json!({ "effort": reasoning.effort, "summary": reasoning.summary }));
        let number = |value: &Option<Value>| value.as_ref().and_then(Value::as_f64).unwrap_or(1.0);
        let base = json!({
            "id": id::random("resp_", 24),
            "object": "response",
            "created_at": clock::unix(SystemTime::now()),
            "completed_at": null,
            "status": "in_progress",
            "incomplete_details": null,
            "model": request.model,
            "previous_response_id": null,
            "instructions": request.instructions,
            "output": [],
            "error": null,
            "tools": request.tools,
            "tool_choice": request.tool_choice.clone().unwrap_or_else(|| json!("auto")),
            "truncation": request.truncation.as_deref().unwrap_or("disabled"),
            "parallel_tool_calls": request.parallel_tool_calls.unwrap_or(true),
            "text": { "format": format },
            "top_p": number(&request.top_p),
            "presence_penalty": 0,
            "frequency_penalty": 0,
            "top_logprobs": request.top_logprobs,
            "temperature": number(&request.temperature),
            "reasoning": reasoning,
            "usage": null,
            "max_output_tokens": request.max_output_tokens,
            "max_tool_calls": null,
            "store": false,
            "background": false,
            "service_tier": "default",
            "metadata": request.metadata.clone().unwrap_or_default(),
            "safety_identifier": null,
            "prompt_cache_key": null,
        });
        let base = match base {
            Value::Object(base) => base,
            _ => Map::new(),
        };
        Self {
            base,
            open: Open::Nothing,
            items: Vec::new(),
            sequence: 0,
            out: Vec::new(),
        }
    }

    fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.out).into()
    }

    fn say(&mut self, kind: &str, mut data: Value) {
        data["type"] = json!(kind);
        data["sequence_number"] = json!(self.sequence);
        self.sequence += 1;
        self.out.extend_from_slice(&reply::event(kind, &data));
    }

    fn response(&self) -> Value {
        Value::Object(self.base.clone())
    }

    fn begin(&mut self) -> Bytes {
        let response = self.response();
        self.say("response.created", json!({ "response": response }));
        self.say("response.in_progress", json!({ "response": response }));
        self.take()
    }

    fn chunk(&mut self, chunk: &Chunk) {
        if !chunk.thinking.is_empty() {
            if !matches!(self.open, Open::Reasoning { .. }) {
                self.close();
                let index = self.items.len();
                let id = id::random("rs_", 24);
                let item = json!({ "id": id, "type": "reasoning", "summary": [] });
                self.say(
                    "response.output_item.added",
                    json!({ "output_index": index, "item": item }),
                );
                let part = json!({ "type": "summary_text", "text": "" });
                self.say(
                    "response.reasoning_summary_part.added",
                    json!({ "item_id": id, "output_index": index, "summary_index": 0, "part": part }),
                );
                self.open = Open::Reasoning {
                    id,
                    text: String::new(),
                };
            }
            let index = self.items.len();
            if let Open::Reasoning { id, text } = &mut self.open {
                text.push_str(&chunk.thinking);
                let data = json!({
                    "item_id": id, "output_index": index, "summary_index": 0, "delta": chunk.thinking,
                });
                self.say("response.reasoning_summary_text.delta", data);
            }
        }
        if !chunk.content.is_empty() {
            if !matches!(self.open, Open::Message { .. }) {
                self.close();
                self.open_message();
            }
            let index = self.items.len();
            if let Open::Message { id, text } = &mut self.open {
                text.push_str(&chunk.content);
                let data = json!({
                    "item_id": id, "output_index": index, "content_index": 0,
                    "delta": chunk.content, "logprobs": chunk.logprobs,
                });
                self.say("response.output_text.delta", data);
            }
        }
        for call in &chunk.tool_calls {
            self.close();
            self.call(call);
        }
    }

    fn open_message(&mut self) {
        let index = self.items.len();
        let id = id::random("msg_", 24);
        let item = json!({
            "id": id, "type": "message", "status": "in_progress", "role": "assistant", "content": [],
        });
        self.say(
            "response.output_item.added",
            json!({ "output_index": index, "item": item }),
        );
        let part = json!({ "type": "output_text", "text": "", "annotations": [], "logprobs": [] });
        self.say(
            "response.content_part.added",
            json!({ "item_id": id, "output_index": index, "content_index": 0, "part": part }),
        );
        self.open = Open::Message {
            id,
            text: String::new(),
        };
    }

    fn call(&mut self, call: &ToolCall) {
        let index = self.items.len();
        let id = id::random("fc_", 24);
        let arguments = Value::Object(call.function.arguments.clone()).to_string();
        let item = |status: &str, arguments: &str| {
            json!({
                "id": id, "type": "function_call", "status": status, "call_id": call.id,
                "name": call.function.name, "arguments": arguments,
            })
        };
        let added = json!({ "output_index": index, "item": item("in_progress", "") });
        self.say("response.output_item.added", added);
        let delta = json!({ "item_id": id, "output_index": index, "delta": arguments });
        self.say("response.function_call_arguments.delta", delta);
        let done = json!({ "item_id": id, "output_index": index, "arguments": arguments });
        self.say("response.function_call_arguments.done", done);
        let item = item("completed", &arguments);
        self.say(
            "response.output_item.done",
            json!({ "output_index": index, "item": item }),
        );
        self.items.push(item);
    }

    fn close(&mut self) {
        let index = self.items.len();
        let item = match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => return,
            Open::Reasoning { id, text } => {
                let done = json!({ "item_id": id, "output_index": index, "summary_index": 0, "text": text });
                self.say("response.reasoning_summary_text.done", done);
                let part = json!({ "type": "summary_text", "text": text });
                let done = json!({ "item_id": id, "output_index": index, "summary_index": 0, "part": part });
                self.say("response.reasoning_summary_part.done", done);
                json!({ "id": id, "type": "reasoning", "summary": [part], "encrypted_content": text })
            }
            Open::Message { id, text } => {
                let done = json!({
                    "item_id": id, "output_index": index, "content_index": 0, "text": text, "logprobs": [],
                });
                self.say("response.output_text.done", done);
                let part = json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] });
                let done = json!({ "item_id": id, "output_index": index, "content_index": 0, "part": part });
                self.say("response.content_part.done", done);
                json!({
                    "id": id, "type": "message", "status": "completed", "role": "assistant", "content": [part],
                })
            }
        };
        self.say(
            "response.output_item.done",
            json!({ "output_index": index, "item": item }),
        );
        self.items.push(item);
    }

    /// The whole response.
    fn finished(&mut self, end: &End) -> Value {
        if self.items.is_empty() {
            self.open_message();
            self.close();
        }
        let metrics = &end.metrics;
        let mut response = self.response();
        let complete = end.reason != "length";
        response["status"] = json!(if complete { "completed" } else { "incomplete" });
        if !complete {
            response["incomplete_details"] = json!({ "reason": "max_output_tokens" });
        }
        response["completed_at"] = json!(clock::unix(SystemTime::now()));
        response["output"] = json!(self.items);
        response["usage"] = json!({
            "input_tokens": metrics.prompt_eval_count,
            "input_tokens_details": { "cached_tokens": metrics.prompt_cached_count },
            "output_tokens": metrics.eval_count,
            "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": metrics.prompt_eval_count + metrics.eval_count,
        });
        add_warnings(&mut response, &end.notes.warnings);
        if end.notes.dropped_messages > 0 {
            response["dropped_messages"] = json!(end.notes.dropped_messages);
            response["prompt_tokens_before"] = json!(end.notes.prompt_tokens_before);
        }
        response
    }

    fn end(&mut self, end: &End) -> Bytes {
        self.close();
        let response = self.finished(end);
        let kind = match end.reason {
            "length" => "response.incomplete",
            _ => "response.completed",
        };
        self.say(kind, json!({ "response": response }));
        self.take()
    }

    fn failed(&mut self, error: &ApiError) -> Bytes {
        self.close();
        let mut response = self.response();
        response["status"] = json!("failed");
        response["error"] = json!({ "code": "server_error", "message": error.message });
        self.say("response.failed", json!({ "response": response }));
        self.take()
    }
}
