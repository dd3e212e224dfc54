//! What handles, the worker and the watchdog share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use super::budget::budget;
use super::cache::CacheKey;
use super::channel::Sender;
use super::event::{Event, FinishReason, Finished};
use super::metrics::{Metrics, Stats};
use super::params::{EngineParams, Resolved};
use super::pooled::PooledJob;
use super::queue::Queue;
use super::request::Overflow;
use super::schedule::Peer;
use crate::context::AbortHandle;
use crate::error::Result;
use crate::guide::Guide;
use crate::lora::LoraAdapter;
use crate::model::Model;
use crate::sampler::Sampler;
use crate::token::Token;

/// Locks a mutex; what it guards stays whole also when a thread panicked with it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// How a request's caller and the engine find each other.
pub(super) struct Control {
    pub(super) id: u64,
    pub(super) deadline: Option<Instant>,
    /// Why it must end, once it must.
    ended: OnceLock<Ended>,
}

/// Why a request must end early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Cancelled,
    Deadline,
    Shutdown,
}

impl Ended {
    pub(super) fn reason(self) -> FinishReason {
        match self {
            Self::Cancelled => FinishReason::Cancelled,
            Self::Deadline => FinishReason::Deadline,
            Self::Shutdown => FinishReason::Shutdown,
        }
    }
}

impl Control {
    pub(super) fn ended(&self) -> Option<Ended> {
        self.ended.get().copied()
    }
}

/// A request to generate, as it waits and runs.
pub(super) struct Job {
    pub(super) control: Arc<Control>,
    pub(super) events: Sender<Event>,
    pub(super) queued_at: Instant,
    pub(super) namespace: Arc<str>,
    pub(super) prompt: Vec<Token>,
    pub(super) submitted_tokens: usize,
    pub(super) dropped_groups: Vec<u32>,
    pub(super) sampler: Sampler,
    /// Most tokens to draw; already bounded by the window unless it shifts.
    pub(super) max_tokens: usize,
    /// Whether that bound is the window's, not the caller's.
    pub(super) bounded_by_window: bool,
    /// Tokens that prompt and answer may have together.
    pub(super) window: usize,
    pub(super) overflow: Overflow,
    pub(super) stop: Vec<String>,
    /// Control tokens that are written into the text.
    pub(super) written: Vec<Token>,
    /// What the answer may be, as far as it has come.
    pub(super) guide: Guide,
    pub(super) ignore_eos: bool,
    pub(super) logprobs: Option<usize>,
    pub(super) adapters: Vec<(LoraAdapter, f32)>,
    pub(super) reuse: bool,
    pub(super) speculate: bool,
}

impl Job {
    /// Cells it needs in the worst case.
    pub(super) fn worst_case(&self) -> usize {
        match self.overflow {
            Overflow::Shift { .. } => self.window,
            _ => (self.prompt.len() + self.max_tokens).min(self.window),
        }
    }

    /// This request as others see it when it starts.
    pub(super) fn peer<'a>(&'a self, key: &'a CacheKey) -> Peer<'a> {
        Peer {
            id: self.control.id,
            key,
            prompt: &self.prompt,
            reuse: self.reuse,
            worst: self.worst_case(),
            done: 0,
            wait: None,
            shifts: matches!(self.overflow, Overflow::Shift { .. }),
        }
    }

    /// Ends a request that never ran.
    pub(super) fn finish_unstarted(mut self, reason: FinishReason) {
        self.events.send(Event::Finished(Finished {
            reason,
            complete: self.guide.is_whole(),
            prompt_tokens: self.prompt.len(),
            submitted_tokens: self.submitted_tokens,
            cached_tokens: 0,
            generated_tokens: 0,
            dropped_tokens: self.submitted_tokens - self.prompt.len(),
            dropped_groups: self.dropped_groups,
            seed: self.sampler.seed(),
            drafted_tokens: 0,
            accepted_tokens: 0,
            timing: super::event::Timing {
                queued: self.queued_at.elapsed(),
                ..Default::default()
            },
        }));
    }
}

/// What waits in the queue.
pub(super) enum Work {
    Generate(Box<Job>),
    Pooled(Box<PooledJob>),
}

impl Work {
    pub(super) fn control(&self) -> &Arc<Control> {
        match self {
            Self::Generate(job) => &job.control,
            Self::Pooled(job) => &job.control,
        }
    }

    pub(super) fn finish_unstarted(self, ended: Ended) {
        match self {
            Self::Generate(job) => job.finish_unstarted(ended.reason()),
            Self::Pooled(job) => job.finish_ended(ended),
        }
    }
}

