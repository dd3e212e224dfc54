//! Embedding and reranking: requests whose whole input is computed at once, in contexts of their
//! own on the same weights.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use super::budget::within;
use super::channel::{Receiver, Sender, channel};
use super::shared::{Control, Ended, Shared, lock};
use crate::context::{Context, ContextParams, Pooling};
use crate::embeddings::{Embeddings, rerank_inputs};
use crate::error::{Error, ErrorKind, Result};
use crate::token::Token;

/// Inputs that are computed together have at most this many tokens, so that running answers wait
/// no longer than that; a longer input is computed alone.
const TOGETHER: usize = 256;
/// Inputs in one batch at most.
const SEQUENCES: u32 = 16;

/// A request to embed texts.
#[derive(Debug, Clone)]
pub struct EmbedRequest {
    inputs: Vec<String>,
    pub(super) namespace: Arc<str>,
    pub(super) priority: i32,
    deadline: Option<Duration>,
    pooling: Pooling,
    normalize: bool,
    truncate: bool,
}

impl EmbedRequest {
    /// Embeds each of `inputs`, with the model's own pooling, to vectors of length 1.
    #[must_use]
    pub fn new<S: Into<String>>(inputs: impl IntoIterator<Item = S>) -> Self {
        Self {
            inputs: inputs.into_iter().map(Into::into).collect(),
            namespace: Arc::from(""),
            priority: 0,
            deadline: None,
            pooling: Pooling::Model,
            normalize: true,
            truncate: false,
        }
    }

    /// How the embeddings of tokens become one. Default: [`Pooling::Model`]; a model whose file
    /// names none is pooled by [`Pooling::Mean`].
    #[must_use]
    pub fn pooling(mut self, pooling: Pooling) -> Self {
        self.pooling = pooling;
        self
    }

    /// Scale each vector to length 1. Default: on.
    #[must_use]
    pub fn normalize(mut self, on: bool) -> Self {
        self.normalize = on;
        self
    }

    /// Cut inputs that are too long, instead of refusing the request. Default: off.
    #[must_use]
    pub fn truncate(mut self, on: bool) -> Self {
        self.truncate = on;
        self
    }

    /// Who asks, see [`Request::namespace`](super::Request::namespace).
    #[must_use]
    pub fn namespace(mut self, name: &str) -> Self {
        self.namespace = Arc::from(name);
        self
    }

    /// Requests of higher priority leave the queue first. Default: 0.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Ends the request when this time has passed since it was submitted. Default: never.
    #[must_use]
    pub fn deadline(mut self, after: Duration) -> Self {
        self.deadline = Some(after);
        self
    }
}

/// Embeddings of texts.
#[derive(Debug)]
#[non_exhaustive]
pub struct Embedded {
    /// One vector per input, in order.
    pub embeddings: Embeddings,
    /// Tokens of each input, as computed.
    pub tokens: Vec<usize>,
    /// Inputs that were cut.
    pub truncated: Vec<usize>,
    /// How token embeddings became one.
    pub pooling: Pooling,
}

/// A request to score documents against a query with a reranking model.
#[derive(Debug, Clone)]
pub struct RerankRequest {
    query: String,
    documents: Vec<String>,
    pub(super) namespace: Arc<str>,
    pub(super) priority: i32,
    deadline: Option<Duration>,
}

impl RerankRequest {
    /// Scores each of `documents`.
    #[must_use]
    pub fn new<S: Into<String>>(
        query: impl Into<String>,
        documents: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            query: query.into(),
            documents: documents.into_iter().map(Into::into).collect(),
            namespace: Arc::from(""),
            priority: 0,
            deadline: None,
        }
    }

    /// Who asks, see [`Request::namespace`](super::Request::namespace).
    #[must_use]
    pub fn namespace(mut self, name: &str) -> Self {
        self.namespace = Arc::from(name);
        self
    }

    /// Requests of higher priority leave the queue first. Default: 0.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Ends the request when this time has passed since it was submitted. Default: never.
    #[must_use]
    pub fn deadline(mut self, after: Duration) -> Self {
        self.deadline = Some(after);
        self
    }
}

/// Scores of documents.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reranked {
    /// One score per document, in order; higher is more relevant.
    pub scores: Vec<f32>,
    /// Tokens of each document together with the query.
    pub tokens: Vec<usize>,
}

/// The result of a request that is computed at once. Dropping it cancels the request.
pub struct Pending<T> {
    control: Arc<Control>,
    shared: Arc<Shared>,
    result: Receiver<Result<T>>,
}

