//! The candidates that are left while a chain runs, as two parallel arrays.

use super::math::{self, key, unkey};
use crate::error::Result;

/// Candidates with finite logits, plus a count of those at -inf.
///
/// Upstream keeps candidates at -inf in its array, where they have no probability but count in the
/// size that dynamic temperature, XTC and `min_keep` look at; so they are counted here.
///
/// The order is either ascending id, or (`ranked`) descending logit and then ascending id.
#[derive(Debug, Default)]
pub(super) struct Set {
    pub(super) ids: Vec<u32>,
    pub(super) logits: Vec<f32>,
    pub(super) ghosts: usize,
    pub(super) ranked: bool,
    spare: Vec<u32>,
}

impl Set {
    pub(super) fn clear(&mut self) {
        self.ids.clear();
        self.logits.clear();
        self.ghosts = 0;
        self.ranked = false;
    }

    /// How many are left, those at -inf included.
    pub(super) fn size(&self) -> usize {
        self.logits.len() + self.ghosts
    }

    pub(super) fn max(&self) -> f32 {
        if self.ranked {
            self.logits.first().copied().unwrap_or(f32::NEG_INFINITY)
        } else {
            math::max(&self.logits)
        }
    }

    /// Replaces all by ranked keys of logit and id.
    pub(super) fn fill_ranked(&mut self, keys: &[u64]) {
        self.ids.clear();
        self.logits.clear();
        for &key in keys {
            let (logit, id) = unkey(key);
            self.ids.push(id);
            self.logits.push(logit);
        }
        self.ranked = true;
    }

    /// Sorts by descending logit, whatever the order was.
    pub(super) fn rank(&mut self, keys: &mut Vec<u64>) {
        keys.clear();
        keys.extend(self.logits.iter().zip(&self.ids).map(|(&l, &i)| key(l, i)));
        keys.sort_unstable();
        self.fill_ranked(keys);
    }

    /// Keeps the first `n` of a ranked set, those at -inf coming last.
    pub(super) fn truncate(&mut self, n: usize) {
        self.ghosts = self.ghosts.min(n.saturating_sub(self.logits.len()));
        self.ids.truncate(n);
        self.logits.truncate(n);
    }

    /// Keeps the `n` best (at least 1) and leaves the set ranked.
    pub(super) fn keep_best(&mut self, n: usize, keys: &mut Vec<u64>) -> Result<()> {
        if !self.ranked {
            math::rank(&self.logits, keys, n.min(self.logits.len()))?;
            self.pick(keys);
        }
        self.truncate(n);
        Ok(())
    }

    /// Keeps exactly the candidates at these ranked keys of logit and index into this set.
    pub(super) fn pick(&mut self, ranked: &[u64]) {
        self.spare.clear();
        let ids = &self.ids;
        self.spare
            .extend(ranked.iter().map(|&k| ids[unkey(k).1 as usize]));
        std::mem::swap(&mut self.ids, &mut self.spare);
        self.logits.clear();
        self.logits.extend(ranked.iter().map(|&k| unkey(k).0));
        self.ranked = true;
    }

    /// Keeps what `keep(index, logit)` says, in order; returns how many went.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(usize, f32) -> bool) -> usize {
        let mut n = 0;
        for i in 0..self.logits.len() {
            if keep(i, self.logits[i]) {
                self.logits[n] = self.logits[i];
                self.ids[n] = self.ids[i];
                n += 1;
            }
        }
        let gone = self.logits.len() - n;
        self.logits.truncate(n);
        self.ids.truncate(n);
        gone
    }

    /// Gives some candidates new logits (-inf drops them to the count), keeping the order's kind.
    pub(super) fn edit(
        &mut self,
        keys: &mut Vec<u64>,
        mut new_logit: impl FnMut(u32, f32) -> Option<f32>,
    ) -> Result<()> {
        let mut edited = false;
        for (&id, logit) in self.ids.iter().zip(&mut self.logits) {
            if let Some(new) = new_logit(id, *logit) {
                math::check(id, new)?;
                *logit = new;
                edited = true;
            }
        }
        if edited {
            self.ghosts += self.retain(|_, l| l != f32::NEG_INFINITY);
            if self.ranked {
                self.rank(keys);
            }
        }
        Ok(())
    }
}
