//! Decides which models are loaded and which requests go on, from plain facts alone: it knows no processes and
//! no clock. What happens is told to it, and what is to be done comes back.

mod loaded;
mod queue;
mod room;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::settings::KeepAlive;
use loaded::Pending;

pub(super) use loaded::{Loaded, Stage};

/// Tells a request from others.
pub(super) type Ticket = u64;
/// Time since some start.
pub(super) type Time = Duration;

/// What holds always.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Models that have a runner at most.
    pub models: usize,
    /// Requests that wait at most: those beyond what a model that has a runner computes at once.
    pub waiting: usize,
    /// Requests that a model computes at once.
    pub parallel: usize,
    /// Bytes of all runners together.
    pub budget: u64,
}

/// What is to be done. `W` is what was wanted of a model.
#[derive(Debug, PartialEq)]
pub(super) enum Action<K, W> {
    /// Start a runner, which then tells what it needs.
    Start(K, W),
    /// The memory is there: let the runner load. It may take so many bytes.
    Load(K, u64),
    /// Let the request go on: its model is ready.
    Grant(Ticket),
    /// The request can't be served.
    Refuse(Ticket, Refusal),
    /// End the runner.
    End(K),
}

/// Why a request can't be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// As many wait as may.
    Full,
    /// The model needs more memory than there may be used.
    Memory { needed: u64, budget: u64 },
}

/// What a request wants of its model.
pub(super) trait Wants: Clone {
    /// Whether a model that was loaded like this will do for one who wants `other`.
    fn will_do(&self, other: &Self) -> bool;
}

#[derive(Debug)]
pub(super) struct Plan<K, W> {
    limits: Limits,
    models: BTreeMap<K, Loaded<W>>,
    /// In the order in which they came.
    pending: VecDeque<Pending<K, W>>,
    births: u64,
    actions: Vec<Action<K, W>>,
}

impl<K: Clone + Ord, W: Wants> Plan<K, W> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            models: BTreeMap::new(),
            pending: VecDeque::new(),
            births: 0,
            actions: Vec::new(),
        }
    }

    pub(super) fn models(&self) -> impl Iterator<Item = (&K, &Loaded<W>)> {
        self.models.iter()
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn model(&self, key: &K) -> Option<&Loaded<W>> {
        self.models.get(key)
    }

    /// What is to be done since the last call, in order.
    pub(super) fn take_actions(&mut self) -> Vec<Action<K, W>> {
        std::mem::take(&mut self.actions)
    }

    pub(super) fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// When something is to be looked at again by [`tick`](Self::tick).
    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.models.values().filter_map(Loaded::expires).min()
    }

    /// A request comes.
    pub(super) fn submit(
        &mut self,
        now: Time,
        ticket: Ticket,
        key: K,
        wants: W,
        keep_alive: KeepAlive,
    ) {
        if self.waiting() >= self.limits.waiting && self.would_wait(&key, &wants) {
            self.actions.push(Action::Refuse(ticket, Refusal::Full));
            return;
        }
        self.pending.push_back(Pending {
            ticket,
            key,
            wants,
            keep_alive,
        });
        self.settle(now);
    }

    /// A request's sender went away before it was granted or refused.
    pub(super) fn cancel(&mut self, now: Time, ticket: Ticket) {
        self.withdraw(ticket);
        self.settle(now);
    }

    fn withdraw(&mut self, ticket: Ticket) {
        self.pending.retain(|one| one.ticket != ticket);
        for model in self.models.values_mut() {
            model.running.retain(|one| *one != ticket);
        }
        // Nobody wants what is not loaded yet any more.
        let pending = &self.pending;
        let unwanted = self.models.iter().filter(|(key, model)| {
            matches!(
                model.stage,
                Stage::Starting | Stage::Measured | Stage::Loading
            ) && !pending.iter().any(|one| one.key == **key)
        });
        let unwanted: Vec<K> = unwanted.map(|(key, _)| key.clone()).collect();
        for key in unwanted {
            self.end(&key);
        }
    }

    /// A granted request is done.
    pub(super) fn finished(&mut self, now: Time, ticket: Ticket) {
        for model in self.models.values_mut() {
            let before = model.running.len();
            model.running.retain(|one| *one != ticket);
            if model.running.len() < before {
                model.used = now;
            }
        }
        self.settle(now);
        self.tick(now);
    }

    /// A runner said what it needs.
    pub(super) fn measured(&mut self, now: Time, key: &K, memory: u64) {
        if let Some(model) = self.models.get_mut(key)
            && model.stage == Stage::Starting
        {
            model.stage = Stage::Measured;
            model.memory = memory;
        }
        self.settle(now);
    }

    /// A runner's model is loaded.
    pub(super) fn ready(&mut self, now: Time, key: &K, memory: u64) {
        if let Some(model) = self.models.get_mut(key)
            && model.stage == Stage::Loading
        {
            model.stage = Stage::Ready;
            model.memory = memory;
            model.used = now;
            // Those who waited for it have it before others may take its place, or models would be loaded in
            // turn and never asked.
            let actions = &mut self.actions;
            let mut fits = true;
            self.pending.retain(|one| {
                if one.key != *key || !fits {
                    return true;
                }
                fits = model.take(now, one);
                if fits {
                    actions.push(Action::Grant(one.ticket));
                }
                !fits
            });
        }
        self.settle(now);
    }

    /// A runner takes this much now.
    pub(super) fn takes(&mut self, key: &K, memory: u64) {
        if let Some(model) = self.models.get_mut(key)
            && model.stage == Stage::Ready
        {
            model.memory = memory;
        }
    }

    /// A runner can't load its model: gives the requests that waited for it.
    pub(super) fn failed(&mut self, now: Time, key: &K) -> Vec<Ticket> {
        if self
            .model(key)
            .is_some_and(|model| model.stage == Stage::Leaving)
        {
            // Those who wait now will have the next one, which may be loaded otherwise.
            return Vec::new();
        }
        self.end(key);
        let (failed, rest) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition::<Vec<_>, _>(|one| one.key == *key);
        self.pending = rest.into();
        self.settle(now);
        failed.into_iter().map(|one| one.ticket).collect()
    }

    /// A runner is no more, and its memory is free.
    pub(super) fn gone(&mut self, now: Time, key: &K) {
        self.models.remove(key);
        self.settle(now);
    }

    /// The model is to leave at once, whatever it does.
    pub(super) fn stop(&mut self, now: Time, key: &K) {
        self.end(key);
        self.settle(now);
    }

    /// Time passed.
    pub(super) fn tick(&mut self, now: Time) {
        let expired = self
            .models
            .iter()
            .filter(|(_, model)| model.expires().is_some_and(|time| time <= now));
        let expired: Vec<K> = expired.map(|(key, _)| key.clone()).collect();
        for key in &expired {
            self.end(key);
        }
        if !expired.is_empty() {
            self.settle(now);
        }
    }

    fn end(&mut self, key: &K) {
        if let Some(model) = self.models.get_mut(key)
            && model.stage != Stage::Leaving
        {
            model.stage = Stage::Leaving;
            model.running.clear();
            self.actions.push(Action::End(key.clone()));
        }
    }

    /// Brings everything as far as it can go now.
    fn settle(&mut self, now: Time) {
        for model in self.models.values_mut() {
            model.draining = false;
        }
        // Who waits for memory comes before those who have no runner yet: they came later.
        self.give_memory();
        self.serve(now);
    }
}

#[cfg(test)]
mod tests;
