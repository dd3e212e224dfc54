//! What a context remembers: which tokens of which sequences, and what can be done with them.

mod checkpoint;
mod ledger;
mod saved;

use std::ops::{Bound, Range, RangeBounds};

use crate::batch::SeqId;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;
use crate::sys;
use crate::token::Token;
pub use checkpoint::Checkpoint;
use ledger::Ledger;

/// The kind of memory a context has, which decides what can be reused and removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemoryKind {
    /// None: an encoder that remembers nothing between calls.
    None,
    /// A plain KV cache: any part can be removed, any prefix reused.
    Plain,
    /// Sliding-window layers that keep only their window: a sequence can be cut back only as far
    /// as the window before the cut is still there.
    SlidingWindow,
    /// A recurrent state: it stands for the whole sequence and cannot be cut back.
    Recurrent,
    /// Both attention and recurrent layers; cut back as little as a recurrent one.
    Hybrid,
    /// A kind with rules of its own (compressed or indexed caches): whole sequences only.
    Other,
}

/// What one context remembers of its sequences.
///
/// Part of a [`Context`](crate::Context): [`kv_cache`](crate::Context::kv_cache) and
/// [`kv_cache_mut`](crate::Context::kv_cache_mut) give it. It records the tokens of each sequence,
/// so that what is reused can be compared token by token. Positions count from 0.
pub struct KvCache {
    // Everything of the context lives here, so that swapping two caches swaps two whole contexts.
    pub(crate) raw: sys::RawContext,
    pub(crate) model: Model,
    pub(crate) poisoned: bool,
    ledger: Ledger,
    kind: MemoryKind,
    unified: bool,
    /// Sliding window in tokens when the cache keeps only that.
    window: i32,
    can_shift: bool,
    /// A shift is applied by upstream in the next decode; until then the cells are stale.
    shift_pending: bool,
    /// So is a copy between streams, even when the cache was cleared meanwhile.
    copy_pending: bool,
    layout: String,
    /// Tells this context's checkpoints from others'.
    id: u64,
}

impl KvCache {
    pub(crate) fn new(
        raw: sys::RawContext,
        model: Model,
        unified: bool,
        full_window: bool,
        layout: String,
    ) -> Self {
        static IDS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let info = raw.info();
        let sequences = info.n_seq_max as usize;
        let kind = kind_of(&model, info.has_memory, full_window);
        // Upstream cannot move the two-dimensional positions of these.
        let multi_position = matches!(
            model.info().rope_type,
            sys::LLAMA_ROPE_TYPE_MROPE | sys::LLAMA_ROPE_TYPE_IMROPE | sys::LLAMA_ROPE_TYPE_VISION
        );
        let can_shift = info.can_shift && kind == MemoryKind::Plain && !multi_position;
        let window = i32::try_from(model.sliding_window()).unwrap_or(i32::MAX);
        Self {
            raw,
            model,
            poisoned: false,
            ledger: Ledger::new(sequences),
            kind,
            unified,
            window,
            can_shift,
            shift_pending: false,
            copy_pending: false,
            layout,
            id: IDS.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
        }
    }

    /// The kind of memory.
    #[must_use]
    pub fn kind(&self) -> MemoryKind {
        self.kind
    }

    /// Whether positions can be shifted (`llama_memory_can_shift`, and more that upstream would
    /// abort on).
    #[must_use]
    pub fn can_shift(&self) -> bool {
        self.can_shift
    }

    /// Whether a part in the middle of a sequence can be removed.
    #[must_use]
    pub fn can_remove_middle(&self) -> bool {
        self.kind == MemoryKind::Plain
    }

    /// Whether sequences live in one pool of cells, so that they can share prefixes.
    #[must_use]
    pub fn is_unified(&self) -> bool {
        self.unified
    }

    /// Number of sequences, `n_seq_max`.
    #[must_use]
    pub fn n_sequences(&self) -> usize {
        self.ledger.len()
    }

