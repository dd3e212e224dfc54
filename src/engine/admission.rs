//! Lets requests in: whether one fits beside those that run, and from which cached prefix it starts.

use std::cmp::Reverse;

use super::cache::{CacheKey, Place};
use super::event::FinishReason;
use super::generator::Generator;
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
                .leader(&self.running, &key_of(job), &job.prompt)
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

    /// Of these requests the one whose prompt shares the longest prefix with another one. Where a
    /// finished prefix cannot be shared any more, only of those that still compute it.
    fn leader(&self, among: &[Running], key: &CacheKey, prompt: &[Token]) -> Option<Wait> {
        let shared = among.iter().filter_map(|other| {
            let usable = other.job.reuse && !other.shifted && other.key == *key;
            let len = common_prefix(&other.job.prompt, &prompt[..prompt.len() - 1]);
            let len = self.sharable(len);
            let there = other.done >= len;
            let wait = Wait {
                leader: other.id(),
                len,
            };
            (usable && len > 0 && (self.shares_cells || !there)).then_some((wait, there))
        });
        let best = shared.max_by_key(|(wait, there)| (wait.len, *there, Reverse(wait.leader)));
        best.map(|(wait, _)| wait)
    }

    /// How much of a common prefix another request can start from.
    fn sharable(&self, len: usize) -> usize {
        match self.shared.params.deterministic {
            true => len - len % self.context.micro_batch_size(),
            false => len,
        }
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
        let cached = if reuse {
            self.seed(&mut running, self.running.len())
        } else {
            0
        };
        if running.wait.is_none() {
            self.begin(&mut running, cached);
        }
        self.running.push(running);
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
    fn take_id(&mut self, key: &CacheKey, job: &Job) -> Option<SeqId> {
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

    /// Gives an empty sequence the longest prefix that is cached or on disk, or makes it wait for one
    /// of the first `before` running requests that computes a longer one: never for a later one, so
    /// that no two wait for each other. Returns how many tokens the sequence holds.
    fn seed(&mut self, running: &mut Running, before: usize) -> usize {
        let have = match self.shares_cells {
            true => self.seed_by_sharing(running),
            false => self.seed_from_snapshot(running),
        };
        let on_disk = self.on_disk(running, have);
        let there = on_disk.map_or(have, |found| found.len);
        let earlier = &self.running[..before];
        if let Some(wait) = self.leader(earlier, &running.key, &running.tokens)
            && let Some(leader) = earlier.iter().find(|other| other.id() == wait.leader)
        {
            let (done, source) = (leader.done, leader.seq);
            if done < wait.len && wait.len >= there + WORTH_WAITING {
                running.wait = Some(wait);
                return have;
            }
            if self.shares_cells && wait.len > have && wait.len >= there && done >= wait.len {
                return self.share(source, running.seq, wait.len).unwrap_or(have);
            }
        }
        match on_disk {
            Some(found) => self.seed_from_disk(running, found),
            None => have,
        }
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
            let cached = self.seed(&mut running, index);
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

fn common_prefix(a: &[Token], b: &[Token]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
