//! From a rendered prompt to an answer in parts: what all routes that generate have in common.

mod answering;
mod ask;
mod hold;
mod refit;

use std::sync::Arc;
use std::time::Instant;

use llamakit::chat::CallFormat;

pub(crate) use answering::{Answering, Chunk, End, Item};
pub(crate) use ask::{Ask, TOP, choose, constrain, format, logprobs};

use hold::hold;
use refit::begin;

use super::app::{App, Caller, Heard};
use super::error::ApiError;

/// Begins an answer.
pub(crate) async fn answer(
    app: &Arc<App>,
    caller: &Caller,
    mut ask: Ask,
    mut heard: Heard,
    began: Instant,
) -> Result<Answering, ApiError> {
    let window = app.window(&ask.model, &ask.options, &mut heard);
    let format = ask.rendered.format.as_ref();
    if !ask.tools.is_empty() && format.is_some_and(|format| *format.calls() == CallFormat::None) {
        // Other programs have this model's template built in.
        heard.warn(
            "the model is not told of the tools: its template has no place for them".to_owned(),
        );
    }
    heard.check()?;
    if app.rules.log_prompts {
        tracing::trace!(id = %caller.id, prompt = ask.rendered.text(), "prompt");
    }
    let lease = app
        .acquire(&ask.model, &ask.options, window, ask.keep_alive)
        .await?;
    let (events, refitted) = begin(&lease.client, caller, &mut ask, window).await?;
    let waited = lease.waited;
    let events = hold(events, lease);
    Ok(Answering::new(
        app, waited, events, ask, refitted, heard, began,
    ))
}