    /// Cells in total: tokens that fit, shared ones counted once (`llama_n_ctx`).
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.raw.info().n_ctx as usize
    }

    /// Cells in use, shared ones counted once.
    #[must_use]
    pub fn used(&self) -> usize {
        self.ledger.cells()
    }

    /// Cells that any of these sequences holds, shared ones counted once.
    #[cfg(feature = "engine")]
    pub(crate) fn cells_of(&self, seqs: impl IntoIterator<Item = SeqId>) -> usize {
        let existing = seqs.into_iter().filter_map(|seq| self.exists(seq));
        self.ledger.cells_of(existing)
    }

    /// Number of tokens in a sequence; 0 for a sequence that does not exist.
    #[must_use]
    pub fn len(&self, seq: SeqId) -> usize {
        self.exists(seq)
            .map_or(0, |seq| self.ledger.entries(seq).len())
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        (0..self.ledger.len()).all(|seq| self.ledger.entries(seq).is_empty())
    }

    /// The tokens of a sequence in order of position; empty for a sequence that does not exist.
    pub fn tokens(&self, seq: SeqId) -> impl ExactSizeIterator<Item = Token> {
        let entries = self
            .exists(seq)
            .map_or(&[][..], |seq| self.ledger.entries(seq));
        entries.iter().map(|entry| entry.token)
    }

    /// The positions of a sequence in order; empty for a sequence that does not exist.
    pub fn positions(&self, seq: SeqId) -> impl ExactSizeIterator<Item = i32> {
        let entries = self
            .exists(seq)
            .map_or(&[][..], |seq| self.ledger.entries(seq));
        entries.iter().map(|entry| entry.position)
    }

    /// The position that the next token of a sequence must have.
    #[must_use]
    pub fn next_position(&self, seq: SeqId) -> i32 {
        self.exists(seq)
            .map_or(0, |seq| self.ledger.next_position(seq))
    }

    /// How many leading tokens of `tokens` a sequence already holds at positions from 0.
    #[must_use]
    pub fn common_prefix(&self, seq: SeqId, tokens: &[Token]) -> usize {
        self.exists(seq)
            .map_or(0, |seq| self.ledger.common_prefix(seq, tokens))
    }

    /// Whether [`truncate`](Self::truncate) to `len` would work.
    #[must_use]
    pub fn can_truncate(&self, seq: SeqId, len: usize) -> bool {
        self.check_truncate(seq, len).is_ok()
    }

    /// Cuts a sequence back to its first `len` positions (`llama_memory_seq_rm`).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a sequence that does not exist;
    /// [`ErrorKind::Unsupported`] when the [`kind`](Self::kind) cannot: nothing is changed then.
    pub fn truncate(&mut self, seq: SeqId, len: usize) -> Result<()> {
        self.check_truncate(seq, len)?;
        let from = i32::try_from(len).unwrap_or(i32::MAX);
        if from >= self.next_position(seq) {
            return Ok(());
        }
        self.remove_checked(seq, &(from..i32::MAX))
    }

    /// Removes a range of positions from a sequence (`llama_memory_seq_rm`). What comes after keeps
    /// its positions; [`shift`](Self::shift) closes the gap.
    ///
    /// # Errors
    ///
    /// As [`truncate`](Self::truncate).
    pub fn remove(&mut self, seq: SeqId, positions: impl RangeBounds<i32>) -> Result<()> {
        let positions = range(&positions);
        let index = self.check_sequence(seq)?;
        let entries = self.ledger.entries(index);
        let Some(last) = entries.last() else {
            return Ok(());
        };
        let first = entries[0].position;
        if positions.contains(&first) && positions.contains(&last.position) {
            return self.remove_checked(seq, &(0..i32::MAX));
        }
        if positions.contains(&last.position) {
            return self.truncate(seq, usize::try_from(positions.start).unwrap_or(0));
        }
        if !self.can_remove_middle() {
            return Err(self.unsupported("remove a part that is not the end of a sequence"));
        }
        self.remove_checked(seq, &positions)
    }

    /// Empties a sequence. Works for every kind.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a sequence that does not exist.
    pub fn remove_sequence(&mut self, seq: SeqId) -> Result<()> {
        self.check_sequence(seq)?;
        self.remove_checked(seq, &(0..i32::MAX))
    }

    /// Empties all sequences but one (`llama_memory_seq_keep`).
    ///
    /// # Errors
    ///
    /// As [`remove_sequence`](Self::remove_sequence).
    pub fn keep(&mut self, seq: SeqId) -> Result<()> {
        let kept = self.check_sequence(seq)?;
        for other in 0..self.ledger.len() {
            if other != kept && !self.ledger.entries(other).is_empty() {
                self.remove_checked(sequence(other), &(0..i32::MAX))?;
            }
        }
        Ok(())
    }

    /// Copies a range of one sequence into another, empty one (`llama_memory_seq_cp`).
    ///
    /// In a unified cache nothing is computed or moved: both sequences share the cells.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] when a sequence does not exist, `to` is not empty or is
    /// `from`; [`ErrorKind::Unsupported`] when a part was asked for and only whole sequences can
    /// be copied (separate streams; kinds other than plain).
    pub fn copy(&mut self, from: SeqId, to: SeqId, positions: impl RangeBounds<i32>) -> Result<()> {
        let positions = range(&positions);
        let (source, target) = (self.check_sequence(from)?, self.check_sequence(to)?);
        if source == target {
            return Err(Error::argument(format!(
                "cannot copy sequence {from} into itself"
            )));
        }
        if !self.ledger.entries(target).is_empty() {
            return Err(Error::argument(format!("sequence {to} is not empty")));
        }
        let whole = self
            .ledger
            .entries(source)
            .iter()
            .all(|entry| positions.contains(&entry.position));
        let partial_works = self.unified && self.kind == MemoryKind::Plain;
        if !whole && !partial_works {
            return Err(self.unsupported("copy a part of a sequence"));
        }
        self.check_usable()?;
        let (p0, p1) = if whole {
            (-1, -1)
        } else {
            (positions.start, positions.end)
        };
        let done = self.raw.memory_seq_cp(from.raw(), to.raw(), p0, p1);
        self.poison_on_fault(done)?;
        self.copy_pending |= !self.unified && self.kind != MemoryKind::Recurrent;
        let shared = self.unified && self.kind != MemoryKind::Recurrent;
        self.ledger.copy(source, target, &positions, shared);
        Ok(())
    }

    /// Moves the positions of a range by `delta` (`llama_memory_seq_add`). Upstream rotates the
    /// keys in the next decode.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] when [`can_shift`](Self::can_shift) is false;
    /// [`ErrorKind::InvalidArgument`] when positions would meet or fall below 0, or another
    /// sequence shares the cells and would move along.
    pub fn shift(
        &mut self,
        seq: SeqId,
        positions: impl RangeBounds<i32>,
        delta: i32,
    ) -> Result<()> {
        let positions = range(&positions);
        let index = self.check_sequence(seq)?;
        if !self.can_shift {
            return Err(self.unsupported("shift positions"));
        }
        if !self.ledger.can_shift(index, &positions, delta) {
            return Err(Error::argument(format!(
                "shifting sequence {seq} by {delta} would make positions meet or negative"
            )));
        }
        if self.ledger.is_shared(index, &positions) {
            return Err(Error::argument(format!(
                "sequence {seq} shares this part with another sequence, which would move along"
            )));
        }
        self.check_usable()?;
        let done = self
            .raw
            .memory_seq_add(seq.raw(), positions.start, positions.end, delta);
        self.poison_on_fault(done)?;
        self.ledger.shift(index, &positions, delta);
        self.shift_pending = true;
        Ok(())
    }

    /// Forgets everything (`llama_memory_clear`).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Poisoned`] when the context can no longer be used.
    pub fn clear(&mut self) -> Result<()> {
        self.check_usable()?;
        if self.kind != MemoryKind::None {
            let done = self.raw.memory_clear(false);
            self.poison_on_fault(done)?;
        }
        self.ledger.clear();
        self.shift_pending = false;
        Ok(())
    }

    /// Makes a sequence hold a prefix of `tokens`, as long a one as it already has and can be cut
    /// back to, and returns its length. At least one token is left to evaluate, for its logits.
    ///
    /// # Errors
    ///
    /// As [`truncate`](Self::truncate).
    pub fn reuse_prefix(&mut self, seq: SeqId, tokens: &[Token]) -> Result<usize> {
        self.check_sequence(seq)?;
        let common = self
            .common_prefix(seq, tokens)
            .min(tokens.len().saturating_sub(1));
        if self.can_truncate(seq, common) {
            self.truncate(seq, common)?;
            return Ok(common);
        }
        self.remove_sequence(seq)?;
        Ok(0)
    }

    // For the context.

    /// Records a batch that upstream has stored.
    pub(crate) fn record(&mut self, seqs: &[i32], position: i32, token: Token) {
        self.shift_pending = false;
        self.copy_pending = false;
        if self.kind != MemoryKind::None {
            self.ledger
                .append(seqs.iter().map(|&seq| seq as usize), position, token);
        }
    }

    /// Brings record and memory back together after a decode that stopped half way: keeps what
    /// upstream finished of sequences that can be cut back, empties the others.
    ///
    /// `entries` are the tokens of the failed batch. Returns how many of them were kept.
    pub(crate) fn reconcile<'a>(
        &mut self,
        entries: impl Iterator<Item = crate::batch::Entry<'a>> + Clone,
    ) -> Result<usize> {
        if self.kind == MemoryKind::None {
            return Ok(0);
        }
        let mut affected = std::collections::BTreeSet::new();
        let mut coupled = false;
        for entry in entries.clone() {
            affected.extend(entry.seqs.iter().map(|&seq| seq as usize));
            coupled |= entry.seqs.len() > 1;
        }
        let keep = !coupled && matches!(self.kind, MemoryKind::Plain | MemoryKind::SlidingWindow);
        let mut kept = 0;
        for seq in affected {
            let stored = self.raw.memory_seq_pos(seq as i32);
            let (_, last) = self.poison_on_fault(stored)?;
            let end = last.saturating_add(1);
            let known = self.ledger.next_position(seq);
            if !keep || end < known {
                let done = self.raw.memory_seq_rm(seq as i32, -1, -1);
                self.poison_on_fault(done)?;
                self.ledger.remove(seq, &(0..i32::MAX));
                continue;
            }
            let done = self.raw.memory_seq_rm(seq as i32, end, -1);
            self.poison_on_fault(done)?;
            for entry in entries.clone() {
                if entry.seqs == [seq as i32] && entry.position < end {
                    self.ledger.append([seq], entry.position, entry.token);
                    kept += 1;
                }
            }
        }
        Ok(kept)
    }

    pub(crate) fn check_usable(&self) -> Result<()> {
        if self.poisoned {
            return Err(Error::new(
                ErrorKind::Poisoned,
                "an earlier failure left this context in an unknown state",
            ));
        }
        Ok(())
    }

    /// Turns a fault inside upstream into an error and marks the context unusable.
    pub(crate) fn poison_on_fault<T>(&mut self, result: Result<T, sys::Fault>) -> Result<T> {
        result.map_err(|fault| {
            self.poisoned = true;
            fault.into()
        })
    }

    pub(crate) fn set_layout(&mut self, layout: String) {
        self.layout = layout;
    }

    pub(crate) fn check_sequence(&self, seq: SeqId) -> Result<usize> {
        if self.kind == MemoryKind::None {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "this model remembers nothing between calls",
            ));
        }
        self.exists(seq).ok_or_else(|| {
            Error::argument(format!(
                "sequence {seq} does not exist; this context has {}",
                self.ledger.len()
            ))
        })
    }

    fn exists(&self, seq: SeqId) -> Option<usize> {
        (seq.index() < self.ledger.len()).then_some(seq.index())
    }

    fn check_truncate(&self, seq: SeqId, len: usize) -> Result<()> {
        let index = self.check_sequence(seq)?;
        let cut = i32::try_from(len).unwrap_or(i32::MAX);
        if cut == 0 || cut >= self.ledger.next_position(index) {
            return Ok(());
        }
        match self.kind {
            MemoryKind::Plain | MemoryKind::None => Ok(()),
            MemoryKind::SlidingWindow => {
                let (first, _) = self.raw.memory_seq_pos(seq.raw())?;
                if (0..=cut.saturating_sub(self.window).max(0)).contains(&first) {
                    return Ok(());
                }
                Err(Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "sequence {seq} cannot be cut back to {len}: the sliding window of {} \
                         tokens before it is gone",
                        self.window
                    ),
                ))
            }
            MemoryKind::Recurrent | MemoryKind::Hybrid | MemoryKind::Other => {
                Err(self.unsupported("cut a sequence back"))
            }
        }
    }

    /// Removes a range that the kind of memory can remove.
    fn remove_checked(&mut self, seq: SeqId, positions: &Range<i32>) -> Result<()> {
        self.check_usable()?;
        let whole = self
            .ledger
            .entries(seq.index())
            .iter()
            .all(|entry| positions.contains(&entry.position));
        let (p0, p1) = match (whole, positions.end) {
            (true, _) => (-1, -1),
            (false, i32::MAX) => (positions.start, -1),
            (false, end) => (positions.start, end),
        };
        let done = self.raw.memory_seq_rm(seq.raw(), p0, p1);
        if !self.poison_on_fault(done)? {
            return Err(self.unsupported("remove this part of a sequence"));
        }
        self.ledger.remove(seq.index(), positions);
        Ok(())
    }

    fn unsupported(&self, what: &str) -> Error {
        Error::new(
            ErrorKind::Unsupported,
            format!("this model's memory ({:?}) cannot {what}", self.kind),
        )
    }
}

