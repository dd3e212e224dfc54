//! Asks the runner, without the oldest messages where the prompt is too long.

use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use llamakit::chat::{ChatTemplate, Conversation};

use super::Ask;
use crate::runner::client::RunnerClient;
use crate::runner::wire::{Event, Failure, FailureKind, Piece, Prompt, Tokenize, Tokenized};
use crate::server::app::{Caller, blocking};
use crate::server::error::ApiError;
use crate::server::prompt;

pub(super) type Events = Pin<Box<dyn Stream<Item = Event> + Send>>;

/// What became of messages before the prompt was sent.
pub(super) struct Refitted {
    pub dropped_messages: u64,
    pub tokens_before: u64,
}

/// Begins an answer; `ask` is then what was asked for in the end.
pub(super) async fn begin(
    client: &RunnerClient,
    caller: &Caller,
    ask: &mut Ask,
    window: u32,
) -> Result<(Events, Option<Refitted>), ApiError> {
    let failure = match client.complete(&ask.completion(caller, window)).await {
        Ok(events) => return Ok((events.boxed(), None)),
        Err(failure) => failure,
    };
    let FailureKind::TooLong { .. } = failure.kind else {
        return Err(failure.into());
    };
    let Some(again) = ask.again.take().filter(|_| ask.truncate) else {
        return Err(too_long(failure));
    };
    let Ok((mut pieces, refitted)) = refit(client.clone(), again, window).await else {
        return Err(too_long(failure));
    };
    pieces.extend(ask.rendered.tail.clone());
    ask.rendered.prompt = Prompt::Segments(pieces);
    let events = client.complete(&ask.completion(caller, window)).await;
    Ok((events.map_err(too_long)?.boxed(), Some(refitted)))
}

fn too_long(failure: Failure) -> ApiError {
    let FailureKind::TooLong {
        prompt_tokens,
        window,
    } = failure.kind
    else {
        return failure.into();
    };
    let mut error = ApiError::from(failure);
    error.message = format!(
        "the prompt has {prompt_tokens} tokens, which exceeds the context length of {window} tokens (prompt and \
         answer together); set num_ctx, or shorten it"
    );
    error
}

/// Renders without the oldest messages until it fits.
async fn refit(
    client: RunnerClient,
    (template, conversation): (ChatTemplate, Conversation),
    window: u32,
) -> Result<(Vec<Piece>, Refitted), ApiError> {
    let runtime = tokio::runtime::Handle::current();
    blocking(move || {
        let mut count = |segments: &[llamakit::Segment]| {
            let request = Tokenize {
                prompt: Prompt::Segments(prompt::pieces(segments.to_vec())),
                add_special: true,
            };
            let counted = runtime.block_on(client.ask::<_, Tokenized>("/tokenize", &request));
            // An impossible length ends the search when the runner is gone.
            Ok(counted.map_or(usize::MAX, |counted| counted.tokens.len()))
        };
        let limit = window.saturating_sub(1) as usize;
        let fitted = template.render_within(&conversation, limit, &mut count);
        let fitted = fitted.map_err(|error| ApiError::bad(error.message()))?;
        let refitted = Refitted {
            dropped_messages: fitted.dropped.len() as u64,
            tokens_before: fitted.full_count as u64,
        };
        Ok((prompt::pieces(fitted.segments), refitted))
    })
    .await
}
