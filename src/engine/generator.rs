//! The context that generates, the requests that run in it, and the prefixes cached in it.

use std::sync::Arc;

use super::budget::within;
use super::cache::{CacheKey, Place, PrefixCache};
use super::disk::Disk;
use super::draft::Draft;
use super::event::FinishReason;
use super::governor::Governor;
use super::pace::Pace;
use super::persist;
use super::running::Running;
use super::shared::{Shared, lock};
use crate::batch::{Batch, SeqId};
use crate::context::{Context, ContextParams};
use crate::error::{Error, ErrorKind, Result};
use crate::kv_cache::MemoryKind;
use crate::lora::LoraAdapter;
use crate::token::Token;

/// Prefixes shorter than this are not worth a place in the cache.
pub(super) const WORTH_CACHING: usize = 8;

pub(super) struct Generator {
    pub(super) shared: Arc<Shared>,
    pub(super) context: Context,
    /// In the order in which they left the queue.
    pub(super) running: Vec<Running>,
    pub(super) cache: PrefixCache,
    /// Where prefixes outlive the engine.
    pub(super) disk: Option<Disk>,
    pub(super) free: Vec<SeqId>,
    pub(super) batch: Batch,
    pub(super) pace: Pace,
    pub(super) governor: Governor,
    /// Whether sequences share cells; else snapshots on the host carry prefixes.
    pub(super) shares_cells: bool,
    /// Counts steps, to tell whose turn it is where not all can compute together.
    pub(super) turn: u64,
    /// The adapters that are attached, as in [`CacheKey`].
    pub(super) attached: String,
    /// Guesses what requests that ask for it will say.
    pub(super) draft: Option<Draft>,
    /// Bytes of the engine's other contexts.
    pub(super) others: u64,
}

impl Generator {
    pub(super) fn new(shared: Arc<Shared>) -> Result<Self> {
        let draft = shared.params.draft.as_ref();
        let draft = draft.map(|model| Draft::new(model, &shared)).transpose()?;
        let others = draft.as_ref().map_or(0, |draft| draft.memory().total());
        let context = new_context(&shared, shared.resolved.pool, others)?;
        let shares_cells =
            context.kv_cache().kind() == MemoryKind::Plain && !shared.params.deterministic;
        let pace = Pace::new(shared.params.latency_target);
        let threads = context.threads().0;
        // Equal answers need equal sums, and these may depend on how many threads share them.
        let governor = match shared.params.threads.is_some() || shared.params.deterministic {
            true => Governor::fixed(threads),
            false => Governor::new(threads),
        };
        let disk = persist::open(&shared, &context);
        let mut generator = Self {
            shared,
            context,
            running: Vec::new(),
            cache: PrefixCache::default(),
            disk,
            free: Vec::new(),
            batch: Batch::new(),
            pace,
            governor,
            shares_cells,
            turn: 0,
            attached: String::new(),
            draft,
            others,
        };
        generator.free_all();
        generator.context.warm_up()?;
        Ok(generator)
    }

    fn free_all(&mut self) {
        let ids = 0..u32::try_from(self.context.kv_cache().n_sequences()).unwrap_or(u32::MAX);
        self.free = ids.rev().map(SeqId).collect();
    }

    /// Tokens that one request can have at most in this context.
    pub(super) fn longest(&self) -> usize {
        self.context.context_length()
    }

    /// Ends a running request; what it computed stays for others where that is allowed.
    pub(super) fn finish(&mut self, index: usize, reason: FinishReason) {
        let mut running = self.running.remove(index);
        self.keep_or_free(&running);
        if let Some(draft) = &mut self.draft {
            draft.forget(running.seq);
        }
        let (failed, cancelled) = match reason {
            FinishReason::Failed(_) => (1, 0),
            FinishReason::Cancelled | FinishReason::Deadline | FinishReason::Shutdown => (0, 1),
            _ => (0, 0),
        };
        let mut stats = lock(&self.shared.stats);
        stats.run.add(running.age());
        stats.now.requests += 1;
        stats.now.failed += failed;
        stats.now.cancelled += cancelled;
        stats.now.drafted_tokens += running.drafted as u64;
        stats.now.accepted_tokens += running.accepted as u64;
        drop(stats);
        // Last, so that the metrics of those who have seen the end count it.
        running.finish(reason);
    }

