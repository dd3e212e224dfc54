//! Which models are loaded, and who may ask them. [`plan`] decides; this carries it out with processes and time.

mod drive;
mod plan;
mod watch;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, oneshot, watch as watched};

use crate::api::MemoryByKind;
use crate::runner::client::RunnerClient;
use crate::runner::launch::{Control, Launcher};
use crate::runner::wire::{Failure, FailureKind, Health, Info, Spec};
use crate::settings::KeepAlive;

use plan::{Action, Limits, Plan, Refusal, Stage, Ticket, Wants};

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

struct Shared {
    launcher: Arc<dyn Launcher>,
    config: Config,
    start: Instant,
    state: Mutex<State>,
    /// Something may expire at another time now.
    timer: Notify,
    /// Counts changes of what is loaded.
    changes: watched::Sender<u64>,
    counters: Counters,
}

struct State {
    plan: Plan<Key, Want>,
    waiters: HashMap<Ticket, Waiter>,
    runners: HashMap<Key, Runner>,
    next: Ticket,
    /// Runners that were started.
    started: u64,
    granted: usize,
    closing: bool,
    /// How long requests ran of late, for those who are told to come again.
    typical: Duration,
}

struct Waiter {
    key: Key,
    sender: oneshot::Sender<Result<RunnerClient, Refused>>,
}

struct Runner {
    /// Tells it from the one that comes after it for the same model.
    number: u64,
    card: Arc<Card>,
    /// Absent until it was started.
    control: Option<Control>,
    /// It is to end, perhaps before it was started.
    ended: bool,
    client: Option<RunnerClient>,
    info: Arc<Info>,
    health: Health,
    /// When work last moved, or nothing was to be done.
    moved: Instant,
    /// Share of the weights that is loaded.
    progress: f32,
}

/// A model, as `ps` tells it.
#[derive(Debug, Clone)]
pub(crate) struct LoadedModel {
    pub card: Arc<Card>,
    pub state: &'static str,
    pub memory: MemoryByKind,
    pub info: Arc<Info>,
    pub health: Health,
    pub requests: usize,
    /// `None`: never, or it is busy.
    pub expires: Option<SystemTime>,
    pub keep_alive: KeepAlive,
    /// Share of the weights that is loaded.
    pub progress: f32,
}

/// The right to ask a runner; dropping it tells that the request is done.
pub(crate) struct Lease {
    shared: Arc<Shared>,
    ticket: Ticket,
    since: Instant,
    pub client: RunnerClient,
    /// How long it took to get it.
    pub waited: Duration,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let shared = &self.shared;
        let mut state = shared.lock();
        state.granted = state.granted.saturating_sub(1);
        state.typical = (state.typical * 7 + self.since.elapsed()) / 8;
        state.plan.finished(shared.now(), self.ticket);
        shared.carry_out(&mut state);
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease")
            .field("ticket", &self.ticket)
            .finish_non_exhaustive()
    }
}

