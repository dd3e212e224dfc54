//! A world in which runners do what they like, and the rules, said in the plainest way.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::scheduler::plan::*;

/// 0 wants nothing in particular.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Want(pub u8);

impl Wants for Want {
    fn will_do(&self, other: &Self) -> bool {
        other.0 == 0 || other.0 == self.0
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Life {
    Started,
    Measured,
    Loading,
    Ready,
    Ending,
}

#[derive(Debug)]
pub(super) struct Runner {
    pub life: Life,
    pub want: Want,
    pub memory: u64,
    /// Whether it was given memory.
    pub given: bool,
    pub running: Vec<Ticket>,
    pub used: Time,
    pub keep_alive: KeepAlive,
}

#[derive(Debug, Clone)]
pub(super) enum Act {
    Submit {
        key: u8,
        want: u8,
        keep: Option<u8>,
    },
    Cancel(usize),
    Finish(usize),
    /// The runner with this number does its next step; where it can fail, it does if told so.
    Step {
        runner: usize,
        fail: bool,
        memory: u8,
    },
    Crash(usize),
    Stop(u8),
    Pass(u8),
}

pub(super) struct World {
    pub plan: Plan<u8, Want>,
    pub limits: Limits,
    pub now: Time,
    pub runners: BTreeMap<u8, Runner>,
    /// Ticket, key, want, keep-alive, in order.
    pub pending: Vec<(Ticket, u8, Want, KeepAlive)>,
    pub next: Ticket,
    pub resolved: usize,
}

pub(super) type Checked = Result<(), TestCaseError>;

impl World {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            plan: Plan::new(limits),
            limits,
            now: Time::ZERO,
            runners: BTreeMap::new(),
            pending: Vec::new(),
            next: 0,
            resolved: 0,
        }
    }

    /// Those that wait, counted one by one.
    fn waiting(&self) -> usize {
        let mut waiting = 0;
        for key in 0..=u8::MAX {
            let pending = self.pending.iter().filter(|one| one.1 == key).count();
            waiting += match self.runners.get(&key) {
                None => pending,
                Some(runner) => {
                    (pending + runner.running.len()).saturating_sub(self.limits.parallel)
                }
            };
        }
        waiting
    }

    /// Carries out what the plan wants, and checks that it may want it. `free` says whose runner may end with
    /// requests running.
    fn carry_out(&mut self, free: Option<u8>) -> Checked {
        for action in self.plan.take_actions() {
            match action {
                Action::Start(key, want) => {
                    prop_assert!(!self.runners.contains_key(&key), "two runners of one model");
                    prop_assert!(self.runners.len() < self.limits.models, "too many runners");
                    let first = self.pending.iter().find(|one| one.1 == key);
                    let (_, _, wanted, keep_alive) = first.copied().expect("somebody wants it");
                    prop_assert_eq!(want, wanted);
                    self.runners.insert(
                        key,
                        Runner {
                            life: Life::Started,
                            want,
                            memory: 0,
                            given: false,
                            running: Vec::new(),
                            used: self.now,
                            keep_alive,
                        },
                    );
                }
                Action::Load(key, bytes) => {
                    let others = self.runners.iter().filter(|(other, _)| **other != key);
                    let others: u64 = others
                        .filter(|(_, runner)| runner.given || runner.life == Life::Ending)
                        .map(|(_, runner)| runner.memory)
                        .sum();
                    let runner = self.runners.get_mut(&key).expect("a runner");
                    prop_assert_eq!(runner.life, Life::Measured);
                    prop_assert!(
                        others + runner.memory <= self.limits.budget,
                        "over the budget"
                    );
                    prop_assert_eq!(bytes, self.limits.budget - others);
                    runner.life = Life::Loading;
                    runner.given = true;
                }
                Action::Grant(ticket) => {
                    let at = self.pending.iter().position(|one| one.0 == ticket);
                    let at = at.expect("it waits");
                    let (_, key, want, keep_alive) = self.pending[at];
                    let earlier = self.pending[..at].iter().any(|one| one.1 == key);
                    prop_assert!(!earlier, "a later request went first");
                    self.pending.remove(at);
                    self.resolved += 1;
                    let runner = self.runners.get_mut(&key).expect("a runner");
                    prop_assert_eq!(runner.life, Life::Ready);
                    prop_assert!(runner.want.will_do(&want), "it was loaded otherwise");
                    runner.running.push(ticket);
                    runner.used = self.now;
                    runner.keep_alive = keep_alive;
                }
                Action::Refuse(ticket, refusal) => {
                    match self.pending.iter().position(|one| one.0 == ticket) {
                        Some(at) => {
                            let key = self.pending.remove(at).1;
                            let needed = self.runners[&key].memory;
                            let budget = self.limits.budget;
                            prop_assert_eq!(refusal, Refusal::Memory { needed, budget });
                            prop_assert!(needed > budget);
                        }
                        None => {
                            prop_assert_eq!(refusal, Refusal::Full);
                            prop_assert_eq!(ticket + 1, self.next, "only a new request");
                            prop_assert!(self.waiting() >= self.limits.waiting, "there was room");
                        }
                    }
                    self.resolved += 1;
                }
                Action::End(key) => self.check_end(key, free)?,
            }
        }
        prop_assert_eq!(self.plan.waiting(), self.waiting());
        Ok(())
    }

