//! Who may load, and who makes room for it.

use super::{Action, Loaded, Plan, Refusal, Stage, Wants};

impl<K: Clone + Ord, W: Wants> Plan<K, W> {
    /// Lets measured models load while there is memory, the oldest first.
    pub(super) fn give_memory(&mut self) {
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
            let Some(model) = self.next_to_drain() else {
                return;
            };
            model.draining = true;
            missing = missing.saturating_sub(model.memory);
        }
    }

    /// The model that is to become idle next: the one that was loaded first, which stays the same while requests
    /// come and go. If the one that was used longest ago were drained, busy models would take turns in that, and
    /// none of them ever become idle.
    pub(super) fn next_to_drain(&mut self) -> Option<&mut Loaded<W>> {
        let models = self.models.values_mut();
        models
            .filter(|model| model.stage == Stage::Ready && !model.draining)
            .min_by_key(|model| model.born)
    }

    /// Of these models the one that was used longest ago.
    pub(super) fn oldest(&self, which: impl Fn(&Loaded<W>) -> bool) -> Option<K> {
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
}