/// Gives a request up whose sender goes away while it waits.
struct Waiting<'s> {
    shared: &'s Arc<Shared>,
    ticket: Option<Ticket>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let mut state = self.shared.lock();
            if state.waiters.remove(&ticket).is_none() {
                // It was granted while nobody looked.
                state.granted = state.granted.saturating_sub(1);
            }
            state.plan.cancel(self.shared.now(), ticket);
            self.shared.carry_out(&mut state);
        }
    }
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
        tokio::spawn(expire(Arc::downgrade(&shared)));
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
        let (sender, receiver) = oneshot::channel();
        let mut waiting = Waiting {
            shared: &self.shared,
            ticket: None,
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
        let answer = receiver.await.unwrap_or(Err(Refused::Closing));
        // From here on the lease, or nobody, has the ticket.
        let ticket = waiting.ticket.take().unwrap_or_default();
        let granted = answer?;
        Ok(Lease {
            shared: Arc::clone(&self.shared),
            ticket,
            since: Instant::now(),
            client: granted,
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

    /// What is loaded, or about to be.
    pub(crate) fn loaded(&self) -> Vec<LoadedModel> {
        let state = self.shared.lock();
        let now = self.shared.now();
        let models = state.plan.models().filter_map(|(key, model)| {
            let runner = state.runners.get(key)?;
            let until = |time: Duration| SystemTime::now().checked_add(time.saturating_sub(now));
            Some(LoadedModel {
                card: Arc::clone(&runner.card),
                state: match model.stage {
                    Stage::Starting | Stage::Measured | Stage::Loading => "loading",
                    Stage::Ready => "ready",
                    Stage::Leaving => "stopping",
                },
                memory: match runner.health.memory.total() {
                    0 => runner.info.memory,
                    _ => runner.health.memory,
                },
                info: Arc::clone(&runner.info),
                health: runner.health.clone(),
                requests: model.running.len() + state.plan.pending_of(key),
                expires: model.expires().and_then(until),
                keep_alive: model.keep_alive,
                progress: runner.progress,
            })
        });
        models.collect()
    }

    /// Requests that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.lock().plan.waiting()
    }

    /// Requests that were let through and are not done.
    pub(crate) fn granted(&self) -> usize {
        self.shared.lock().granted
    }

    /// Whether all that is to be done moves on.
    pub(crate) fn moves(&self) -> bool {
        let limit = self.shared.config.hang_limit.min(Duration::from_secs(30));
        let state = self.shared.lock();
        let stuck = |runner: &Runner| runner.moved.elapsed() > limit || runner.health.stalled;
        !state.closing && !state.runners.values().any(stuck)
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

impl Shared {
    /// Every change under the lock leaves a whole state, so that a poisoned one guards one too.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Does what the plan wants.
    fn carry_out(self: &Arc<Self>, state: &mut State) {
        for action in state.plan.take_actions() {
            match action {
                Action::Start(key, want) => {
                    state.started += 1;
                    state.runners.insert(
                        Arc::clone(&key),
                        Runner {
                            number: state.started,
                            card: Arc::clone(&want.card),
                            control: None,
                            ended: false,
                            client: None,
                            info: Arc::default(),
                            health: Health::default(),
                            moved: Instant::now(),
                            progress: 0.0,
                        },
                    );
                    tokio::spawn(drive::drive(Arc::clone(self), key, want.spec));
                }
                Action::Load(key, budget) => {
                    if let Some(Runner {
                        control: Some(control),
                        ..
                    }) = state.runners.get(&key)
                    {
                        control.go(crate::runner::wire::Go {
                            memory_budget: Some(budget),
                        });
                    }
                }
                Action::Grant(ticket) => self.grant(state, ticket),
                Action::Refuse(ticket, refusal) => {
                    if let Some(waiter) = state.waiters.remove(&ticket) {
                        count(&self.counters.refused);
                        let _ = waiter.sender.send(Err(state.refused(refusal)));
                    }
                }
                Action::End(key) => {
                    if let Some(runner) = state.runners.get_mut(&key) {
                        runner.ended = true;
                        if let Some(control) = &runner.control {
                            control.end();
                        }
                    }
                }
            }
        }
        self.timer.notify_one();
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn grant(&self, state: &mut State, ticket: Ticket) {
        let Some(waiter) = state.waiters.remove(&ticket) else {
            return;
        };
        let Some(Runner {
            client: Some(client),
            ..
        }) = state.runners.get(&waiter.key)
        else {
            return;
        };
        let client = client.clone();
        state.granted += 1;
        // A sender that has gone gives the ticket back itself.
        let _ = waiter.sender.send(Ok(client));
    }

    /// Tells all who wait for this model that it can't be had.
    fn fail(self: &Arc<Self>, key: &Key, failure: &Failure) {
        let mut state = self.lock();
        count(&self.counters.load_failures);
        for ticket in state.plan.failed(self.now(), key) {
            if let Some(waiter) = state.waiters.remove(&ticket) {
                let _ = waiter.sender.send(Err(Refused::Failed(failure.clone())));
            }
        }
        self.carry_out(&mut state);
    }
}

impl State {
    fn refused(&self, refusal: Refusal) -> Refused {
        match refusal {
            Refusal::Full => {
                let parallel = self.plan.limits().parallel.max(1);
                let each = self.typical / u32::try_from(parallel).unwrap_or(1);
                let retry_after = each.clamp(Duration::from_secs(1), Duration::from_secs(60));
                Refused::Full { retry_after }
            }
            Refusal::Memory { needed, budget } => Refused::Failed(Failure::new(
                FailureKind::Memory,
                format!(
                    "model requires more memory ({}) than may be used ({})",
                    gib(needed),
                    gib(budget)
                ),
            )),
        }
    }
}

fn gib(bytes: u64) -> String {
    let bytes = bytes as f64;
    if bytes < 1e9 {
        format!("{:.1} MiB", bytes / f64::from(1 << 20))
    } else {
        format!("{:.1} GiB", bytes / f64::from(1 << 30))
    }
}

/// Unloads what nobody used for long enough.
async fn expire(shared: std::sync::Weak<Shared>) {
    loop {
        let next = {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let mut state = shared.lock();
            state.plan.tick(shared.now());
            let actions = state.plan.has_actions();
            if actions {
                shared.carry_out(&mut state);
            }
            state.plan.next_expiry().map(|at| shared.start + at)
        };
        // Looked at now and then in any case, to end with the last handle.
        let most = Instant::now() + Duration::from_secs(60);
        let next = next.map_or(most, |at| at.min(most));
        let Some(strong) = shared.upgrade() else {
            return;
        };
        let sleep = tokio::time::sleep_until(next.into());
        tokio::select! {
            () = sleep => {}
            () = strong.timer.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests;
