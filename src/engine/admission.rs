//! Lets requests in and gives them their first cells: carries out what `schedule.rs` decides.

use super::cache::{CacheKey, Place};
use super::event::FinishReason;
use super::generator::Generator;
use super::running::{Running, key_of};
use super::schedule::{self, Fit, Limits, Peer, Start, WORTH_WAITING, Wait, Wake};
use super::shared::{Job, lock};
use crate::batch::SeqId;
use crate::error::{Error, ErrorKind};
use crate::kv_cache::MemoryKind;
use crate::token::Token;

impl Generator {
    /// Whether a request can run now.
    pub(super) fn fit(&self, job: &Job) -> Fit {
        let key = key_of(job);
        let new = job.peer(&key);
        let running = self.peers();
        let limits = self.limits();
        let held = || self.held_with(None);
        let saved = || {
            let cached = self.cached(&key, &job.prompt, job.reuse);
            let (len, _) = cached.unwrap_or_default();
            let start = limits.start(&running, running.len(), &new, len, WORTH_WAITING);
            limits.saved(&running, &new, start, || self.held_of_cached(cached))
        };
        limits.fit(&running, &new, held, saved)
    }

    /// Whether a request can run without a cell that another one holds.
    pub(super) fn fits_alone(&self, running: &Running) -> bool {
        let held = || self.held_with(None);
        let fit = self
            .limits()
            .fit(&self.peers(), &running.peer(), held, || 0);
        fit == Fit::Now
    }

    fn limits(&self) -> Limits {
        let params = &self.shared.params;
        let kv = self.context.kv_cache();
        let own_room = params.deterministic || kv.kind() == MemoryKind::Recurrent;
        Limits {
            parallel: params.parallel as usize,
            longest: self.longest(),
            pool: (!own_room).then(|| kv.capacity()),
            shares_cells: self.shares_cells,
            grain: match params.deterministic {
                true => self.context.micro_batch_size(),
                false => 1,
            },
        }
    }

