//! `POST /v1/chat/completions` and `POST /v1/completions`

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use llamakit::chat::ToolChoice;
use serde_json::{Map, Value, json};

use super::chat::{Begun, Talk, talk, whole_messages};
use crate::api::openai::{
    ChatCompletionRequest, ChatMessage, ChatToolCall, CompletionRequest, ResponseFormat,
};
use crate::api::{CalledFunction, Logprob, Message, Think, ThinkLevel, ToolCall};
use crate::runner::wire::ConstraintKind;
use crate::server::app::{App, Caller, hear, options};
use crate::server::body;
use crate::server::clock;
use crate::server::error::{ApiError, Dialect};
use crate::server::id;
use crate::server::infer::{self, Answering, Ask, Chunk, End, Item};
use crate::server::{prompt, reply};

const FINGERPRINT: &str = "fp_ollama";
/// Answers of one request at most.
const ANSWERS: i64 = 16;
/// Prompts of one request at most.
const PROMPTS: usize = 64;

/// Tells in a reply what was not understood.
pub(super) fn add_warnings(answer: &mut Value, warnings: &[String]) {
    if !warnings.is_empty() {
        answer["warnings"] = json!(warnings);
    }
}

/// The tokens that an answer took, as this API tells them.
fn usage(ends: &[End], answers: usize) -> Value {
    let sum = |of: fn(&End) -> u64| ends.iter().map(of).sum::<u64>();
    // Several answers to one prompt share it.
    let answers = answers.max(1) as u64;
    let prompt = sum(|end| end.metrics.prompt_eval_count) / answers;
    let cached = sum(|end| end.metrics.prompt_cached_count) / answers;
    let completion = sum(|end| end.metrics.eval_count);
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": { "cached_tokens": cached },
    })
}

/// Tells what the sender should know.
fn add_notes(answer: &mut Value, end: &End) {
    add_warnings(answer, &end.notes.warnings);
    if end.notes.dropped_messages > 0 {
        answer["dropped_messages"] = json!(end.notes.dropped_messages);
        answer["prompt_tokens_before"] = json!(end.notes.prompt_tokens_before);
    }
}

fn tool_calls(calls: &[ToolCall]) -> Vec<Value> {
    let call = |call: &ToolCall| {
        json!({
            "id": call.id,
            "index": call.function.index,
            "type": "function",
            "function": {
                "name": call.function.name,
                "arguments": Value::Object(call.function.arguments.clone()).to_string(),
            },
        })
    };
    calls.iter().map(call).collect()
}

fn logprobs(tokens: &[Logprob]) -> Value {
    match tokens.is_empty() {
        true => Value::Null,
        false => json!({ "content": tokens }),
    }
}

/// How much to think, by this API's scale, which is longer than Ollama's at both ends.
pub(super) fn effort(text: Option<&str>) -> Result<Option<Think>, ApiError> {
    let level = match text {
        None | Some("") => return Ok(None),
        Some("none") => return Ok(Some(Think::Switch(false))),
        Some("minimal" | "low") => ThinkLevel::Low,
        Some("medium") => ThinkLevel::Medium,
        Some("high") => ThinkLevel::High,
        Some("xhigh" | "max" | "ultra") => ThinkLevel::Max,
        Some(_) => {
            return Err(ApiError::bad(
                "reasoning_effort: it must be none, minimal, low, medium, high, xhigh or max",
            ));
        }
    };
    Ok(Some(Think::Level(level)))
}

/// A format by its kind and schema. `at` is the field that says so.
pub(super) fn format_of(
    at: &str,
    kind: &str,
    schema: Option<&Value>,
) -> Result<Option<ConstraintKind>, ApiError> {
    match kind {
        "" | "text" => Ok(None),
        "json_object" => Ok(Some(ConstraintKind::JsonObject)),
        "json_schema" => match schema {
            Some(schema @ Value::Object(_)) => Ok(Some(ConstraintKind::JsonSchema(schema.clone()))),
            _ => Err(ApiError::bad(format!(
                "{at}: json_schema needs a schema, an object"
            ))),
        },
        _ => Err(ApiError::bad(format!(
            "{at}: type must be text, json_object or json_schema"
        ))),
    }
}

fn response_format(format: Option<&ResponseFormat>) -> Result<Option<ConstraintKind>, ApiError> {
    let Some(format) = format else {
        return Ok(None);
    };
    let schema = format
        .json_schema
        .as_ref()
        .and_then(|named| named.schema.as_ref());
    format_of("response_format", &format.kind, schema)
}