    fn keep_or_free(&mut self, running: &Running) {
        let tokens = &running.tokens[..running.done];
        let worth = running.job.reuse && !running.shifted && tokens.len() >= WORTH_CACHING;
        if worth && !self.shared.params.deterministic {
            if self.shares_cells {
                // Entries that are a part of this one add nothing to it.
                while let Some((_, part)) = self.cache.longest_whole(&running.key, tokens) {
                    self.evict(part);
                }
                let known = self.cache.longest_shared(&running.key, tokens);
                if known.is_none_or(|(len, _)| len < tokens.len()) {
                    let place = Place::Sequence(running.seq);
                    self.cache
                        .insert(running.key.clone(), tokens.to_vec(), place);
                    return;
                }
            } else {
                // A saved state belongs to the adapters that are attached.
                if self.attach(&running.key, &running.job.adapters).is_ok() {
                    self.snapshot(&running.key, running.seq, running.done, &running.tokens);
                }
            }
        }
        self.release(running.seq);
    }

    /// Empties a sequence and makes its id free.
    pub(super) fn release(&mut self, seq: SeqId) {
        // A context that cannot do this is poisoned; the next step finds out and makes a new one.
        let _ = self.context.kv_cache_mut().remove_sequence(seq);
        self.free.push(seq);
    }

    /// Removes an entry from the cache, with its sequence.
    pub(super) fn evict(&mut self, id: u64) {
        if let Some(entry) = self.cache.remove(id)
            && let Place::Sequence(seq) = entry.place
        {
            self.release(seq);
        }
    }

    /// Attaches a request's adapters.
    pub(super) fn attach(&mut self, key: &CacheKey, adapters: &[(LoraAdapter, f32)]) -> Result<()> {
        if key.adapters != self.attached {
            self.context.set_lora_adapters(adapters)?;
            self.attached.clone_from(&key.adapters);
        }
        Ok(())
    }

    /// Keeps the state of a sequence of `len` tokens on the host.
    pub(super) fn snapshot(&mut self, key: &CacheKey, seq: SeqId, len: usize, tokens: &[Token]) {
        let tokens = &tokens[..len];
        let known = self.cache.longest_whole(key, tokens);
        if self.snapshots_limit() == 0 || known.is_some_and(|(known, _)| known == len) {
            return;
        }
        if let Ok(bytes) = self.context.kv_cache_mut().save_sequence(seq) {
            self.keep_snapshot(key, tokens.to_vec(), bytes);
        }
    }

    /// Bytes of the budget that contexts leave.
    pub(super) fn memory_left(&self) -> u64 {
        let taken = lock(&self.shared.stats).now.memory.total();
        self.shared.budget.saturating_sub(taken)
    }

    /// Most bytes for snapshots.
    fn snapshots_limit(&self) -> u64 {
        self.shared.params.snapshot_memory.min(self.memory_left())
    }

    /// Puts the state of a sequence into the cache; others make room for it.
    pub(super) fn keep_snapshot(&mut self, key: &CacheKey, tokens: Vec<Token>, bytes: Vec<u8>) {
        let size = bytes.len() as u64;
        let most = self.snapshots_limit();
        if size > most {
            return;
        }
        while self.cache.snapshot_bytes() + size > most {
            let Some(oldest) = self.cache.oldest(None) else {
                break;
            };
            self.evict(oldest);
            lock(&self.shared.stats).now.evictions += 1;
        }
        self.cache
            .insert(key.clone(), tokens, Place::Snapshot(bytes));
    }

    /// Makes sure that `rows` further cells are free, as far as cached prefixes can leave.
    pub(super) fn make_room(&mut self, rows: usize) {
        while self.shares_cells
            && self.context.kv_cache().capacity() - self.context.kv_cache().used() < rows
        {
            let Some(oldest) = self.cache.oldest(None) else {
                return;
            };
            self.evict(oldest);
            lock(&self.shared.stats).now.evictions += 1;
        }
    }

    /// Makes a context in which a request of `cells` fits beside what is cached. Nothing may run.
    pub(super) fn grow(&mut self, cells: usize) -> Result<()> {
        let pool = match self.shared.params.deterministic {
            true => cells.next_multiple_of(256).saturating_mul(self.parallel()),
            false => cells.saturating_add(self.context.kv_cache().used()),
        };
        self.rebuild(u32::try_from(pool).unwrap_or(u32::MAX))
    }

