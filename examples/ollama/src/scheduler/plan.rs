//! Decides which models are loaded and which requests go on, from plain facts alone: it knows no processes and
//! no clock. What happens is told to it, and what is to be done comes back.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::settings::KeepAlive;

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The runner was started and has not said yet what it needs.
    Starting,
    /// It waits for memory.
    Measured,
    Loading,
    Ready,
    /// It was told to end.
    Leaving,
}

/// A model that has a runner.
#[derive(Debug)]
pub(super) struct Loaded<W> {
    pub stage: Stage,
    pub wants: W,
    /// Bytes that it takes, or will.
    pub memory: u64,
    /// Requests that it was given.
    pub running: Vec<Ticket>,
    /// Which model came before which.
    born: u64,
    /// When a request last began or ended.
    used: Time,
    /// How long it stays after the last request.
    pub keep_alive: KeepAlive,
    /// Nobody may begin, so that it becomes idle and makes room.
    draining: bool,
}

impl<W: Wants> Loaded<W> {
    /// Gives it a request if it will do for that.
    fn take<K>(&mut self, now: Time, one: &Pending<K, W>) -> bool {
        let fits = self.wants.will_do(&one.wants);
        if fits {
            self.running.push(one.ticket);
            self.used = now;
            self.keep_alive = one.keep_alive;
        }
        fits
    }
}

impl<W> Loaded<W> {
    fn idle(&self) -> bool {
        self.stage == Stage::Ready && self.running.is_empty()
    }

