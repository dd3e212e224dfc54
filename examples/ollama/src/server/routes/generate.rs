//! `POST /api/generate`

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use llamakit::chat::ChatTemplate;

use super::lines::{self, Line, load_or_unload};
use super::request::read;
use super::talk::{images, supports_thinking, template};
use crate::api::{DebugInfo, GenerateRequest, GenerateResponse, Message, Think};
use crate::server::app::{App, Caller, blocking, options};
use crate::server::clock;
use crate::server::error::ApiError;
use crate::server::infer::{self, Ask, Chunk, End};
use crate::server::model::Model;
use crate::server::prompt::{self, Rendered};
use crate::server::reply;

const FIELDS: &[&str] = &[
    "model",
    "prompt",
    "suffix",
    "system",
    "template",
    "context",
    "stream",
    "raw",
    "format",
    "keep_alive",
    "images",
    "think",
    "truncate",
    "shift",
    "logprobs",
    "top_logprobs",
];

pub(crate) async fn generate(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let began = Instant::now();
    let (request, mut heard) = read::<GenerateRequest>(request, &caller).await?;
    let logprobs = infer::logprobs(request.logprobs, request.top_logprobs)?;
    let kind = infer::format(request.format.as_ref())?;
    let model = app.find(&request.model).await?;
    let options = options(&model, request.options.as_ref(), FIELDS, &mut heard)?;
    let mut reply = GenerateResponse {
        model: request.model.clone(),
        ..GenerateResponse::default()
    };
    if request.prompt.is_empty() {
        let end = load_or_unload(&app, &model, &options, request.keep_alive, heard).await?;
        return reply::json(&reply.end(end));
    }
    if request.raw
        && (!request.template.is_empty() || !request.system.is_empty() || request.context.is_some())
    {
        return Err(ApiError::bad(
            "raw mode does not support template, system, or context",
        ));
    }
    if !model.can.complete {
        return Err(ApiError::bad(format!(
            "\"{}\" does not support generate",
            request.model
        )));
    }
    images(&request.images)?;
    let think = supports_thinking(&model, &request.model, request.think, request.raw)?;
    let (mut rendered, again) = {
        let (model, request) = (Arc::clone(&model), request.clone());
        let constrained = kind.is_some();
        blocking(move || render(&model, &request, think, constrained)).await?
    };
    if request.context.is_some() {
        heard.warn("context is deprecated: use /api/chat".to_owned());
    }
    if request.debug_render_only {
        heard.check()?;
        reply.created_at = clock::now();
        reply.debug_info = Some(DebugInfo {
            rendered_template: rendered.text(),
            image_count: 0,
        });
        return reply::json(&reply);
    }
    if request.raw {
        rendered.format = None;
    }
    let thinks = think.is_some_and(Think::is_on);
    let constraint = kind.map(|kind| infer::constrain(kind, rendered.format.as_ref(), thinks));
    let ask = Ask {
        model,
        rendered,
        again,
        options,
        constraint,
        logit_bias: Vec::new(),
        keep_alive: request.keep_alive,
        logprobs,
        truncate: request.truncate.unwrap_or(true),
        shift: request.shift.unwrap_or(false),
        tools: Vec::new(),
        before: request.context.clone().unwrap_or_default(),
        want_tokens: !request.raw,
    };
    let answering = infer::answer(&app, &caller, ask, heard, began).await?;
    lines::send(reply, answering, request.stream.unwrap_or(true)).await
}

impl Line for GenerateResponse {
    fn part(&self, chunk: Chunk) -> Self {
        Self {
            created_at: clock::now(),
            response: chunk.content,
            thinking: chunk.thinking,
            logprobs: chunk.logprobs,
            ..self.clone()
        }
    }

    fn end(&self, end: End) -> Self {
        Self {
            created_at: clock::now(),
            done: true,
            done_reason: end.reason.to_owned(),
            context: end.tokens,
            metrics: end.metrics,
            notes: end.notes,
            ..self.clone()
        }
    }
}

type Again = Option<(ChatTemplate, llamakit::chat::Conversation)>;

fn render(
    model: &Model,
    request: &GenerateRequest,
    think: Option<Think>,
    constrained: bool,
) -> Result<(Rendered, Again), ApiError> {
    if request.raw && request.suffix.is_empty() {
        return Ok((prompt::raw(&request.prompt), None));
    }
    let given;
    let template = if request.template.is_empty() {
        template(model)?
    } else {
        let wrong =
            |error: llamakit::Error| ApiError::bad(format!("template: {}", error.message()));
        given = ChatTemplate::go(&request.template).map_err(wrong)?;
        &given
    };
    if !request.suffix.is_empty() {
        return Ok((
            prompt::fill(model, template, &request.prompt, &request.suffix)?,
            None,
        ));
    }
    let mut messages = Vec::new();
    let system = match request.system.as_str() {
        "" => &model.system,
        system => system,
    };
    if !system.is_empty() {
        messages.push(Message::new("system", system));
    }
    if request.context.is_none() {
        messages.extend(model.messages.iter().cloned());
    }
    messages.push(Message::new("user", &request.prompt));
    let rendered = prompt::chat(model, template, &messages, &[], think, constrained)?;
    let conversation = prompt::conversation(&messages, &[], think);
    Ok((rendered, Some((template.clone(), conversation))))
}