/// What must be called.
pub(super) fn tool_choice(choice: Option<&Value>) -> Result<ToolChoice, ApiError> {
    let wrong = || {
        ApiError::bad(
            "tool_choice: it must be \"auto\", \"none\", \"required\" or an object that names a function",
        )
    };
    match choice {
        None | Some(Value::Null) => Ok(ToolChoice::Auto),
        Some(Value::String(text)) => match text.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" | "any" => Ok(ToolChoice::Required),
            _ => Err(wrong()),
        },
        Some(object) => {
            let name = object["function"]["name"]
                .as_str()
                .or(object["name"].as_str());
            name.map(|name| ToolChoice::Function(name.to_owned()))
                .ok_or_else(wrong)
        }
    }
}

/// Values that are added to logits, by the number of the token.
fn logit_bias(given: Option<&Map<String, Value>>) -> Result<Vec<(i32, f32)>, ApiError> {
    let Some(given) = given else {
        return Ok(Vec::new());
    };
    if given.len() > 1024 {
        return Err(ApiError::bad(
            "logit_bias: there may be 1024 tokens at most",
        ));
    }
    let bias = given.iter().map(|(token, bias)| {
        let token = token.parse().ok().filter(|token| *token >= 0);
        let bias = bias.as_f64().filter(|bias| bias.abs() <= 100.0);
        let both = token.zip(bias).map(|(token, bias)| (token, bias as f32));
        both.ok_or_else(|| {
            ApiError::bad(
                "logit_bias: it must have numbers from -100 to 100 by the number of the token",
            )
        })
    });
    bias.collect()
}

/// Arguments of a call: a text that holds an object.
pub(super) fn arguments(at: &str, text: &str) -> Result<Map<String, Value>, ApiError> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(text)
        .map_err(|_| ApiError::bad(format!("{at}: it must be a text that holds a JSON object")))
}

