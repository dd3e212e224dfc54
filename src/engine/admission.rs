//! Lets requests in: whether one fits beside those that run, and from which cached prefix it starts.

use super::cache::Place;
use super::event::FinishReason;
use super::generator::Generator;
use super::prefix::PrefixTree;
use super::running::{Running, Wait, key_of};
use super::shared::{Job, lock};
use crate::batch::SeqId;
use crate::error::{Error, ErrorKind};
use crate::kv_cache::MemoryKind;
use crate::token::Token;

/// A shared prefix that another request still computes is waited for when it is at least this much
/// longer than what is there already.
const WORTH_WAITING: usize = 16;

/// Whether a request can run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Now,
    /// When others are done.
    Later,
    /// In a context of more cells, which can be made when nothing runs.
    Grow,
}

impl Generator {
    pub(super) fn fit(&self, job: &Job) -> Fit {
        if self.running.len() >= self.shared.params.parallel as usize {
            return Fit::Later;
        }
        let worst = job.worst_case();
        if worst > self.longest() {
            return match self.running.is_empty() {
                true => Fit::Grow,
                false => Fit::Later,
            };
        }
        if self.shared.params.deterministic || self.is_recurrent() {
            return Fit::Now;
        }
        let kv = self.context.kv_cache();
        let held = kv.cells_of(self.running.iter().map(|running| running.seq));
        let growth: usize = self
            .running
            .iter()
            .map(|running| running.growth() - running.wait.map_or(0, |wait| wait.len))
            .sum();
        let shared = match self.shares_cells && job.reuse {
            true => self
                .leader(&key_of(job), &job.prompt)
                .map_or(0, |wait| wait.len),
            false => 0,
        };
        if held + growth + worst - shared <= kv.capacity() {
            Fit::Now
        } else {
            Fit::Later
        }
    }

    fn is_recurrent(&self) -> bool {
        self.context.kv_cache().kind() == MemoryKind::Recurrent
    }

    /// The running request that shares the longest prefix with a prompt.
    fn leader(&self, key: &super::cache::CacheKey, prompt: &[Token]) -> Option<Wait> {
        let (len, leader) = self.prompts.get(key)?.longest_shared(prompt)?;
        let len = len.min(prompt.len() - 1);
        (len > 0).then_some(Wait { leader, len })
    }

    /// Takes a request in that [`fit`](Self::fit) said yes to.
    pub(super) fn start(&mut self, job: Box<Job>) {
        let key = key_of(&job);
        let Some(seq) = self.take_id(&key, &job) else {
            // Every id is a running request's, of which there are fewer than ids.
            let error = Error::new(ErrorKind::Decode, "no sequence is free");
            job.finish_unstarted(FinishReason::Failed(error));
            return;
        };
        let reuse = job.reuse;
        let mut running = Running::new(job, key, seq, &self.shared);
        let cached = if reuse { self.seed(&mut running) } else { 0 };
        if running.wait.is_none() {
            self.begin(&mut running, cached);
        }
        self.remember_prompt(&running);
        self.running.push(running);
    }

    /// Lets others find a running request by its prompt.
    fn remember_prompt(&mut self, running: &Running) {
        if running.job.reuse {
            self.prompts
                .entry(running.key.clone())
                .or_insert_with(PrefixTree::new)
                .insert(&running.job.prompt, running.id());
        }
    }

    pub(super) fn forget_prompt(&mut self, running: &Running) {
        if let Some(tree) = self.prompts.get_mut(&running.key) {
            tree.remove(&running.job.prompt, running.id());
            if tree.is_empty() {
                self.prompts.remove(&running.key);
            }
        }
    }

    /// Tells the caller what a request starts from, and counts it.
    fn begin(&self, running: &mut Running, cached: usize) {
        running.announce(cached);
        let mut stats = lock(&self.shared.stats);
        stats.now.cache_hits += u64::from(cached > 0);
        stats.now.cached_tokens += cached as u64;
    }

