//! Checks a request on the caller's thread, tokenizes it and puts it into the queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::channel::channel;
use super::event::Event;
use super::overflow::{self, Fitted};
use super::pooled::{EmbedRequest, Embedded, Pending, PooledJob, RerankRequest, Reranked};
use super::request::{EnginePrompt, Overflow, Request};
use super::shared::{Job, Shared, Work, lock};
use crate::context::check_adapters;
use crate::error::{Error, ErrorKind};
use crate::guide::Guide;
use crate::sampler::Sampler;
use crate::token::Token;

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The queue is full.
    #[error("the queue is full with {queued} requests; try again in {retry_after:?}")]
    QueueFull {
        /// Requests that wait.
        queued: usize,
        /// When a place may be free, judged by how long recent requests ran.
        retry_after: Duration,
    },
    /// The prompt leaves no room for an answer.
    #[error("the prompt has {prompt_tokens} tokens; the window holds {window} with the answer")]
    PromptTooLong {
        /// Tokens of the prompt.
        prompt_tokens: usize,
        /// Tokens that prompt and answer may have together.
        window: usize,
    },
    /// The engine was shut down.
    #[error("the engine takes no more requests")]
    Closed,
    /// Something in the request is wrong.
    #[error(transparent)]
    Invalid(#[from] Error),
}

pub(super) fn generate(shared: &Arc<Shared>, request: Request) -> Result<Answer, SubmitError> {
    let model = &shared.model;
    if !model.has_decoder() || model.has_encoder() || model.is_diffusion() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the engine generates with decoder models only",
        )
        .into());
    }
    check_adapters(model, &request.adapters)?;
    let window = match request.context_length {
        Some(tokens) if !(2..=1 << 27).contains(&tokens) => {
            return Err(Error::argument(format!("context_length is {tokens}")).into());
        }
        tokens => tokens.unwrap_or(shared.resolved.window) as usize,
    };
    let positions = model.position_limit().unwrap_or(u64::MAX);
    let window = window.min(usize::try_from(positions).unwrap_or(usize::MAX));
    let (tokens, groups) = tokenize(shared, request.prompt)?;
    let submitted_tokens = tokens.len();
    let Fitted {
        tokens: prompt,
        dropped_groups,
    } = overflow::fit(tokens, &groups, window, request.overflow).ok_or(
        SubmitError::PromptTooLong {
            prompt_tokens: submitted_tokens,
            window,
        },
    )?;
    let free = match request.overflow {
        Overflow::Shift { .. } => usize::MAX,
        _ => window - prompt.len(),
    };
    let max_tokens = request.max_tokens.unwrap_or(usize::MAX);
    #[cfg(feature = "constrain")]
    let guide = Guide::new(request.constraint.as_ref(), model.vocab())?;
    #[cfg(not(feature = "constrain"))]
    let guide = Guide::default();
    let (events, receiver) = channel();
    let control = shared.control(request.deadline);
    let job = Job {
        control: Arc::clone(&control),
        events,
        queued_at: Instant::now(),
        namespace: Arc::clone(&request.namespace),
        prompt,
        submitted_tokens,
        dropped_groups,
        sampler: request.sampler.unwrap_or_else(Sampler::llama_cpp),
        max_tokens: max_tokens.min(free),
        bounded_by_window: free < max_tokens,
        window,
        overflow: request.overflow,
        stop: request.stop,
        written: model.vocab().control_tokens(&request.special_texts)?,
        guide,
        ignore_eos: request.ignore_eos,
        logprobs: request.logprobs,
        adapters: request.adapters,
        reuse: request.reuse && shared.params.reuse,
        speculate: request.speculate && !shared.params.deterministic,
    };
    enqueue(
        shared,
        &request.namespace,
        request.priority,
        Work::Generate(Box::new(job)),
        |work, ahead| {
            if let Work::Generate(job) = work {
                job.events.send(Event::Queued { ahead });
            }
        },
    )?;
    Ok(Answer::new(control, Arc::clone(shared), receiver))
}

pub(super) fn embed(
    shared: &Arc<Shared>,
    request: EmbedRequest,
) -> Result<Pending<Embedded>, SubmitError> {
    let (job, pending) = PooledJob::embed(shared, &request)?;
    let work = Work::Pooled(Box::new(job));
    enqueue(
        shared,
        &request.namespace,
        request.priority,
        work,
        |_, _| {},
    )?;
    Ok(pending)
}

pub(super) fn rerank(
    shared: &Arc<Shared>,
    request: RerankRequest,
) -> Result<Pending<Reranked>, SubmitError> {
    let (job, pending) = PooledJob::rerank(shared, &request)?;
    let work = Work::Pooled(Box::new(job));
    enqueue(
        shared,
        &request.namespace,
        request.priority,
        work,
        |_, _| {},
    )?;
    Ok(pending)
}

/// The tokens of a prompt and the group of each.
fn tokenize(
    shared: &Shared,
    prompt: EnginePrompt,
) -> Result<(Vec<Token>, Vec<Option<u32>>), Error> {
    let vocab = shared.model.vocab();
    let (tokens, groups) = match prompt {
        EnginePrompt::Text(text) => (vocab.tokenize(&text, true, true)?, Vec::new()),
        EnginePrompt::Tokens(tokens) => (tokens, Vec::new()),
        EnginePrompt::Segments(segments) => {
            let done = vocab.tokenize_segments(&segments, true)?;
            (done.tokens, done.groups)
        }
    };
    if tokens.is_empty() {
        return Err(Error::argument("the prompt has no tokens"));
    }
    for &token in &tokens {
        vocab.check_token(token)?;
    }
    Ok((tokens, groups))
}

fn enqueue(
    shared: &Shared,
    namespace: &Arc<str>,
    priority: i32,
    work: Work,
    queued: impl FnOnce(&Work, usize),
) -> Result<(), SubmitError> {
    let mut state = lock(&shared.state);
    if state.closing.is_some() {
        return Err(SubmitError::Closed);
    }
    let ahead = state.queue.len();
    if ahead >= state.queue.capacity() {
        drop(state);
        return Err(full(shared, ahead));
    }
    let deadline = work.control().deadline;
    queued(&work, ahead);
    let control = Arc::clone(work.control());
    if state.queue.push(namespace, priority, work).is_err() {
        drop(state);
        return Err(full(shared, ahead));
    }
    if deadline.is_some() {
        state.deadlines.push(control);
        shared.watch.notify_all();
    }
    drop(state);
    shared.work.notify_all();
    Ok(())
}

fn full(shared: &Shared, queued: usize) -> SubmitError {
    let mut stats = lock(&shared.stats);
    stats.now.refused += 1;
    // One place in the queue is free when one of those that run is done.
    let each = stats.run.summary().p50;
    let retry_after = (each / shared.params.parallel.max(1)).max(Duration::from_millis(100));
    SubmitError::QueueFull {
        queued,
        retry_after,
    }
}