fn messages(given: &[ChatMessage]) -> Result<Vec<Message>, ApiError> {
    let mut messages = Vec::new();
    for (at, message) in given.iter().enumerate() {
        let at = format!("messages[{at}]");
        let calls = message.tool_calls.iter().enumerate();
        let calls = calls.map(|(call_at, call)| {
            let field = format!("{at}.tool_calls[{call_at}].function.arguments");
            call_of(&field, call, call_at)
        });
        let tool_calls = calls.collect::<Result<Vec<_>, _>>()?;
        let content = content(&at, message.content.as_ref(), !tool_calls.is_empty())?;
        let id = message.tool_call_id.clone().unwrap_or_default();
        let tool_name = match message.role.as_str() {
            "tool" => message.name.clone().unwrap_or_else(|| name_of(given, &id)),
            _ => String::new(),
        };
        let reasoning = message
            .reasoning
            .clone()
            .or(message.reasoning_content.clone());
        messages.push(Message {
            role: match message.role.to_lowercase().as_str() {
                "developer" => "system".to_owned(),
                role => role.to_owned(),
            },
            content,
            thinking: reasoning.unwrap_or_default(),
            images: Vec::new(),
            tool_calls,
            tool_name,
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

/// The tool of the call with this id: the last one, where an id was used twice.
fn name_of(messages: &[ChatMessage], id: &str) -> String {
    let calls = messages.iter().flat_map(|message| &message.tool_calls);
    let call = calls.rev().find(|call| !id.is_empty() && call.id == id);
    call.map_or_else(String::new, |call| call.function.name.clone())
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

/// How many answers are asked for.
fn answers(n: Option<i64>) -> Result<usize, ApiError> {
    let n = n.unwrap_or(1);
    let count = usize::try_from(n)
        .ok()
        .filter(|_| (1..=ANSWERS).contains(&n));
    count.ok_or_else(|| ApiError::bad(format!("n: it must be a number from 1 to {ANSWERS}")))
}

/// The seeds of several answers: the first as it was given, the others after it.
fn seeded(seed: Option<i64>, at: usize) -> Option<i64> {
    seed.map(|seed| match seed {
        0.. => seed.saturating_add(i64::try_from(at).unwrap_or(0)),
        _ => seed,
    })
}

pub(crate) async fn chat(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let began = Instant::now();
    let body = body::read(request, body::JSON).await?;
    let (request, mut heard) = hear::<ChatCompletionRequest>(&body, &caller)?;
    if request.messages.is_empty() {
        return Err(ApiError::bad("messages: it must have at least one message"));
    }
    let count = answers(request.n)?;
    let logprobs = infer::logprobs(request.logprobs, request.top_logprobs)?;
    let effort_text = request
        .reasoning
        .as_ref()
        .and_then(|reasoning| reasoning.effort.as_deref());
    let think = effort(effort_text.or(request.reasoning_effort.as_deref()))?;
    let mut values = request.option_values();
    if let Some(limit) = request.max_completion_tokens {
        values.insert("num_predict".to_owned(), limit.into());
    }
    let messages = messages(&request.messages)?;
    let format = response_format(request.response_format.as_ref())?;
    let choice = tool_choice(request.tool_choice.as_ref())?;
    let bias = logit_bias(request.logit_bias.as_ref())?;
    let model = app.find(&request.model).await?;
    let options = options(&model, Some(&values), &[], &mut heard)?;
    let mut started = Vec::new();
    for at in 0..count {
        let mut options = options.clone();
        options.seed = seeded(options.seed, at);
        let talk_of = Talk {
            asked: request.model.clone(),
            messages: messages.clone(),
            tools: request.tools.clone(),
            choice: choice.clone(),
            parallel_calls: request.parallel_tool_calls.unwrap_or(true),
            format: format.clone(),
            options,
            think,
            relax_thinking: false,
            keep_alive: request.keep_alive,
            logprobs,
            logit_bias: bias.clone(),
            truncate: request.truncate.unwrap_or(true),
            shift: false,
        };
        let heard = std::mem::take(&mut heard);
        let render_only = request.debug_render_only;
        let model = Arc::clone(&model);
        match talk(&app, &caller, model, talk_of, heard, began, render_only).await? {
            Begun::Answer(answering) => started.push(*answering),
            Begun::Prompt(prompt) => {
                return reply::json(&json!({
                    "id": id::random("chatcmpl-", 12),
                    "object": "chat.completion",
                    "created": clock::unix(SystemTime::now()),
                    "model": request.model,
                    "choices": [],
                    "_debug_info": { "rendered_template": prompt },
                }));
            }
        }
    }
    let head = Head::new("chatcmpl-", request.model);
    if !request.stream {
        let done = all(started).await?;
        let choices = done.iter().enumerate().map(|(index, (chunk, end))| {
            let mut message = json!({ "role": "assistant", "content": chunk.content });
            if !chunk.thinking.is_empty() {
                message["reasoning"] = json!(chunk.thinking);
            }
            if !chunk.tool_calls.is_empty() {
                message["tool_calls"] = json!(tool_calls(&chunk.tool_calls));
            }
            json!({
                "index": index,
                "message": message,
                "finish_reason": finish_reason(end, !chunk.tool_calls.is_empty()),
                "logprobs": self::logprobs(&chunk.logprobs),
            })
        });
        let mut answer = head.object("chat.completion");
        answer["choices"] = json!(choices.collect::<Vec<_>>());
        return finish_whole(answer, done, count);
    }
    let include_usage = request
        .stream_options
        .is_some_and(|options| options.include_usage);
    let shape = Shape {
        head,
        object: "chat.completion.chunk",
        chat: true,
        include_usage,
        answers: count,
    };
    stream(started, shape).await
}

fn finish_whole(
    mut answer: Value,
    done: Vec<(Chunk, End)>,
    answers: usize,
) -> Result<Response, ApiError> {
    let ends: Vec<End> = done.into_iter().map(|(_, end)| end).collect();
    answer["usage"] = usage(&ends, answers);
    if let Some(end) = ends.first() {
        add_notes(&mut answer, end);
    }
    reply::json(&answer)
}

fn finish_reason(end: &End, calls: bool) -> &'static str {
    match end.reason {
        "stop" if calls => "tool_calls",
        reason => reason,
    }
}

/// Waits for several answers at once.
async fn all(started: Vec<Answering>) -> Result<Vec<(Chunk, End)>, ApiError> {
    futures_util::future::try_join_all(started.into_iter().map(Answering::whole)).await
}

/// What all pieces of a reply have in common.
#[derive(Debug, Clone)]
struct Head {
    id: String,
    created: u64,
    model: String,
}

impl Head {
    fn new(prefix: &str, model: String) -> Self {
        Self {
            id: id::random(prefix, 12),
            created: clock::unix(SystemTime::now()),
            model,
        }
    }

    fn object(&self, kind: &str) -> Value {
        json!({
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
        })
    }
}

struct Shape {
    head: Head,
    object: &'static str,
    chat: bool,
    include_usage: bool,
    /// Answers to each prompt.
    answers: usize,
}

impl Shape {
    fn piece(&self, choices: Value) -> Value {
        let mut piece = self.head.object(self.object);
        piece["choices"] = choices;
        if self.include_usage {
            piece["usage"] = Value::Null;
        }
        piece
    }

    /// A part of the answer of this number.
    fn part(&self, index: usize, chunk: &Chunk, first: bool) -> Bytes {
        let mut choice = match self.chat {
            true => {
                let mut delta = json!({});
                if first {
                    delta["role"] = json!("assistant");
                }
                if !chunk.thinking.is_empty() {
                    delta["reasoning"] = json!(chunk.thinking);
                }
                if !chunk.content.is_empty() || chunk.tool_calls.is_empty() {
                    delta["content"] = json!(chunk.content);
                }
                if !chunk.tool_calls.is_empty() {
                    delta["tool_calls"] = json!(tool_calls(&chunk.tool_calls));
                }
                json!({ "index": index, "delta": delta, "finish_reason": null })
            }
            false => json!({ "text": chunk.content, "index": index, "finish_reason": null }),
        };
        if !chunk.logprobs.is_empty() {
            choice["logprobs"] = match self.chat {
                true => logprobs(&chunk.logprobs),
                false => old_logprobs(&chunk.logprobs),
            };
        }
        reply::data(&self.piece(json!([choice])))
    }

    /// The end of the answer of this number.
    fn end(&self, index: usize, end: &End, calls: bool) -> Bytes {
        let reason = finish_reason(end, calls);
        let choice = match self.chat {
            true => json!({ "index": index, "delta": {}, "finish_reason": reason }),
            false => json!({ "text": "", "index": index, "finish_reason": reason }),
        };
        let mut piece = self.piece(json!([choice]));
        add_notes(&mut piece, end);
        reply::data(&piece)
    }
}

/// The parts of all answers as they come, then what they took.
async fn stream(started: Vec<Answering>, shape: Shape) -> Result<Response, ApiError> {
    let mut numbered: Vec<BoxStream<'static, (usize, Result<Item, ApiError>)>> = Vec::new();
    for (index, mut answering) in started.into_iter().enumerate() {
        // What fails before the first part has a status of its own.
        let first = answering.next().await.transpose()?;
        let items = whole_messages(first, answering).map(move |item| (index, item));
        numbered.push(Box::pin(items));
    }
    let count = numbered.len();
    let state = Streaming {
        items: futures_util::stream::select_all(numbered),
        shape,
        begun: vec![false; count],
        calls: vec![false; count],
        ends: Vec::new(),
        over: false,
    };
    let pieces = futures_util::stream::unfold(state, |mut state| async move {
        let piece = state.next().await?;
        Some((piece, state))
    });
    Ok(reply::events(pieces))
}

struct Streaming<S> {
    items: S,
    shape: Shape,
    begun: Vec<bool>,
    calls: Vec<bool>,
    ends: Vec<End>,
    over: bool,
}

impl<S: Stream<Item = (usize, Result<Item, ApiError>)> + Unpin> Streaming<S> {
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        match self.items.next().await {
            Some((index, Ok(Item::Chunk(chunk)))) => {
                let first = self
                    .begun
                    .get_mut(index)
                    .is_some_and(|begun| !std::mem::replace(begun, true));
                if let Some(calls) = self.calls.get_mut(index) {
                    *calls |= !chunk.tool_calls.is_empty();
                }
                Some(self.shape.part(index, &chunk, first))
            }
            Some((index, Ok(Item::End(end)))) => {
                let calls = self.calls.get(index).copied().unwrap_or(false);
                let mut out = Vec::new();
                // An empty answer begins all the same.
                if self
                    .begun
                    .get_mut(index)
                    .is_some_and(|begun| !std::mem::replace(begun, true))
                {
                    out.extend_from_slice(&self.shape.part(index, &Chunk::default(), true));
                }
                out.extend_from_slice(&self.shape.end(index, &end, calls));
                self.ends.push(*end);
                Some(out.into())
            }
            Some((_, Err(error))) => {
                self.over = true;
                Some(reply::data(&error.to_json(Dialect::OpenAi)))
            }
            None => {
                self.over = true;
                let mut out = Vec::new();
                if self.shape.include_usage {
                    let mut piece = self.shape.piece(json!([]));
                    piece["usage"] = usage(&self.ends, self.shape.answers);
                    out.extend_from_slice(&reply::data(&piece));
                }
                out.extend_from_slice(b"data: [DONE]\n\n");
                Some(out.into())
            }
        }
    }
}

/// Log-probabilities as the older API tells them.
fn old_logprobs(tokens: &[Logprob]) -> Value {
    let texts: Vec<&str> = tokens.iter().map(|token| token.token.as_str()).collect();
    let numbers: Vec<f64> = tokens.iter().map(|token| token.logprob).collect();
    let tops: Vec<Value> = tokens
        .iter()
        .map(|token| {
            let tops = token.top_logprobs.iter();
            Value::Object(
                tops.map(|top| (top.token.clone(), json!(top.logprob)))
                    .collect(),
            )
        })
        .collect();
    let mut at = 0;
    let offsets: Vec<usize> = tokens
        .iter()
        .map(|token| {
            let here = at;
            at += token.token.chars().count();
            here
        })
        .collect();
    json!({ "tokens": texts, "token_logprobs": numbers, "top_logprobs": tops, "text_offset": offsets })
}

pub(crate) async fn completions(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let began = Instant::now();
    let body = body::read(request, body::JSON).await?;
    let (request, mut heard) = hear::<CompletionRequest>(&body, &caller)?;
    let count = answers(request.n)?;
    let top = request.logprobs.unwrap_or(0);
    let logprobs = infer::logprobs(request.logprobs.is_some(), top)?;
    let bias = logit_bias(request.logit_bias.as_ref())?;
    let values = request.option_values();
    let prompts = request.prompt.into_vec();
    if prompts.is_empty() {
        return Err(ApiError::bad("prompt: it is required"));
    }
    if prompts.len() > PROMPTS {
        return Err(ApiError::bad(format!(
            "prompt: there may be {PROMPTS} at most"
        )));
    }
    let model = app.find(&request.model).await?;
    if !model.can.complete {
        return Err(ApiError::bad(format!(
            "\"{}\" does not support generate",
            request.model
        )));
    }
    let options = options(&model, Some(&values), &[], &mut heard)?;
    let mut started = Vec::new();
    let mut echoes = Vec::new();
    for text in &prompts {
        let rendered = {
            let (model, text, suffix) = (Arc::clone(&model), text.clone(), request.suffix.clone());
            crate::server::app::blocking(move || match suffix.as_str() {
                "" => one_turn(&model, &text),
                suffix => {
                    let broken =
                        |why: &String| ApiError::bad(format!("the model's template: {why}"));
                    let template = model.template.as_ref().map_err(broken)?;
                    prompt::fill(&model, template, &text, suffix)
                }
            })
            .await?
        };
        if request.debug_render_only {
            return reply::json(&json!({
                "object": "text_completion",
                "choices": [],
                "_debug_info": { "rendered_template": rendered.text() },
            }));
        }
        for at in 0..count {
            let mut options = options.clone();
            options.seed = seeded(options.seed, at);
            let ask = Ask {
                model: Arc::clone(&model),
                rendered: rendered.clone(),
                again: None,
                options,
                constraint: None,
                logit_bias: bias.clone(),
                keep_alive: request.keep_alive,
                logprobs,
                truncate: request.truncate.unwrap_or(true),
                shift: false,
                tools: Vec::new(),
                before: Vec::new(),
                want_tokens: false,
            };
            let heard = std::mem::take(&mut heard);
            started.push(infer::answer(&app, &caller, ask, heard, began).await?);
            echoes.push(text.clone());
        }
    }
    let head = Head::new("cmpl-", request.model);
    if !request.stream {
        let done = all(started).await?;
        let choices = done.iter().zip(&echoes).enumerate().map(|(index, ((chunk, end), echo))| {
            let text = match request.echo {
                true => format!("{echo}{}", chunk.content),
                false => chunk.content.clone(),
            };
            let logprobs = match chunk.logprobs.is_empty() {
                true => Value::Null,
                false => old_logprobs(&chunk.logprobs),
            };
            json!({ "text": text, "index": index, "finish_reason": end.reason, "logprobs": logprobs })
        });
        let mut answer = head.object("text_completion");
        answer["choices"] = json!(choices.collect::<Vec<_>>());
        return finish_whole(answer, done, count);
    }
    let include_usage = request
        .stream_options
        .is_some_and(|options| options.include_usage);
    let shape = Shape {
        head,
        object: "text_completion",
        chat: false,
        include_usage,
        answers: count,
    };
    stream(started, shape).await
}

/// A prompt as Ollama's own completions treat it: one turn of a conversation.
fn one_turn(model: &crate::server::model::Model, text: &str) -> Result<prompt::Rendered, ApiError> {
    let broken = |why: &String| ApiError::bad(format!("the model's template: {why}"));
    let template = model.template.as_ref().map_err(broken)?;
    let mut messages = Vec::new();
    if !model.system.is_empty() {
        messages.push(Message::new("system", &model.system));
    }
    messages.extend(model.messages.iter().cloned());
    messages.push(Message::new("user", text));
    prompt::chat(model, template, &messages, &[], None, false)
}