    fn check_end(&mut self, key: u8, free: Option<u8>) -> Checked {
        let runner = &self.runners[&key];
        prop_assert_ne!(runner.life, Life::Ending, "it was told already");
        if free == Some(key) {
            // Stopped, or failed.
        } else if runner.life == Life::Ready {
            prop_assert!(runner.running.is_empty(), "it was busy");
            let expired =
                matches!(runner.keep_alive, KeepAlive::For(time) if runner.used + time <= self.now);
            let unfit = self
                .pending
                .iter()
                .any(|one| one.1 == key && !runner.want.will_do(&one.2));
            if !expired && !unfit {
                // To make room: then nobody idle was used before it.
                let used = runner.used;
                let older = self.runners.values().filter(|other| {
                    other.life == Life::Ready && other.running.is_empty() && other.used < used
                });
                prop_assert_eq!(older.count(), 0, "another one was idle for longer");
                let wanted = self.pending.iter().any(|one| one.1 != key);
                prop_assert!(wanted, "nobody needs the room");
            }
        } else {
            let wanted = self.pending.iter().any(|one| one.1 == key);
            prop_assert!(
                !wanted || runner.memory > self.limits.budget,
                "somebody waits for it"
            );
        }
        let runner = self.runners.get_mut(&key).expect("a runner");
        runner.life = Life::Ending;
        runner.running.clear();
        Ok(())
    }

    pub(super) fn act(&mut self, act: &Act) -> Checked {
        let mut free = None;
        match *act {
            Act::Submit { key, want, keep } => {
                let keep_alive = keep.map_or(KeepAlive::Forever, |seconds| {
                    KeepAlive::For(Time::from_secs(seconds.into()))
                });
                let ticket = self.next;
                self.next += 1;
                let want = Want(want);
                self.plan.submit(self.now, ticket, key, want, keep_alive);
                let refused = Action::Refuse(ticket, Refusal::Full);
                if !self.plan.actions.contains(&refused) {
                    self.pending.push((ticket, key, want, keep_alive));
                }
            }
            Act::Cancel(which) if !self.pending.is_empty() => {
                let (ticket, ..) = self.pending.remove(which % self.pending.len());
                self.resolved += 1;
                self.plan.cancel(self.now, ticket);
            }
            Act::Finish(which) => {
                let running: Vec<Ticket> = self
                    .runners
                    .values()
                    .flat_map(|runner| runner.running.clone())
                    .collect();
                if running.is_empty() {
                    return Ok(());
                }
                self.end_of(running[which % running.len()]);
            }
            Act::Step {
                runner,
                fail,
                memory,
            } if !self.runners.is_empty() => {
                let keys: Vec<u8> = self.runners.keys().copied().collect();
                let key = keys[runner % keys.len()];
                let life = self.runners[&key].life;
                if fail && matches!(life, Life::Started | Life::Loading) {
                    free = Some(key);
                    let failed = self.plan.failed(self.now, &key);
                    let waited = self.pending.iter().filter(|one| one.1 == key);
                    let waited: Vec<Ticket> = waited.map(|one| one.0).collect();
                    prop_assert_eq!(&failed, &waited);
                    self.resolved += failed.len();
                    self.pending.retain(|one| one.1 != key);
                } else if fail && life == Life::Ending {
                    prop_assert!(self.plan.failed(self.now, &key).is_empty());
                } else {
                    let runner = self.runners.get_mut(&key).expect("a runner");
                    match life {
                        Life::Started => {
                            runner.life = Life::Measured;
                            runner.memory = memory.into();
                            self.plan.measured(self.now, &key, memory.into());
                        }
                        Life::Loading => {
                            runner.life = Life::Ready;
                            runner.used = self.now;
                            self.plan.ready(self.now, &key, runner.memory);
                        }
                        Life::Ending => {
                            self.runners.remove(&key);
                            self.plan.gone(self.now, &key);
                        }
                        Life::Measured | Life::Ready => {}
                    }
                }
            }
            Act::Crash(which) if !self.runners.is_empty() => {
                let keys: Vec<u8> = self.runners.keys().copied().collect();
                let key = keys[which % keys.len()];
                if self.runners[&key].life == Life::Ready {
                    self.runners.remove(&key);
                    self.plan.gone(self.now, &key);
                }
            }
            Act::Stop(key) => {
                free = Some(key);
                self.plan.stop(self.now, &key);
            }
            Act::Pass(seconds) => {
                self.now += Time::from_secs(seconds.into());
                self.plan.tick(self.now);
            }
            Act::Cancel(_) | Act::Step { .. } | Act::Crash(_) => {}
        }
        self.carry_out(free)?;
        self.check_expiry(act)
    }