    /// A free sequence id; one of a cached prefix where none is, but not the one that the request
    /// would start from.
    fn take_id(&mut self, key: &super::cache::CacheKey, job: &Job) -> Option<SeqId> {
        if self.free.is_empty() {
            let donor = self
                .cache
                .longest_shared(key, &job.prompt)
                .map(|found| found.1);
            let oldest = self.cache.oldest(donor).or(donor)?;
            self.evict(oldest);
            lock(&self.shared.stats).now.evictions += 1;
        }
        self.free.pop()
    }

    /// Gives an empty sequence the longest prefix that is cached, or makes it wait for a running
    /// request that computes a longer one. Returns how many tokens the sequence holds.
    pub(super) fn seed(&mut self, running: &mut Running) -> usize {
        let have = match self.shares_cells {
            true => self.seed_by_sharing(running),
            false => self.seed_from_snapshot(running),
        };
        let Some(wait) = self.leader(&running.key, &running.tokens) else {
            return have;
        };
        let leader = self.running.iter().find(|other| other.id() == wait.leader);
        let Some(leader) = leader.filter(|leader| leader.id() != running.id()) else {
            return have;
        };
        let len = match self.shared.params.deterministic {
            true => wait.len - wait.len % self.context.micro_batch_size(),
            false => wait.len,
        };
        let (done, source) = (leader.done, leader.seq);
        if done < len && len >= have + WORTH_WAITING {
            running.wait = Some(Wait { len, ..wait });
            return have;
        }
        if self.shares_cells && len > have && done >= len {
            return self.share(source, running.seq, len).unwrap_or(have);
        }
        have
    }

    /// Ends waits whose prefix is there, or will not come.
    pub(super) fn end_waits(&mut self) {
        for index in 0..self.running.len() {
            let Some(wait) = self.running[index].wait else {
                continue;
            };
            let computing = self.running.iter().any(|leader| {
                leader.id() == wait.leader && leader.done < wait.len && leader.wait.is_none()
            });
            if computing {
                continue;
            }
            // Taken out while the others are looked at.
            let mut running = self.running.remove(index);
            running.wait = None;
            self.forget_prompt(&running);
            let cached = self.seed(&mut running);
            self.remember_prompt(&running);
            if running.wait.is_none() {
                self.begin(&mut running, cached);
            }
            self.running.insert(index, running);
        }
    }

    fn seed_by_sharing(&mut self, running: &Running) -> usize {
        let most = running.tokens.len() - 1;
        let Some((len, id)) = self.cache.longest_shared(&running.key, &running.tokens) else {
            return 0;
        };
        let len = len.min(most);
        let Some(Place::Sequence(source)) = self.cache.get(id).map(|entry| &entry.place) else {
            return 0;
        };
        let source = *source;
        self.cache.touch(id);
        self.share(source, running.seq, len).unwrap_or(0)
    }

    /// Makes `target` hold the first `len` tokens of `source`, in the same cells.
    fn share(&mut self, source: SeqId, target: SeqId, len: usize) -> Option<usize> {
        let end = i32::try_from(len).ok()?;
        let kv = self.context.kv_cache_mut();
        kv.remove_sequence(target).ok()?;
        kv.copy(source, target, 0..end).ok()?;
        (kv.len(target) == len).then_some(len)
    }

    fn seed_from_snapshot(&mut self, running: &mut Running) -> usize {
        let most = running.tokens.len() - 1;
        // Where this prompt leaves the ones before, others may leave too.
        if let Some((len, _)) = self.cache.longest_shared(&running.key, &running.tokens) {
            running.branch = Some(len.min(most));
        }
        if self.attach(&running.key, &running.job.adapters).is_err() {
            return 0;
        }
        while let Some((len, id)) = self
            .cache
            .longest_whole(&running.key, &running.tokens[..most])
        {
            let Some(Place::Snapshot(bytes)) = self.cache.get(id).map(|entry| &entry.place) else {
                return 0;
            };
            let restored = self
                .context
                .kv_cache_mut()
                .restore_sequence(running.seq, bytes);
            match restored {
                Ok(()) => {
                    self.cache.touch(id);
                    return len;
                }
                Err(error) => {
                    tracing::warn!(%error, "a snapshot could not be restored");
                    self.evict(id);
                }
            }
        }
        0
    }
}
