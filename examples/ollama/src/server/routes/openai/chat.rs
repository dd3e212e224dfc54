//! `POST /v1/chat/completions`

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::conversation::messages;
use super::fields::{answers, effort, format_of, logit_bias, seeded, tool_choice};
use super::reply::{Head, Wording, send};
use crate::api::openai::{ChatCompletionRequest, ResponseFormat};
use crate::api::{Logprob, Think, ToolCall};
use crate::runner::wire::ConstraintKind;
use crate::server::app::{App, Caller, options};
use crate::server::error::ApiError;
use crate::server::infer::{self, Chunk};
use crate::server::routes::request::read;
use crate::server::routes::talk::{self, Talk};

pub(crate) async fn chat(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let began = Instant::now();
    let (request, mut heard) = read::<ChatCompletionRequest>(request, &caller).await?;
    if request.messages.is_empty() {
        return Err(ApiError::bad("messages: it must have at least one message"));
    }
    let count = answers(request.n)?;
    let logprobs = infer::logprobs(request.logprobs, request.top_logprobs)?;
    let think = think(&request)?;
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
    let talk = Talk {
        asked: request.model.clone(),
        messages,
        tools: request.tools,
        choice,
        parallel_calls: request.parallel_tool_calls.unwrap_or(true),
        format,
        options,
        think,
        relax_thinking: false,
        keep_alive: request.keep_alive,
        logprobs,
        logit_bias: bias,
        truncate: request.truncate.unwrap_or(true),
        shift: false,
    };
    let head = Head::new::<Message>(request.model, count);
    let mut begun = Vec::new();
    for at in 0..count {
        let mut talk = talk.clone();
        talk.options.seed = seeded(talk.options.seed, at);
        let mut heard = std::mem::take(&mut heard);
        let ask = talk::ask(Arc::clone(&model), talk, &mut heard).await?;
        if request.debug_render_only {
            heard.check()?;
            return head.prompt::<Message>(&ask.rendered.text());
        }
        let answering = infer::answer(&app, &caller, ask, heard, began).await?;
        begun.push((answering, Message));
    }
    send(head, begun, request.stream, request.stream_options).await
}

/// How much to think, by either of the fields that say so.
fn think(request: &ChatCompletionRequest) -> Result<Option<Think>, ApiError> {
    let reasoning = request.reasoning.as_ref();
    match reasoning.and_then(|reasoning| reasoning.effort.as_deref()) {
        Some(text) => effort("reasoning.effort", Some(text)),
        None => effort("reasoning_effort", request.reasoning_effort.as_deref()),
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

/// Words an answer as a message.
struct Message;

impl Wording for Message {
    const ID: &'static str = "chatcmpl-";
    const WHOLE: &'static str = "chat.completion";
    const PIECE: &'static str = "chat.completion.chunk";

    fn whole(&mut self, chunk: &Chunk) -> Value {
        let mut message = json!({ "role": "assistant", "content": chunk.content });
        add_unspoken(&mut message, chunk);
        json!({ "message": message, "logprobs": logprobs(&chunk.logprobs) })
    }

    fn part(&mut self, chunk: &Chunk, first: bool) -> Value {
        let mut delta = json!({});
        if first {
            delta["role"] = json!("assistant");
        }
        if !chunk.content.is_empty() || chunk.tool_calls.is_empty() {
            delta["content"] = json!(chunk.content);
        }
        add_unspoken(&mut delta, chunk);
        let mut choice = json!({ "delta": delta });
        if !chunk.logprobs.is_empty() {
            choice["logprobs"] = logprobs(&chunk.logprobs);
        }
        choice
    }

    fn end(&self) -> Value {
        json!({ "delta": {} })
    }
}

/// Adds what was thought and called.
fn add_unspoken(message: &mut Value, chunk: &Chunk) {
    if !chunk.thinking.is_empty() {
        message["reasoning"] = json!(chunk.thinking);
    }
    if !chunk.tool_calls.is_empty() {
        let calls = chunk.tool_calls.iter().map(tool_call);
        message["tool_calls"] = calls.collect();
    }
}

fn tool_call(call: &ToolCall) -> Value {
    json!({
        "id": call.id,
        "index": call.function.index,
        "type": "function",
        "function": {
            "name": call.function.name,
            "arguments": call.function.arguments_text(),
        },
    })
}

fn logprobs(tokens: &[Logprob]) -> Value {
    match tokens.is_empty() {
        true => Value::Null,
        false => json!({ "content": tokens }),
    }
}