    fn end_of(&mut self, ticket: Ticket) {
        for runner in self.runners.values_mut() {
            if runner.running.contains(&ticket) {
                runner.running.retain(|one| *one != ticket);
                runner.used = self.now;
            }
        }
        self.plan.finished(self.now, ticket);
    }

    /// After time passed nobody idle is over its time.
    fn check_expiry(&self, act: &Act) -> Checked {
        if !matches!(act, Act::Pass(_) | Act::Finish(_)) {
            return Ok(());
        }
        for (key, runner) in &self.runners {
            if let KeepAlive::For(time) = runner.keep_alive
                && runner.life == Life::Ready
                && runner.running.is_empty()
            {
                prop_assert!(runner.used + time > self.now, "model {key} stayed too long");
                let planned = self.plan.next_expiry().expect("a time to look again");
                prop_assert!(planned <= runner.used + time);
            }
        }
        Ok(())
    }

    /// Lets requests for all loaded models come as fast as those that run end: then those who wait now may not
    /// wait for ever.
    pub(super) fn flood(&mut self) -> Checked {
        let before = self.next;
        for _ in 0..200 {
            if !self.pending.iter().any(|one| one.0 < before) {
                return Ok(());
            }
            for key in self.runners.keys().copied().collect::<Vec<_>>() {
                if self.runners[&key].life == Life::Ready {
                    self.act(&Act::Submit {
                        key,
                        want: 0,
                        keep: None,
                    })?;
                }
            }
            for runner in 0..self.runners.len() {
                self.act(&Act::Step {
                    runner,
                    fail: false,
                    memory: 3,
                })?;
            }
            let first = self
                .runners
                .values()
                .filter_map(|runner| runner.running.first());
            for ticket in first.copied().collect::<Vec<_>>() {
                self.act(&Act::Pass(1))?;
                self.end_of(ticket);
                self.carry_out(None)?;
            }
        }
        prop_assert!(false, "later requests go first: {:?}", self.plan);
        Ok(())
    }

    /// Lets everything that runs come to its end: then nobody may be left waiting.
    pub(super) fn drain(&mut self) -> Checked {
        for round in 0..10_000_usize {
            if self.resolved == usize::try_from(self.next).unwrap_or(0) {
                return Ok(());
            }
            self.act(&Act::Step {
                runner: round,
                fail: false,
                memory: 3,
            })?;
            self.act(&Act::Finish(round))?;
        }
        prop_assert!(
            false,
            "{} requests wait for ever: {:?}",
            self.pending.len(),
            self.plan
        );
        Ok(())
    }
}