impl<T> Pending<T> {
    /// Waits for the result.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cancelled`] when the request was cancelled, missed its deadline or the engine
    /// was shut down; else as [`Context::embed`](crate::Context::embed).
    pub fn wait(self) -> Result<T> {
        self.result
            .recv()
            .unwrap_or_else(|| Err(ended("the engine went away")))
    }

    /// Stops the request.
    pub fn cancel(&self) {
        self.shared.end(&self.control, Ended::Cancelled);
    }
}

#[cfg(feature = "stream")]
impl<T> std::future::Future for Pending<T> {
    type Output = Result<T>;

    fn poll(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<T>> {
        let result = std::task::ready!(self.result.poll_recv(context));
        std::task::Poll::Ready(result.unwrap_or_else(|| Err(ended("the engine went away"))))
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl<T> std::fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending")
            .field("id", &self.control.id)
            .finish_non_exhaustive()
    }
}

/// Contexts for embedding and reranking, by pooling.
pub(super) type Contexts = HashMap<Pooling, Context>;

/// A request as it waits and runs.
pub(super) struct PooledJob {
    pub(super) control: Arc<Control>,
    inputs: Vec<Vec<Token>>,
    pooling: Pooling,
    data: Vec<f32>,
    done: usize,
    failed: Option<Error>,
    deliver: Deliver,
}

enum Deliver {
    Embedded {
        to: Sender<Result<Embedded>>,
        normalize: bool,
        truncated: Vec<usize>,
    },
    Reranked {
        to: Sender<Result<Reranked>>,
    },
}

impl PooledJob {
    pub(super) fn embed(
        shared: &Arc<Shared>,
        request: &EmbedRequest,
    ) -> Result<(Self, Pending<Embedded>)> {
        let vocab = shared.model.vocab();
        let most = longest_input(shared);
        let mut truncated = Vec::new();
        let mut inputs = Vec::with_capacity(request.inputs.len());
        for (index, text) in request.inputs.iter().enumerate() {
            let mut tokens = vocab.tokenize(text, true, false)?;
            if tokens.len() > most && request.truncate {
                truncated.push(index);
                // The token that ends a text stays its last one.
                let end = tokens.last().copied().filter(|_| vocab.adds_eos());
                tokens.truncate(most);
                if let (Some(last), Some(end)) = (tokens.last_mut(), end) {
                    *last = end;
                }
            }
            inputs.push(tokens);
        }
        check_lengths(&inputs, most)?;
        let (to, result) = channel();
        let job = Self::new(
            shared.control(request.deadline),
            inputs,
            request.pooling,
            Deliver::Embedded {
                to,
                normalize: request.normalize,
                truncated,
            },
        );
        let pending = job.pending(shared, result);
        Ok((job, pending))
    }