    /// When it is unloaded if nothing happens; `None`: never, or not yet.
    pub(super) fn expires(&self) -> Option<Time> {
        match self.keep_alive {
            KeepAlive::For(time) if self.idle() => self.used.checked_add(time),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Pending<K, W> {
    ticket: Ticket,
    key: K,
    wants: W,
    keep_alive: KeepAlive,
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

    /// Requests that wait: all that no model has been given, and of these, each model that has a runner takes as
    /// many as it computes at once without having them count; those that it was given beyond that wait in it.
    pub(super) fn waiting(&self) -> usize {
        let mut waiting = 0;
        let mut homeless = self.pending.len();
        for (key, model) in &self.models {
            let pending = self.pending.iter().filter(|one| one.key == *key).count();
            homeless -= pending;
            let all = pending + model.running.len();
            waiting += all.saturating_sub(self.limits.parallel);
        }
        waiting + homeless
    }

    /// Requests of this model that wait here.
    pub(super) fn pending_of(&self, key: &K) -> usize {
        self.pending.iter().filter(|one| one.key == *key).count()
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

    /// Whether a request that came now would have to wait for others.
    fn would_wait(&self, key: &K, wants: &W) -> bool {
        match self.models.get(key) {
            None => self.models.len() >= self.limits.models,
            Some(model) if model.stage == Stage::Leaving => true,
            Some(model) => {
                let all = self.pending_of(key) + model.running.len();
                !model.wants.will_do(wants) || model.draining || all >= self.limits.parallel
            }
        }
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

    /// Lets measured models load while there is memory, the oldest first.
    fn give_memory(&mut self) {
        let mut measured: Vec<(u64, K)> = self
            .models
            .iter()
            .filter(|(_, model)| model.stage == Stage::Measured)
            .map(|(key, model)| (model.born, key.clone()))
            .collect();
        measured.sort();
        for (_, key) in measured {
            let Some(needed) = self.models.get(&key).map(|model| model.memory) else {
                continue;
            };
            let budget = self.limits.budget;
            if needed > budget {
                let refusal = Refusal::Memory { needed, budget };
                self.refuse_all(&key, refusal);
                self.end(&key);
                continue;
            }
            // One at a time: who is there needs more, gets a place first.
            let others = self.taken_beside(&key);
            if others.saturating_add(needed) <= budget {
                if let Some(model) = self.models.get_mut(&key) {
                    model.stage = Stage::Loading;
                }
                self.actions.push(Action::Load(key, budget - others));
            } else {
                let missing = others.saturating_add(needed) - budget;
                self.make_room(missing);
                return;
            }
        }
    }

    /// Bytes that all others take or have been promised.
    fn taken_beside(&self, key: &K) -> u64 {
        let others = self.models.iter().filter(|(other, model)| {
            *other != key && !matches!(model.stage, Stage::Starting | Stage::Measured)
        });
        others.fold(0, |sum, (_, model)| sum.saturating_add(model.memory))
    }

    /// Ends idle models, the one that was used longest ago first, until so much is on its way to be free; where
    /// there are not enough, lets busy ones become idle.
    fn make_room(&mut self, mut missing: u64) {
        let leaving = |model: &&Loaded<W>| model.stage == Stage::Leaving;
        let soon: u64 = self
            .models
            .values()
            .filter(leaving)
            .map(|model| model.memory)
            .sum();
        missing = missing.saturating_sub(soon);
        while missing > 0 {
            let Some(key) = self.oldest(|model| model.idle()) else {
                break;
            };
            let freed = self.models.get(&key).map_or(0, |model| model.memory);
            self.end(&key);
            missing = missing.saturating_sub(freed);
        }
        while missing > 0 {
            let busy = |model: &Loaded<W>| model.stage == Stage::Ready && !model.draining;
            let Some(model) = self.oldest(busy).and_then(|key| self.models.get_mut(&key)) else {
                return;
            };
            model.draining = true;
            missing = missing.saturating_sub(model.memory);
        }
    }

    /// Of these models the one that was used longest ago.
    fn oldest(&self, which: impl Fn(&Loaded<W>) -> bool) -> Option<K> {
        let candidates = self.models.iter().filter(|(_, model)| which(model));
        candidates
            .min_by_key(|(_, model)| (model.used, model.born))
            .map(|(key, _)| key.clone())
    }

    fn refuse_all(&mut self, key: &K, refusal: Refusal) {
        let actions = &mut self.actions;
        self.pending.retain(|one| {
            let refused = one.key == *key;
            if refused {
                actions.push(Action::Refuse(one.ticket, refusal));
            }
            !refused
        });
    }

    /// Goes through those who wait, in order.
    fn serve(&mut self, now: Time) {
        // Keys of which a request waits for its model to become idle: later ones wait behind it.
        let mut blocked: Vec<K> = Vec::new();
        let mut no_place = false;
        let mut waiting = std::mem::take(&mut self.pending);
        while let Some(one) = waiting.pop_front() {
            let room = self.models.len() < self.limits.models;
            match self.models.get_mut(&one.key) {
                Some(model) if model.stage == Stage::Ready => {
                    let free = !model.draining && !blocked.contains(&one.key);
                    if free && model.take(now, &one) {
                        self.actions.push(Action::Grant(one.ticket));
                        continue;
                    }
                    if !model.wants.will_do(&one.wants) {
                        blocked.push(one.key.clone());
                        if model.running.is_empty() {
                            self.end(&one.key);
                        }
                    }
                }
                Some(_) => {}
                None if no_place => {}
                None if room => {
                    self.births += 1;
                    let model = Loaded {
                        stage: Stage::Starting,
                        wants: one.wants.clone(),
                        memory: 0,
                        running: Vec::new(),
                        born: self.births,
                        used: now,
                        keep_alive: one.keep_alive,
                        draining: false,
                    };
                    self.models.insert(one.key.clone(), model);
                    let start = Action::Start(one.key.clone(), one.wants.clone());
                    self.actions.push(start);
                }
                None => {
                    // Later ones may not take the place that this one waits for.
                    no_place = true;
                    let leaving = self
                        .models
                        .values()
                        .any(|model| model.stage == Stage::Leaving);
                    if !leaving {
                        if let Some(idle) = self.oldest(Loaded::idle) {
                            self.end(&idle);
                        } else if let Some(busy) = self.oldest(|model| model.stage == Stage::Ready)
                            && let Some(model) = self.models.get_mut(&busy)
                        {
                            model.draining = true;
                        }
                    }
                }
            }
            self.pending.push_back(one);
        }
    }
}

#[cfg(test)]
mod tests;