    fn peers(&self) -> Vec<Peer<'_>> {
        self.running.iter().map(Running::peer).collect()
    }

    /// Cells that the running requests that do not shift hold, together with those of `other`.
    fn held_with(&self, other: Option<SeqId>) -> usize {
        let staying = self.running.iter().filter(|running| !running.peer().shifts);
        let sequences = staying.map(|running| running.seq).chain(other);
        self.context.kv_cache().cells_of(sequences)
    }

    /// How many cells of a cached prefix these hold: what they share of it is its beginning.
    fn held_of_cached(&self, cached: Option<(usize, u64)>) -> usize {
        let Some((len, id)) = cached else { return 0 };
        let Some(Place::Sequence(seq)) = self.cache.get(id).map(|entry| &entry.place) else {
            return 0;
        };
        let alone = self.context.kv_cache().len(*seq);
        (self.held_with(None) + alone - self.held_with(Some(*seq))).min(len)
    }

    /// The longest prefix of a prompt that is cached: how many tokens, where.
    fn cached(&self, key: &CacheKey, prompt: &[Token], reuse: bool) -> Option<(usize, u64)> {
        let most = prompt.len() - 1;
        let found = match self.shares_cells {
            _ if !reuse => None,
            true => self.cache.longest_shared(key, prompt),
            false => self.cache.longest_whole(key, &prompt[..most]),
        };
        found.map(|(len, id)| (len.min(most), id))
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
        let mut running = Running::new(job, key, seq, &self.shared);
        running.turn = self.turn;
        self.seed(&mut running, self.running.len(), WORTH_WAITING);
        self.running.push(running);
    }

    /// Lets a request compute what comes after the `cached` tokens that its sequence holds.
    fn begin(&self, running: &mut Running, cached: usize) {
        running.wait = None;
        running.done = cached;
        if running.announced {
            return;
        }
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

    /// Gives an empty sequence what [`Limits::start`] chooses among the `running` requests, or what is
    /// on disk where that is more, or makes it wait, with nothing in it meanwhile.
    fn seed(&mut self, running: &mut Running, before: usize, patience: usize) {
        if !self.shares_cells && running.job.reuse {
            self.mark_branch(running);
        }
        let cached = self.cached(&running.key, &running.tokens, running.job.reuse);
        let (len, _) = cached.unwrap_or_default();
        let limits = self.limits();
        let start = limits.start(&self.peers(), before, &running.peer(), len, patience);
        let there = match start {
            Start::Cached => len,
            Start::Shared(_, len) | Start::Wait(Wait { len, .. }) => len,
        };
        if let Some(found) = self.on_disk(running, there) {
            let has = self.seed_from_disk(running, found);
            self.begin(running, has);
            return;
        }
        if let Start::Wait(wait) = start {
            running.wait = Some(wait);
            return;
        }
        if let Some((_, id)) = cached.filter(|_| self.shares_cells) {
            self.cache.touch(id);
        }
        let has = match start {
            Start::Shared(place, len) => self.share(self.running[place].seq, running.seq, len),
            _ if self.shares_cells => self.share_cached(running.seq, cached),
            _ => Some(self.restore(running)),
        };
        self.begin(running, has.unwrap_or(0));
    }

    /// Ends waits whose prefix is there, or will not come.
    pub(super) fn end_waits(&mut self) {
        for index in 0..self.running.len() {
            let Some(wait) = self.running[index].wait else {
                continue;
            };
            let wake = schedule::wake(&self.peers(), wait);
            if wake == Wake::NotYet {
                continue;
            }
            let source = match wake {
                Wake::There(place) => Some(self.running[place].seq),
                _ => None,
            };
            // Taken out while the others are looked at.
            let mut running = self.running.remove(index);
            match source {
                // Exactly what was promised: its worst case was counted without these cells.
                Some(source) if self.shares_cells => {
                    let has = self.share(source, running.seq, wait.len);
                    self.begin(&mut running, has.unwrap_or(0));
                }
                Some(_) => {
                    let has = self.restore(&running);
                    self.begin(&mut running, has);
                }
                // Whoever was counted with a shared prefix goes on sharing all there is.
                None => self.seed(&mut running, index, 1),
            }
            self.running.insert(index, running);
        }
    }

    /// After the cells were lost: the running requests compute again what they have in common
    /// together, as they did before, or their cells might not suffice.
    pub(super) fn wait_again(&mut self) {
        for index in 0..self.running.len() {
            let peers = self.peers();
            let start = self
                .limits()
                .start(&peers[..index], index, &peers[index], 0, 1);
            self.running[index].wait = match start {
                Start::Wait(wait) if self.shares_cells => Some(wait),
                _ => None,
            };
        }
    }

    fn share_cached(&mut self, target: SeqId, cached: Option<(usize, u64)>) -> Option<usize> {
        let (len, id) = cached?;
        match self.cache.get(id).map(|entry| &entry.place) {
            Some(Place::Sequence(source)) => self.share(*source, target, len),
            _ => None,
        }
    }

    /// Makes `target` hold the first `len` tokens of `source`, in the same cells.
    fn share(&mut self, source: SeqId, target: SeqId, len: usize) -> Option<usize> {
        let end = i32::try_from(len).ok()?;
        let kv = self.context.kv_cache_mut();
        kv.remove_sequence(target).ok()?;
        kv.copy(source, target, 0..end).ok()?;
        (kv.len(target) == len).then_some(len)
    }

    /// Where this prompt leaves the ones before, others may leave too.
    fn mark_branch(&self, running: &mut Running) {
        let most = running.tokens.len() - 1;
        if let Some((len, _)) = self.cache.longest_shared(&running.key, &running.tokens) {
            running.branch = Some(len.min(most));
        }
    }

    /// Fills an empty sequence from the longest snapshot; returns how many tokens it has.
    fn restore(&mut self, running: &Running) -> usize {
        if self.attach(&running.key, &running.job.adapters).is_err() {
            return 0;
        }
        while let Some((len, id)) = self.cached(&running.key, &running.tokens, running.job.reuse) {
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