    pub(super) fn rerank(
        shared: &Arc<Shared>,
        request: &RerankRequest,
    ) -> Result<(Self, Pending<Reranked>)> {
        if shared.model.n_classifier_outputs() == 0 {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the model has no classifier head to rank with",
            ));
        }
        let inputs = rerank_inputs(shared.model.vocab(), &request.query, &request.documents)?;
        check_lengths(&inputs, longest_input(shared))?;
        let (to, result) = channel();
        let job = Self::new(
            shared.control(request.deadline),
            inputs,
            Pooling::Rank,
            Deliver::Reranked { to },
        );
        let pending = job.pending(shared, result);
        Ok((job, pending))
    }

    fn new(
        control: Arc<Control>,
        inputs: Vec<Vec<Token>>,
        pooling: Pooling,
        deliver: Deliver,
    ) -> Self {
        Self {
            control,
            inputs,
            pooling,
            data: Vec::new(),
            done: 0,
            failed: None,
            deliver,
        }
    }

    fn pending<T>(&self, shared: &Arc<Shared>, result: Receiver<Result<T>>) -> Pending<T> {
        Pending {
            control: Arc::clone(&self.control),
            shared: Arc::clone(shared),
            result,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.failed.is_some() || self.done == self.inputs.len()
    }

    /// Computes the next inputs. True: a context was made for it.
    pub(super) fn step(&mut self, shared: &Shared, contexts: &mut Contexts) -> bool {
        let mut made = false;
        let result = self
            .context(shared, contexts, &mut made)
            .and_then(|context| {
                let inputs = next_inputs(&self.inputs[self.done..]);
                announce(shared, self.control.id, context);
                let embeddings = context.embed(inputs);
                lock(&shared.step).started = None;
                embeddings.map(|embeddings| (inputs.len(), embeddings))
            });
        match result {
            Ok((count, embeddings)) => {
                self.done += count;
                for row in embeddings.iter() {
                    self.data.extend_from_slice(row);
                }
            }
            // Ended by its caller, or by an abort that was meant for an earlier step.
            Err(error) if error.kind() == ErrorKind::Cancelled => {}
            Err(error) => {
                contexts.remove(&self.pooling);
                self.failed = Some(error);
            }
        }
        made
    }

    /// The context for this job's pooling, which is known by then.
    fn context<'a>(
        &mut self,
        shared: &Shared,
        contexts: &'a mut Contexts,
        made: &mut bool,
    ) -> Result<&'a mut Context> {
        match contexts.entry(self.pooling) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let memory = lock(&shared.stats).now.memory;
                let others = memory.context + memory.compute;
                let mut context = new_context(shared, self.pooling, others)?;
                if context.pooling() == Pooling::None {
                    context = new_context(shared, Pooling::Mean, others)?;
                }
                *made = true;
                Ok(place.insert(context))
            }
        }
    }

    /// Hands the result over.
    pub(super) fn finish(mut self, contexts: &Contexts) {
        let tokens: Vec<usize> = self.inputs.iter().map(Vec::len).collect();
        let dim = self.data.len() / tokens.len().max(1);
        let pooling = contexts
            .get(&self.pooling)
            .map_or(self.pooling, Context::pooling);
        let failed = self.failed.take();
        match self.deliver {
            Deliver::Embedded {
                to,
                normalize,
                truncated,
            } => {
                let embeddings = Embeddings::from_rows(dim, self.data);
                let done = Embedded {
                    embeddings: match normalize {
                        true => embeddings.normalized(),
                        false => embeddings,
                    },
                    tokens,
                    truncated,
                    pooling,
                };
                to.send(failed.map_or(Ok(done), Err));
            }
            Deliver::Reranked { to } => {
                let scores = self.data.chunks(dim.max(1)).map(|row| row[0]).collect();
                to.send(failed.map_or(Ok(Reranked { scores, tokens }), Err));
            }
        }
    }

    pub(super) fn finish_ended(self, why: Ended) {
        let error = ended(match why {
            Ended::Cancelled => "the request was cancelled",
            Ended::Deadline => "the request's deadline passed",
            Ended::Shutdown => "the engine was shut down",
        });
        match self.deliver {
            Deliver::Embedded { to, .. } => to.send(Err(error)),
            Deliver::Reranked { to } => to.send(Err(error)),
        };
    }
}

fn ended(message: &str) -> Error {
    Error::new(ErrorKind::Cancelled, message)
}

fn longest_input(shared: &Shared) -> usize {
    let positions = shared.model.position_limit().unwrap_or(u64::MAX);
    (shared.resolved.window as usize).min(usize::try_from(positions).unwrap_or(usize::MAX))
}

fn check_lengths(inputs: &[Vec<Token>], most: usize) -> Result<()> {
    for (index, input) in inputs.iter().enumerate() {
        if input.is_empty() || input.len() > most {
            return Err(Error::argument(format!(
                "input {index} has {} tokens; 1..={most} can be embedded",
                input.len()
            )));
        }
    }
    Ok(())
}

/// The inputs that are computed together next.
fn next_inputs(rest: &[Vec<Token>]) -> &[Vec<Token>] {
    let mut tokens = 0;
    let count = rest
        .iter()
        .take(SEQUENCES as usize)
        .take_while(|input| {
            tokens += input.len();
            tokens <= TOGETHER
        })
        .count()
        .max(1);
    &rest[..count.min(rest.len())]
}

fn announce(shared: &Shared, id: u64, context: &Context) {
    let mut step = lock(&shared.step);
    step.started = Some(std::time::Instant::now());
    step.requests = vec![id];
    step.abortable = true;
    step.abort = Some(context.abort_handle());
}

fn new_context(shared: &Shared, pooling: Pooling, others: u64) -> Result<Context> {
    let length = u32::try_from(longest_input(shared)).unwrap_or(u32::MAX);
    let length = length.max(u32::try_from(TOGETHER).unwrap_or(u32::MAX));
    let mut params = ContextParams::new()
        .context_length(length)
        .batch_size(length)
        .sequences(SEQUENCES.min(length))
        .embeddings(true)
        .pooling(pooling)
        .flash_attention(shared.params.flash_attention);
    if let Some(threads) = shared.params.threads {
        params = params.threads(threads);
    }
    within(Context::new(&shared.model, &params)?, others, shared.budget)
}
