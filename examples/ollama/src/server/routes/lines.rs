//! The answers of Ollama's own routes: lines of JSON, or one object.

use std::time::Duration;

use axum::response::Response;
use futures_util::StreamExt;
use serde::Serialize;

use super::talk::parts;
use crate::api::{KeepAlive, Notes, Options};
use crate::server::app::{App, Heard};
use crate::server::error::{ApiError, Dialect};
use crate::server::infer::{Answering, Chunk, End, Item};
use crate::server::model::Model;
use crate::server::reply;

/// What a line of a reply tells.
pub(super) trait Line: Serialize + Send + 'static {
    /// The line with this part of the answer.
    fn part(&self, chunk: Chunk) -> Self;

    /// The line with the answer's end.
    fn end(&self, end: End) -> Self;
}

/// Sends an answer: a line for each part, or one object with all.
pub(super) async fn send<L: Line>(
    line: L,
    answering: Answering,
    stream: bool,
) -> Result<Response, ApiError> {
    if !stream {
        let (chunk, end) = answering.whole().await?;
        return reply::json(&line.end(end).part(chunk));
    }
    let parts = parts(answering).await?;
    Ok(reply::lines(parts.map(move |item| match item {
        Ok(Item::Chunk(chunk)) => reply::line(&line.part(chunk)),
        Ok(Item::End(end)) => reply::line(&line.end(*end)),
        Err(error) => reply::line(&error.to_json(Dialect::Ollama)),
    })))
}

/// What a request does that asks for no answer.
pub(super) async fn load_or_unload(
    app: &App,
    model: &Model,
    options: &Options,
    keep_alive: Option<KeepAlive>,
    mut heard: Heard,
) -> Result<End, ApiError> {
    let reason = if keep_alive == Some(KeepAlive::For(Duration::ZERO)) {
        heard.check()?;
        app.scheduler.stop(&model.key).await;
        "unload"
    } else {
        app.ready(model, options, keep_alive, &mut heard).await?;
        "load"
    };
    let notes = Notes {
        warnings: heard.warnings,
        ..Notes::default()
    };
    Ok(End {
        reason,
        notes,
        ..End::default()
    })
}
