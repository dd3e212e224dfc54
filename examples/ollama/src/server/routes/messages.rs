//! `POST /v1/messages` and `POST /v1/messages/count_tokens`: Anthropic's API.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;
use llamakit::chat::ToolChoice;
use serde_json::{Map, Value, json};

use super::chat::{Begun, Talk, talk, whole_messages};
use super::openai::{add_warnings, format_of};
use crate::api::anthropic::{
    MessageParam, MessagesRequest, ThinkingParam, ToolChoiceParam, ToolParam,
};
use crate::api::{CalledFunction, Message, Think, ThinkLevel, ToolCall};
use crate::runner::wire::{Prompt, Tokenize, Tokenized};
use crate::server::app::{App, Caller, Heard, blocking, hear, options};
use crate::server::body;
use crate::server::error::{ApiError, Dialect};
use crate::server::id;
use crate::server::infer::{Chunk, End, Item};
use crate::server::{prompt, reply};

/// A text, or the texts of blocks.
fn text_of(at: &str, value: &Value) -> Result<String, ApiError> {
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
                    Some("image") => Err(ApiError::bad(format!(
                        "{field}: this server can't see images"
                    ))),
                    Some(_) => Ok(""),
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

/// The messages that one of this API's is.
fn convert(
    at: &str,
    given: &MessageParam,
    names: &mut Map<String, Value>,
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
                names.insert(id.clone(), json!(name));
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
                let mut content = text_of(&format!("{field}.content"), &block["content"])?;
                if block["is_error"] == json!(true) && !content.starts_with("Error") {
                    content = format!("Error: {content}");
                }
                let name = names.get(&id).and_then(Value::as_str).unwrap_or_default();
                results.push(Message {
                    tool_name: name.to_owned(),
                    tool_call_id: id,
                    ..Message::new("tool", content)
                });
            }
            Some("image" | "document") => {
                return Err(ApiError::bad(format!(
                    "{field}: this server can't see images or documents"
                )));
            }
            Some(kind) => {
                let kind: String = kind.chars().take(40).collect();
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

/// The conversation of a request, and its tools.
fn conversation(
    request: &MessagesRequest,
    heard: &mut Heard,
) -> Result<(Vec<Message>, Vec<Value>), ApiError> {
    let mut messages = Vec::new();
    if let Some(system) = &request.system {
        let text = text_of("system", system)?;
        if !text.is_empty() {
            messages.push(Message::new("system", text));
        }
    }
    let mut names = Map::new();
    for (at, message) in request.messages.iter().enumerate() {
        messages.extend(convert(&format!("messages[{at}]"), message, &mut names)?);
    }
    let mut tools = Vec::new();
    for (at, tool) in request.tools.iter().enumerate() {
        tools.extend(tool_of(at, tool, heard)?);
    }
    Ok((messages, tools))
}

fn tool_of(at: usize, tool: &ToolParam, heard: &mut Heard) -> Result<Option<Value>, ApiError> {
    let kind = tool.kind.as_deref().unwrap_or("custom");
    if kind != "custom" {
        let kind: String = kind.chars().take(40).collect();
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

fn choice(given: Option<&ToolChoiceParam>) -> Result<ToolChoice, ApiError> {
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

pub(crate) async fn messages(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let began = Instant::now();
    let body = body::read(request, body::JSON).await?;
    let (request, mut heard) = hear::<MessagesRequest>(&body, &caller)?;
    match request.max_tokens {
        Some(1..) => {}
        Some(_) => return Err(ApiError::bad("max_tokens: it must be at least 1")),
        None => return Err(ApiError::bad("max_tokens: it is required")),
    }
    if request.messages.is_empty() {
        return Err(ApiError::bad("messages: it must have at least one message"));
    }
    let (said, tools) = conversation(&request, &mut heard)?;
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
    let choice = choice(request.tool_choice.as_ref())?;
    let model = app.find(&request.model).await?;
    let values = request.option_values();
    let options = options(&model, Some(&values), &[], &mut heard)?;
    let stops = options.stop.clone().unwrap_or_default();
    let talk_of = Talk {
        asked: request.model.clone(),
        messages: said,
        tools,
        parallel_calls: !request
            .tool_choice
            .as_ref()
            .is_some_and(|choice| choice.disable_parallel_tool_use),
        choice,
        format,
        options,
        think,
        relax_thinking: true,
        keep_alive: request.keep_alive,
        logprobs: None,
        logit_bias: Vec::new(),
        truncate: request.truncate.unwrap_or(true),
        shift: false,
    };
    let mut answering = match talk(&app, &caller, model, talk_of, heard, began, false).await? {
        Begun::Answer(answering) => *answering,
        Begun::Prompt(_) => return Err(ApiError::internal("there is no answer")),
    };
    let head = Head {
        id: id::random("msg_", 24),
        model: request.model,
        stops,
    };
    if !request.stream {
        let (chunk, end) = answering.whole().await?;
        let mut content = Vec::new();
        if !chunk.thinking.is_empty() {
            content
                .push(json!({ "type": "thinking", "thinking": chunk.thinking, "signature": "" }));
        }
        if !chunk.content.is_empty() {
            content.push(json!({ "type": "text", "text": chunk.content }));
        }
        for call in &chunk.tool_calls {
            content.push(json!({
                "type": "tool_use",
                "id": call.id,
                "name": call.function.name,
                "input": call.function.arguments,
            }));
        }
        let mut message = head.message(content);
        let (reason, sequence) = head.stop_reason(&end, !chunk.tool_calls.is_empty());
        message["stop_reason"] = json!(reason);
        message["stop_sequence"] = json!(sequence);
        message["usage"] = usage(&end);
        notes(&mut message, &end);
        return reply::json(&message);
    }
    // What fails before the first part has a status of its own.
    let first = answering.next().await.transpose()?;
    let mut writer = Writer::new(head);
    let begin = writer.begin();
    let items = whole_messages(first, answering);
    let events = items.map(move |item| match item {
        Ok(Item::Chunk(chunk)) => writer.chunk(&chunk),
        Ok(Item::End(end)) => writer.end(&end),
        Err(error) => reply::event("error", &error.to_json(Dialect::Anthropic)),
    });
    let begin = futures_util::stream::iter([begin]);
    Ok(reply::events(begin.chain(events)))
}

fn usage(end: &End) -> Value {
    let metrics = &end.metrics;
    // This API counts cached tokens apart from the others.
    json!({
        "input_tokens": metrics.prompt_eval_count.saturating_sub(metrics.prompt_cached_count),
        "cache_read_input_tokens": metrics.prompt_cached_count,
        "cache_creation_input_tokens": 0,
        "output_tokens": metrics.eval_count,
    })
}

fn notes(message: &mut Value, end: &End) {
    add_warnings(message, &end.notes.warnings);
    if end.notes.dropped_messages > 0 {
        message["dropped_messages"] = json!(end.notes.dropped_messages);
        message["prompt_tokens_before"] = json!(end.notes.prompt_tokens_before);
    }
}

struct Head {
    id: String,
    model: String,
    stops: Vec<String>,
}

impl Head {
    fn message(&self, content: Vec<Value>) -> Value {
        json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": null,
            "stop_sequence": null,
            "usage": { "input_tokens": 0, "output_tokens": 0 },
        })
    }

    fn stop_reason<'e>(&self, end: &'e End, calls: bool) -> (&'static str, Option<&'e str>) {
        let stop = end
            .stop
            .as_deref()
            .filter(|stop| self.stops.iter().any(|one| one == stop));
        match (end.reason, stop) {
            _ if calls => ("tool_use", None),
            (_, Some(stop)) => ("stop_sequence", Some(stop)),
            ("length", None) => ("max_tokens", None),
            _ => ("end_turn", None),
        }
    }
}

/// What kind of block is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Thinking,
    Text,
}

/// Writes an answer as this API's events.
struct Writer {
    head: Head,
    open: Open,
    index: usize,
    calls: bool,
}

impl Writer {
    fn new(head: Head) -> Self {
        Self {
            head,
            open: Open::Nothing,
            index: 0,
            calls: false,
        }
    }

    fn begin(&self) -> Bytes {
        let message = self.head.message(Vec::new());
        reply::event(
            "message_start",
            &json!({ "type": "message_start", "message": message }),
        )
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open != Open::Nothing {
            let stop = json!({ "type": "content_block_stop", "index": self.index });
            out.extend_from_slice(&reply::event("content_block_stop", &stop));
            self.open = Open::Nothing;
            self.index += 1;
        }
    }

    fn start(&self, out: &mut Vec<u8>, block: Value) {
        let start =
            json!({ "type": "content_block_start", "index": self.index, "content_block": block });
        out.extend_from_slice(&reply::event("content_block_start", &start));
    }

    fn delta(&self, out: &mut Vec<u8>, delta: Value) {
        let delta = json!({ "type": "content_block_delta", "index": self.index, "delta": delta });
        out.extend_from_slice(&reply::event("content_block_delta", &delta));
    }

    fn chunk(&mut self, chunk: &Chunk) -> Bytes {
        let mut out = Vec::new();
        if !chunk.thinking.is_empty() {
            if self.open != Open::Thinking {
                self.close(&mut out);
                self.start(
                    &mut out,
                    json!({ "type": "thinking", "thinking": "", "signature": "" }),
                );
                self.open = Open::Thinking;
            }
            self.delta(
                &mut out,
                json!({ "type": "thinking_delta", "thinking": chunk.thinking }),
            );
        }
        if !chunk.content.is_empty() {
            if self.open != Open::Text {
                self.close(&mut out);
                self.start(&mut out, json!({ "type": "text", "text": "" }));
                self.open = Open::Text;
            }
            self.delta(
                &mut out,
                json!({ "type": "text_delta", "text": chunk.content }),
            );
        }
        for call in &chunk.tool_calls {
            self.calls = true;
            self.close(&mut out);
            let block = json!({ "type": "tool_use", "id": call.id, "name": call.function.name, "input": {} });
            self.start(&mut out, block);
            let arguments = Value::Object(call.function.arguments.clone()).to_string();
            self.delta(
                &mut out,
                json!({ "type": "input_json_delta", "partial_json": arguments }),
            );
            // It is closed like the others.
            self.open = Open::Text;
            self.close(&mut out);
        }
        out.into()
    }

    fn end(&mut self, end: &End) -> Bytes {
        let mut out = Vec::new();
        self.close(&mut out);
        let (reason, sequence) = self.head.stop_reason(end, self.calls);
        let mut delta = json!({
            "type": "message_delta",
            "delta": { "stop_reason": reason, "stop_sequence": sequence },
            "usage": usage(end),
        });
        notes(&mut delta, end);
        out.extend_from_slice(&reply::event("message_delta", &delta));
        out.extend_from_slice(&reply::event(
            "message_stop",
            &json!({ "type": "message_stop" }),
        ));
        out.into()
    }
}

pub(crate) async fn count_tokens(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let body = body::read(request, body::JSON).await?;
    let (request, mut heard) = hear::<MessagesRequest>(&body, &caller)?;
    if request.messages.is_empty() {
        return Err(ApiError::bad("messages: it must have at least one message"));
    }
    let (mut said, tools) = conversation(&request, &mut heard)?;
    let tools = prompt::tools(&tools)?;
    let model = app.find(&request.model).await?;
    let options = options(&model, request.options.as_ref(), &[], &mut heard)?;
    let window = app.window(&model, &options, &mut heard);
    heard.check()?;
    if !model.system.is_empty() && said.first().is_none_or(|first| first.role != "system") {
        said.insert(0, Message::new("system", &model.system));
    }
    let rendered: Prompt = {
        let model = Arc::clone(&model);
        blocking(move || {
            let broken = |why: &String| ApiError::bad(format!("the model's template: {why}"));
            let template = model.template.as_ref().map_err(broken)?;
            Ok(prompt::chat(&model, template, &said, &tools, None, false)?.prompt)
        })
        .await?
    };
    let lease = app
        .acquire(&model, &options, window, request.keep_alive)
        .await?;
    let ask = Tokenize {
        prompt: rendered,
        add_special: true,
    };
    let counted: Tokenized = lease.client.ask("/tokenize", &ask).await?;
    reply::json(&json!({ "input_tokens": counted.tokens.len() }))
}
