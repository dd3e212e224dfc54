//! Those who wait: how many there are, and who goes on.

use super::{Action, Loaded, Plan, Stage, Time, Wants};

impl<K: Clone + Ord, W: Wants> Plan<K, W> {
    /// Requests that wait: all that no model has been given, and of these, each model that has a runner takes as
    /// many as it computes at once without having them count; those that it was given beyond that wait in it.
    pub(in crate::scheduler) fn waiting(&self) -> usize {
        let mut waiting = 0;
        let mut homeless = self.pending.len();
        for (key, model) in &self.models {
            let pending = self.pending_of(key);
            homeless -= pending;
            let all = pending + model.running.len();
            waiting += all.saturating_sub(self.limits.parallel);
        }
        waiting + homeless
    }

    /// Requests of this model that wait here.
    pub(in crate::scheduler) fn pending_of(&self, key: &K) -> usize {
        self.pending.iter().filter(|one| one.key == *key).count()
    }

    /// Whether a request that came now would have to wait for others.
    pub(super) fn would_wait(&self, key: &K, wants: &W) -> bool {
        match self.models.get(key) {
            None => self.models.len() >= self.limits.models,
            Some(model) if model.stage == Stage::Leaving => true,
            Some(model) => {
                let all = self.pending_of(key) + model.running.len();
                !model.wants.will_do(wants) || model.draining || all >= self.limits.parallel
            }
        }
    }

    /// Goes through those who wait, in order.
    pub(super) fn serve(&mut self, now: Time) {
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
                        .any(|model| model.stage == Stage::Leaving || model.draining);
                    if !leaving {
                        if let Some(idle) = self.oldest(Loaded::idle) {
                            self.end(&idle);
                        } else if let Some(busy) = self.next_to_drain() {
                            busy.draining = true;
                        }
                    }
                }
            }
            self.pending.push_back(one);
        }
    }
}
