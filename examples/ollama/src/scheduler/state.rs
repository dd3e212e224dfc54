//! What the handles, the runners' followers and the clock share, and how the plan's actions become deeds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot, watch};

use super::plan::{Action, Plan, Refusal, Ticket};
use super::{Card, Config, Counters, Key, Refused, Want, count, drive};
use crate::runner::client::RunnerClient;
use crate::runner::launch::{Control, Launcher};
use crate::runner::wire::{Failure, FailureKind, Go, Health, Info};
use crate::tasks;

pub(super) struct Shared {
    pub launcher: Arc<dyn Launcher>,
    pub config: Config,
    pub start: Instant,
    pub state: Mutex<State>,
    /// Something may expire at another time now.
    pub timer: Notify,
    /// Counts changes of what is loaded.
    pub changes: watch::Sender<u64>,
    pub counters: Counters,
}

pub(super) struct State {
    pub plan: Plan<Key, Want>,
    pub waiters: HashMap<Ticket, Waiter>,
    pub runners: HashMap<Key, Runner>,
    pub next: Ticket,
    /// Runners that were started.
    pub started: u64,
    pub granted: usize,
    pub closing: bool,
    /// How long requests ran of late, for those who are told to come again.
    pub typical: Duration,
}

pub(super) struct Waiter {
    pub key: Key,
    pub sender: oneshot::Sender<Result<RunnerClient, Refused>>,
}

pub(super) struct Runner {
    /// Tells it from the one that comes after it for the same model.
    pub number: u64,
    pub card: Arc<Card>,
    /// Absent until it was started.
    pub control: Option<Control>,
    /// It is to end, perhaps before it was started.
    pub ended: bool,
    pub client: Option<RunnerClient>,
    pub info: Arc<Info>,
    pub health: Health,
    /// When work last moved, or nothing was to be done.
    pub moved: Instant,
    /// Share of the weights that is loaded.
    pub progress: f32,
}

impl Shared {
    /// Every change under the lock leaves a whole state, so that a poisoned one guards one too.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Does what the plan wants.
    pub(super) fn carry_out(self: &Arc<Self>, state: &mut State) {
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
                    tasks::spawn(drive::drive(Arc::clone(self), key, want.spec));
                }
                Action::Load(key, budget) => {
                    if let Some(Runner {
                        control: Some(control),
                        ..
                    }) = state.runners.get(&key)
                    {
                        control.go(Go {
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
    pub(super) fn fail(self: &Arc<Self>, key: &Key, failure: &Failure) {
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