/// What changes under the lock.
pub(super) struct State {
    pub(super) queue: Queue<Work>,
    /// Set when the engine takes no more requests: until when the others may run.
    pub(super) closing: Option<Instant>,
    pub(super) latency_target: Duration,
    /// Running requests and their deadlines, for the watchdog.
    pub(super) deadlines: Vec<Arc<Control>>,
}

/// The step that runs now.
#[derive(Default)]
pub(super) struct StepNow {
    pub(super) started: Option<Instant>,
    /// Requests with rows in it.
    pub(super) requests: Vec<u64>,
    /// Whether aborting it is safe for the others and saves enough time.
    pub(super) abortable: bool,
    pub(super) abort: Option<AbortHandle>,
    /// Set when the watchdog aborted it.
    pub(super) stalled: bool,
}

pub(super) struct Shared {
    pub(super) model: Model,
    pub(super) params: EngineParams,
    pub(super) resolved: Resolved,
    /// Bytes for everything.
    pub(super) budget: u64,
    /// Tokens that end an answer, in order.
    pub(super) end_tokens: Vec<Token>,
    pub(super) state: Mutex<State>,
    /// Signalled when there is something new for the worker.
    pub(super) work: Condvar,
    /// Signalled when there is something new for the watchdog.
    pub(super) watch: Condvar,
    pub(super) step: Mutex<StepNow>,
    pub(super) stats: Mutex<Stats>,
    next_id: AtomicU64,
}

impl Shared {
    pub(super) fn new(model: &Model, params: &EngineParams) -> Result<Self> {
        let resolved = params.resolve(model)?;
        let vocab = model.vocab();
        let mut end_tokens = Vec::new();
        if vocab.vocab_type() != crate::VocabType::None {
            for id in 0..i32::try_from(vocab.n_tokens()).unwrap_or(i32::MAX) {
                if vocab.is_end_of_generation(Token(id))? {
                    end_tokens.push(Token(id));
                }
            }
        }
        Ok(Self {
            model: model.clone(),
            params: params.clone(),
            resolved,
            budget: budget(params, model),
            end_tokens,
            state: Mutex::new(State {
                queue: Queue::new(params.queue),
                closing: None,
                latency_target: params.latency_target,
                deadlines: Vec::new(),
            }),
            work: Condvar::new(),
            watch: Condvar::new(),
            step: Mutex::new(StepNow::default()),
            stats: Mutex::new(Stats::default()),
            next_id: AtomicU64::new(1),
        })
    }

    pub(super) fn control(&self, deadline: Option<Duration>) -> Arc<Control> {
        Arc::new(Control {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            deadline: deadline.and_then(|after| Instant::now().checked_add(after)),
            ended: OnceLock::new(),
        })
    }

    /// Whether a token ends an answer.
    pub(super) fn ends(&self, token: Token) -> bool {
        self.end_tokens.binary_search(&token).is_ok()
    }

    /// Ends a request: one that waits leaves the queue at once; of one that runs, the step is
    /// aborted where that is worth it.
    pub(super) fn end(&self, control: &Control, why: Ended) {
        if control.ended.set(why).is_err() {
            return;
        }
        let waiting = lock(&self.state)
            .queue
            .remove_where(|work| work.control().id == control.id);
        if waiting.is_empty() {
            let step = lock(&self.step);
            if step.abortable
                && step.requests.contains(&control.id)
                && let Some(abort) = &step.abort
            {
                abort.abort();
            }
        }
        for work in waiting {
            let mut stats = lock(&self.stats);
            stats.now.requests += 1;
            stats.now.cancelled += 1;
            drop(stats);
            work.finish_unstarted(why);
        }
        self.work.notify_all();
    }

    pub(super) fn set_latency_target(&self, target: Duration) {
        lock(&self.state).latency_target = target.max(Duration::from_millis(1));
    }

    /// Takes no more requests; those there are end when `drain` has passed.
    pub(super) fn close(&self, drain: Duration) {
        let until = Instant::now().checked_add(drain);
        let mut state = lock(&self.state);
        // A second call can only shorten the wait.
        state.closing = match (state.closing, until) {
            (Some(before), Some(until)) => Some(before.min(until)),
            (before, until) => until.or(before),
        };
        drop(state);
        self.work.notify_all();
        self.watch.notify_all();
    }

    pub(super) fn metrics(&self) -> Metrics {
        let queued = lock(&self.state).queue.len();
        lock(&self.stats).snapshot(queued)
    }
}