impl std::fmt::Debug for KvCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KvCache")
            .field("kind", &self.kind)
            .field("capacity", &self.capacity())
            .field("used", &self.used())
            .finish_non_exhaustive()
    }
}

/// Upstream chooses the memory in `llama_model::create_memory`; this follows what it tells of it.
fn kind_of(model: &Model, has_memory: bool, full_window: bool) -> MemoryKind {
    /// Architectures whose caches have rules of their own.
    const OWN_RULES: &[&str] = &[
        "deepseek4",
        "deepseek32",
        "dflash",
        "glm5-next",
        "glm-dsa",
        "minimax-m3",
        "qwen4exp",
    ];
    if !has_memory {
        MemoryKind::None
    } else if OWN_RULES.contains(&model.architecture()) {
        MemoryKind::Other
    } else if model.is_hybrid() {
        MemoryKind::Hybrid
    } else if model.is_recurrent() {
        MemoryKind::Recurrent
    } else if model.sliding_window() > 0 && !full_window {
        MemoryKind::SlidingWindow
    } else {
        MemoryKind::Plain
    }
}

/// Any kind of range as a half-open one of non-negative positions.
fn range(bounds: &impl RangeBounds<i32>) -> Range<i32> {
    let start = match bounds.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match bounds.end_bound() {
        Bound::Included(&end) => end.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => i32::MAX,
    };
    start.max(0)..end.max(0)
}

fn sequence(index: usize) -> SeqId {
    SeqId(u32::try_from(index).unwrap_or(u32::MAX))
}
