//! `POST /api/chat`

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use llamakit::chat::ToolChoice;

use super::lines::{self, Line, load_or_unload};
use super::request::read;
use super::talk::{self, Talk};
use crate::api::{ChatRequest, ChatResponse, DebugInfo, Message};
use crate::server::app::{App, Caller, options};
use crate::server::clock;
use crate::server::error::ApiError;
use crate::server::infer::{self, Chunk, End};
use crate::server::reply;

const FIELDS: &[&str] = &[
    "model",
    "messages",
    "tools",
    "stream",
    "format",
    "keep_alive",
    "think",
    "truncate",
    "shift",
    "logprobs",
    "top_logprobs",
];

pub(crate) async fn chat(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let began = Instant::now();
    let (request, mut heard) = read::<ChatRequest>(request, &caller).await?;
    let logprobs = infer::logprobs(request.logprobs, request.top_logprobs)?;
    let format = infer::format(request.format.as_ref())?;
    let model = app.find(&request.model).await?;
    let options = options(&model, request.options.as_ref(), FIELDS, &mut heard)?;
    let mut reply = ChatResponse {
        model: request.model.clone(),
        message: Message::new("assistant", ""),
        ..ChatResponse::default()
    };
    if request.messages.is_empty() {
        let end = load_or_unload(&app, &model, &options, request.keep_alive, heard).await?;
        return reply::json(&reply.end(end));
    }
    let mut messages = request.messages;
    for message in &mut messages {
        message.role = message.role.to_lowercase();
    }
    let talk = Talk {
        asked: request.model,
        messages,
        tools: request.tools,
        choice: ToolChoice::Auto,
        parallel_calls: true,
        format,
        options,
        think: request.think,
        relax_thinking: false,
        keep_alive: request.keep_alive,
        logprobs,
        logit_bias: Vec::new(),
        truncate: request.truncate.unwrap_or(true),
        shift: request.shift.unwrap_or(false),
    };
    let ask = talk::ask(model, talk, &mut heard).await?;
    if request.debug_render_only {
        heard.check()?;
        reply.created_at = clock::now();
        reply.debug_info = Some(DebugInfo {
            rendered_template: ask.rendered.text(),
            image_count: 0,
        });
        return reply::json(&reply);
    }
    let answering = infer::answer(&app, &caller, ask, heard, began).await?;
    lines::send(reply, answering, request.stream.unwrap_or(true)).await
}

impl Line for ChatResponse {
    fn part(&self, chunk: Chunk) -> Self {
        Self {
            created_at: clock::now(),
            message: Message {
                content: chunk.content,
                thinking: chunk.thinking,
                tool_calls: chunk.tool_calls,
                ..self.message.clone()
            },
            logprobs: chunk.logprobs,
            ..self.clone()
        }
    }

    fn end(&self, end: End) -> Self {
        Self {
            created_at: clock::now(),
            done: true,
            done_reason: end.reason.to_owned(),
            metrics: end.metrics,
            notes: end.notes,
            ..self.clone()
        }
    }
}
