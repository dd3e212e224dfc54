//! Which models are loaded, and who may ask them. [`plan`] decides; this carries it out with processes and time.

mod drive;
mod expire;
mod lease;
mod plan;
mod state;
mod status;
mod watch;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot, watch as watched};

use crate::runner::launch::Launcher;
use crate::runner::wire::{Failure, Spec};
use crate::settings::KeepAlive;
use crate::tasks;

use lease::Waiting;
use plan::{Limits, Plan, Wants};
use state::{Shared, State, Waiter};

pub(crate) use lease::Lease;
pub(crate) use status::LoadedModel;

/// What a runner is for: the digests of the weights and of what is put on them.
pub(crate) type Key = Arc<str>;

/// How the scheduler works.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Models that are loaded at most.
    pub max_models: usize,
    /// Requests that wait at most.
    pub max_queue: usize,
    /// Requests that a model computes at once.
    pub parallel: usize,
    /// Bytes of all runners together.
    pub budget: u64,
    /// How long loading may stand still; `None`: for ever.
    pub load_timeout: Option<Duration>,
    /// How long a runner may leave a question after its health unanswered.
    pub health_timeout: Duration,
    /// How long requests may run without a step before the runner counts as hung.
    pub hang_limit: Duration,
}

/// The model that a runner has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Card {
    /// As `ollama list` prints it.
    pub name: String,
    /// Of the manifest.
    pub digest: String,
    pub details: crate::api::ModelDetails,
}

/// What a request wants of a runner.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    pub spec: Spec,
    pub card: Arc<Card>,
}

impl Wants for Want {
    fn will_do(&self, other: &Self) -> bool {
        match self.spec.deterministic {
            // Options that are not given shape the sums as well.
            true => self.spec.load == other.spec.load,
            false => self.spec.load.will_do(&other.spec.load),
        }
    }
}

/// Why a request was not let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many wait as may.
    Full { retry_after: Duration },
    /// The model can't be loaded.
    Failed(Failure),
    /// The server ends.
    Closing,
}

/// What the scheduler counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub loads: AtomicU64,
    pub load_failures: AtomicU64,
    pub unloads: AtomicU64,
    pub crashes: AtomicU64,
    pub hangs: AtomicU64,
    pub refused: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A cheap handle.
#[derive(Clone)]
pub(crate) struct Scheduler {
    shared: Arc<Shared>,
}

impl Scheduler {
    /// Must be called within a runtime.
    pub(crate) fn new(launcher: Arc<dyn Launcher>, config: Config) -> Self {
        let limits = Limits {
            models: config.max_models.max(1),
            waiting: config.max_queue,
            parallel: config.parallel.max(1),
            budget: config.budget,
        };
        let shared = Arc::new(Shared {
            launcher,
            config,
            start: Instant::now(),
            state: Mutex::new(State {
                plan: Plan::new(limits),
                waiters: HashMap::new(),
                runners: HashMap::new(),
                next: 0,
                started: 0,
                granted: 0,
                closing: false,
                typical: Duration::from_secs(1),
            }),
            timer: Notify::new(),
            changes: watched::Sender::new(0),
            counters: Counters::default(),
        });
        tasks::spawn(expire::expire(Arc::downgrade(&shared)));
        Self { shared }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Waits until the model is loaded. Dropping the future gives the request up.
    pub(crate) async fn acquire(
        &self,
        key: Key,
        want: Want,
        keep_alive: KeepAlive,
    ) -> Result<Lease, Refused> {
        let began = Instant::now();
        let (sender, answer) = oneshot::channel();
        let mut waiting = Waiting {
            shared: &self.shared,
            ticket: None,
            answer,
        };
        {
            let mut state = self.shared.lock();
            if state.closing {
                return Err(Refused::Closing);
            }
            let ticket = state.next;
            state.next += 1;
            let waiter = Waiter {
                key: Arc::clone(&key),
                sender,
            };
            state.waiters.insert(ticket, waiter);
            waiting.ticket = Some(ticket);
            let now = self.shared.now();
            state.plan.submit(now, ticket, key, want, keep_alive);
            self.shared.carry_out(&mut state);
        }
        let answer = (&mut waiting.answer).await;
        let client = answer.unwrap_or(Err(Refused::Closing))?;
        // From here on the lease has the ticket.
        let ticket = waiting.ticket.take().unwrap_or_default();
        Ok(Lease {
            shared: Arc::clone(&self.shared),
            ticket,
            since: Instant::now(),
            client,
            waited: began.elapsed(),
        })
    }

    /// Unloads a model at once, whatever it is doing, and waits until its memory is free. False: it was not
    /// loaded.
    pub(crate) async fn stop(&self, key: &Key) -> bool {
        let mut changes = self.shared.changes.subscribe();
        let number = {
            let mut state = self.shared.lock();
            let Some(number) = state.runners.get(key).map(|runner| runner.number) else {
                return false;
            };
            state.plan.stop(self.shared.now(), key);
            self.shared.carry_out(&mut state);
            number
        };
        // A runner is killed half a second after it was told to leave, so this ends. Those who wait for the model
        // may get another one at once.
        let there = || {
            let state = self.shared.lock();
            let runner = state.runners.get(key);
            runner.is_some_and(|runner| runner.number == number)
        };
        while there() {
            if changes.changed().await.is_err() {
                break;
            }
        }
        true
    }

    /// Lets no more requests in, waits up to `drain` for those that run, and ends all runners.
    pub(crate) async fn close(&self, drain: Duration) {
        let mut changes = self.shared.changes.subscribe();
        let deadline = tokio::time::Instant::now() + drain;
        {
            let mut state = self.shared.lock();
            state.closing = true;
            let waiters = std::mem::take(&mut state.waiters);
            for (ticket, waiter) in waiters {
                let _ = waiter.sender.send(Err(Refused::Closing));
                state.plan.cancel(self.shared.now(), ticket);
            }
            self.shared.carry_out(&mut state);
        }
        while self.granted() > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        {
            let mut state = self.shared.lock();
            let keys: Vec<Key> = state.runners.keys().cloned().collect();
            for key in keys {
                state.plan.stop(self.shared.now(), &key);
            }
            self.shared.carry_out(&mut state);
        }
        while !self.shared.lock().runners.is_empty() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
