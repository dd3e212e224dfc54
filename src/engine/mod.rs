//! Many requests on one model: a bounded queue, continuous batching, and a prefix cache that all
//! requests share. One thread owns the contexts; everything else talks to it through [`Engine`].

mod admission;
mod answer;
mod budget;
mod cache;
mod channel;
mod disk;
mod draft;
mod event;
mod generator;
mod governor;
mod judge;
mod measure;
mod metrics;
mod overflow;
mod pace;
mod params;
mod persist;
mod pooled;
mod prefix;
mod queue;
mod request;
mod running;
mod schedule;
mod shared;
mod speculate;
mod step;
mod stop;
mod submit;
mod watchdog;
mod worker;

pub use answer::{Answer, Completion};
pub use channel::NotYet;
pub use event::{Event, FinishReason, Finished, Timing, TokenEvent};
pub use metrics::{Memory, Metrics, Summary};
pub use params::EngineParams;
pub use pooled::{EmbedRequest, Embedded, Pending, RerankRequest, Reranked};
pub use request::{EnginePrompt, Overflow, Request};
pub use submit::SubmitError;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::model::Model;
use crate::model_params::ModelParams;
use shared::Shared;

/// Serves many requests on one loaded model.
///
/// A cheap handle, `Send + Sync`; clones share one engine. When the last handle is dropped, running
/// and queued requests end with [`FinishReason::Shutdown`] and the engine's thread is joined.
///
/// ```no_run
/// use llamakit::engine::{Engine, EngineParams, Request};
/// use llamakit::{Model, ModelParams};
///
/// let model = Model::load("model.gguf", &ModelParams::new())?;
/// let engine = Engine::new(&model, &EngineParams::new().parallel(4))?;
/// let answer = engine.submit(Request::new("Once upon a time").max_tokens(64))?;
/// println!("{}", answer.complete()?.text);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Engine {
    owner: Arc<Owner>,
}

/// Ends the engine's threads with its last handle.
struct Owner {
    shared: Arc<Shared>,
    threads: std::sync::Mutex<Vec<std::thread::JoinHandle<()>>>,
}

impl Engine {
    /// Starts an engine on `model`. The context for generating is made at once when the model
    /// generates, so that what cannot work fails here; those for embeddings and reranking when
    /// first needed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) names the parameter that is out of range;
    /// else as [`Context::new`](crate::Context::new).
    pub fn new(model: &Model, params: &EngineParams) -> Result<Self> {
        let shared = Arc::new(Shared::new(model, params)?);
        let worker = worker::start(Arc::clone(&shared))?;
        let watchdog = watchdog::start(Arc::clone(&shared))?;
        Ok(Self {
            owner: Arc::new(Owner {
                shared,
                threads: std::sync::Mutex::new(vec![worker, watchdog]),
            }),
        })
    }

    /// What a model and an engine on it would take, by upstream's own plan: nothing is allocated and
    /// no weight is read. `paths` are the model's files in order. Contexts for embeddings, adapters
    /// and a draft model come on top.
    ///
    /// # Errors
    ///
    /// As [`Model::load_shards`] and [`new`](Self::new).
    pub fn measure(
        paths: &[impl AsRef<Path>],
        model: &ModelParams,
        params: &EngineParams,
    ) -> Result<Memory> {
        measure::measure(paths, model, params)
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.owner.shared.model
    }

    /// Queues a request and returns its answer as it comes.
    ///
    /// # Errors
    ///
    /// [`SubmitError::QueueFull`] with a hint when to try again, [`SubmitError::PromptTooLong`]
    /// with both counts, [`SubmitError::Closed`] after [`shutdown`](Self::shutdown), else
    /// [`SubmitError::Invalid`].
    pub fn submit(&self, request: Request) -> Result<Answer, SubmitError> {
        submit::generate(&self.owner.shared, request)
    }

    /// Queues texts to embed.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit); an error names the input by its index.
    pub fn embed(&self, request: EmbedRequest) -> Result<Pending<Embedded>, SubmitError> {
        submit::embed(&self.owner.shared, request)
    }

    /// Queues documents to score against a query.
    ///
    /// # Errors
    ///
    /// As [`embed`](Self::embed).
    pub fn rerank(&self, request: RerankRequest) -> Result<Pending<Reranked>, SubmitError> {
        submit::rerank(&self.owner.shared, request)
    }

    /// What the engine does now and did so far.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.owner.shared.metrics()
    }

    /// Sets the gap between tokens of running answers that prompts may cause.
    pub fn set_latency_target(&self, target: Duration) {
        self.owner.shared.set_latency_target(target);
    }

    /// Takes no more requests, lets those that run or wait finish until `drain` has passed, ends
    /// the rest with [`FinishReason::Shutdown`], writes cached prefixes to the
    /// [`state_dir`](EngineParams::state_dir) if there is one, and frees the contexts.
    pub fn shutdown(&self, drain: Duration) {
        self.owner.close(drain);
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("model", self.model())
            .finish_non_exhaustive()
    }
}

impl Owner {
    fn close(&self, drain: Duration) {
        self.shared.close(drain);
        let threads = std::mem::take(&mut *shared::lock(&self.threads));
        for thread in threads {
            // A thread that panicked has already ended its requests by dropping their channels.
            let _ = thread.join();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.close(Duration::ZERO);
    }
}