    /// Replaces the context by a new one of `pool` cells on the same weights. What was cached moves
    /// along as far as it can; running requests compute their tokens again.
    pub(super) fn rebuild(&mut self, pool: u32) -> Result<()> {
        let before = u32::try_from(self.context.kv_cache().capacity()).unwrap_or(u32::MAX);
        let mut saved = Vec::new();
        let mut dropped = 0;
        for entry in self.cache.drain() {
            let bytes = match entry.place {
                Place::Snapshot(bytes) => Ok(bytes),
                Place::Sequence(seq) => self.context.kv_cache_mut().save_sequence(seq),
            };
            match bytes {
                Ok(bytes) => saved.push((entry.key, entry.tokens, bytes)),
                Err(_) => dropped += 1,
            }
        }
        self.release_memory()?;
        let replaced = match new_context(&self.shared, pool, self.others) {
            Ok(context) => {
                self.context = context;
                Ok(())
            }
            Err(error) => {
                self.context = new_context(&self.shared, before, self.others)?;
                Err(error)
            }
        };
        self.attached.clear();
        let threads = self.governor.threads();
        self.context.set_threads(threads, threads)?;
        self.free_all();
        for running in &mut self.running {
            running.done = 0;
            // Its id is taken by order, as those of a new context are.
            running.seq = self.free.pop().unwrap_or(SeqId(0));
        }
        self.wait_again();
        for (key, tokens, bytes) in saved {
            if !self.shares_cells {
                self.cache.insert(key, tokens, Place::Snapshot(bytes));
                continue;
            }
            let spare = self.free.len() + self.running.len() > self.parallel();
            let seq = if spare { self.free.pop() } else { None };
            match seq {
                Some(seq) => {
                    let kv = self.context.kv_cache_mut();
                    if key.adapters.is_empty() && kv.restore_sequence(seq, &bytes).is_ok() {
                        self.cache.insert(key, tokens, Place::Sequence(seq));
                    } else {
                        dropped += 1;
                        self.release(seq);
                    }
                }
                None => dropped += 1,
            }
        }
        let mut stats = lock(&self.shared.stats);
        stats.now.rebuilds += 1;
        stats.now.dropped_prefixes += dropped;
        tracing::info!(pool, dropped, "the engine made a new context");
        drop(stats);
        replaced
    }

    /// Frees the old context's memory before the new one takes its own.
    fn release_memory(&mut self) -> Result<()> {
        let smallest = ContextParams::new().context_length(256).batch_size(32);
        self.context = Context::new(&self.shared.model, &smallest)?;
        Ok(())
    }

    fn parallel(&self) -> usize {
        self.shared.params.parallel as usize
    }

    /// After a failure: the requests that had rows in the step end with an error, the others go on
    /// in a new context.
    pub(super) fn recover(&mut self, affected: &[u64], error: Error) -> Result<()> {
        tracing::error!(%error, "a step failed");
        let stalled = std::mem::take(&mut lock(&self.shared.step).stalled);
        let mut first = Some(error);
        while let Some(index) = self
            .running
            .iter()
            .position(|running| affected.contains(&running.id()))
        {
            // Nothing of a failed sequence may be reused.
            self.running[index].shifted = true;
            let error = first.take().unwrap_or_else(|| {
                Error::new(
                    ErrorKind::Decode,
                    "computing failed in a step that it shared",
                )
            });
            self.finish(index, FinishReason::Failed(error));
        }
        let pool = u32::try_from(self.context.kv_cache().capacity()).unwrap_or(u32::MAX);
        tracing::warn!(stalled, "making a new context after a failure");
        self.rebuild(pool)
    }
}

pub(super) fn new_context(shared: &Shared, pool: u32, others: u64) -> Result<Context> {
    let params = &shared.params;
    let parallel = params.parallel;
    let plain = !params.deterministic;
    let kinds = &shared.model;
    let snapshots = kinds.is_recurrent() || kinds.is_hybrid() || kinds.sliding_window() > 0;
    let cached = if plain && !snapshots && params.reuse {
        params.cached_sequences
    } else {
        0
    };
    let sequences = parallel.saturating_add(cached).min(256);
    let mut context = ContextParams::new()
        .context_length(pool)
        .sequences(sequences)
        .unified(plain)
        .batch_size(2048.max(params.micro_batch_size))
        .micro_batch_size(params.micro_batch_size)
        .outputs_max(sequences.max(32))
        .kv_types(params.keys, params.values)
        .flash_attention(params.flash_attention);
    if let Some(threads) = params.threads {
        context = context.threads(threads);
    }
    let context = Context::new(&shared.model, &context)?;
    within(context, others, shared.budget)
}
