//! `POST /v1/messages` and `POST /v1/messages/count_tokens`: Anthropic's API.

mod head;
mod input;
mod stream;

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures_util::StreamExt;
use serde_json::json;

use self::head::Head;
use self::stream::Writer;
use super::request::read;
use super::talk::{self, parts};
use crate::api::anthropic::MessagesRequest;
use crate::runner::wire::{Tokenize, Tokenized};
use crate::server::app::{App, Caller, Heard, options};
use crate::server::error::{ApiError, Dialect};
use crate::server::id;
use crate::server::infer::{self, Ask, Item};
use crate::server::reply;

/// What a request asks its model.
async fn ask(app: &App, request: &MessagesRequest, heard: &mut Heard) -> Result<Ask, ApiError> {
    let mut talk = input::talk(request, heard)?;
    let model = app.find(&request.model).await?;
    talk.options = options(&model, Some(&request.option_values()), &[], heard)?;
    talk::ask(model, talk, heard).await
}

pub(crate) async fn messages(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let began = Instant::now();
    let (request, mut heard) = read::<MessagesRequest>(request, &caller).await?;
    match request.max_tokens {
        Some(1..) => {}
        Some(_) => return Err(ApiError::bad("max_tokens: it must be at least 1")),
        None => return Err(ApiError::bad("max_tokens: it is required")),
    }
    let ask = ask(&app, &request, &mut heard).await?;
    let head = Head {
        id: id::random("msg_", 24),
        model: request.model,
        stops: ask.options.stop.clone().unwrap_or_default(),
    };
    let answering = infer::answer(&app, &caller, ask, heard, began).await?;
    if !request.stream {
        let (chunk, end) = answering.whole().await?;
        return reply::json(&head.whole(&chunk, &end));
    }
    let parts = parts(answering).await?;
    let mut writer = Writer::new(head);
    let begin = writer.begin();
    let events = parts.map(move |item| match item {
        Ok(Item::Chunk(chunk)) => writer.chunk(&chunk),
        Ok(Item::End(end)) => writer.end(&end),
        Err(error) => reply::event("error", &error.to_json(Dialect::Anthropic)),
    });
    let begin = futures_util::stream::iter([begin]);
    Ok(reply::events(begin.chain(events)))
}

pub(crate) async fn count_tokens(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let (request, mut heard) = read::<MessagesRequest>(request, &caller).await?;
    // It counts what the same request would have answered.
    let ask = ask(&app, &request, &mut heard).await?;
    let lease = app
        .ready(&ask.model, &ask.options, ask.keep_alive, &mut heard)
        .await?;
    let counting = Tokenize {
        prompt: ask.rendered.prompt,
        add_special: true,
    };
    let counted: Tokenized = lease.client.ask("/tokenize", &counting).await?;
    reply::json(&json!({ "input_tokens": counted.tokens.len() }))
}
