//! Snapshots of the part of a memory that cannot be cut back: a sliding window, a recurrent state.

use super::{KvCache, MemoryKind};
use crate::batch::SeqId;
use crate::error::{Error, ErrorKind, Result};
use crate::sys;
use crate::token::Token;

/// A point that a sequence can be brought back to.
///
/// Belongs to the context that made it. Costs nothing for plain KV caches; for the others it holds
/// the window or the recurrent state in host memory.
#[derive(Clone)]
pub struct Checkpoint {
    context: u64,
    tokens: Vec<Token>,
    data: Vec<u8>,
}

impl Checkpoint {
    /// Number of tokens the sequence had.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether the sequence was empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The tokens the sequence had.
    #[must_use]
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Bytes of host memory it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        self.data.len() + size_of_val(self.tokens.as_slice())
    }
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoint")
            .field("len", &self.len())
            .field("size", &self.size())
            .finish()
    }
}

impl KvCache {
    /// Remembers the present end of a sequence (`llama_state_seq_get_data_ext` with
    /// `LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY`).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a sequence that does not exist or has gaps;
    /// [`ErrorKind::State`] while a shift or a copy between streams is pending.
    pub fn checkpoint(&mut self, seq: SeqId) -> Result<Checkpoint> {
        let index = self.check_sequence(seq)?;
        self.check_settled()?;
        if self
            .positions(seq)
            .zip(0..)
            .any(|(position, place)| position != place)
        {
            return Err(Error::argument(format!("sequence {seq} has gaps")));
        }
        let tokens: Vec<Token> = self
            .ledger
            .entries(index)
            .iter()
            .map(|entry| entry.token)
            .collect();
        let data = if self.kind == MemoryKind::Plain || tokens.is_empty() {
            Vec::new()
        } else {
            let got = self.raw.state_get(seq.raw(), self.checkpoint_flags());
            self.poison_on_fault(got)?
        };
        Ok(Checkpoint {
            context: self.id,
            tokens,
            data,
        })
    }

    /// Brings a sequence back to a checkpoint.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] when the checkpoint is another context's or the sequence no
    /// longer starts with its tokens (a recurrent sequence need not); [`ErrorKind::State`] when
    /// upstream refuses: the sequence is empty then.
    pub fn restore_checkpoint(&mut self, seq: SeqId, checkpoint: &Checkpoint) -> Result<()> {
        let index = self.check_sequence(seq)?;
        self.check_settled()?;
        if checkpoint.context != self.id {
            return Err(Error::argument("the checkpoint belongs to another context"));
        }
        let len = checkpoint.len();
        let standalone = matches!(self.kind, MemoryKind::Recurrent | MemoryKind::Other);
        if !standalone && self.common_prefix(seq, &checkpoint.tokens) < len {
            return Err(Error::argument(format!(
                "sequence {seq} does not start with the {len} tokens of the checkpoint"
            )));
        }
        if len == 0 {
            return self.remove_sequence(seq);
        }
        if self.kind == MemoryKind::Plain {
            return self.truncate(seq, len);
        }
        let flags = self.checkpoint_flags();
        let (restored, log) = self.raw.state_set(seq.raw(), &checkpoint.data, flags);
        if !self.poison_on_fault(restored)? {
            self.remove_sequence(seq)?;
            return Err(
                Error::new(ErrorKind::State, "upstream refused the checkpoint").with_log(log),
            );
        }
        let end = i32::try_from(len).unwrap_or(i32::MAX);
        let cut = self.raw.memory_seq_rm(seq.raw(), end, -1);
        let cut = self.poison_on_fault(cut)?;
        let stored = self.raw.memory_seq_pos(seq.raw());
        let (_, last) = self.poison_on_fault(stored)?;
        if !cut || last != end - 1 {
            self.remove_sequence(seq)?;
            return Err(Error::new(
                ErrorKind::State,
                format!("the checkpoint of {len} tokens left the memory at position {last}"),
            ));
        }
        self.ledger
            .replace(index, (0..).zip(checkpoint.tokens.iter().copied()));
        Ok(())
    }

    /// Kinds with rules of their own keep everything; the others only what cannot be cut back.
    fn checkpoint_flags(&self) -> u32 {
        if self.kind == MemoryKind::Other {
            0
        } else {
            sys::LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY
        }
    }

    /// Upstream applies shifts, and copies between streams, in the next decode: what is saved before
    /// is stale, what is restored before is overwritten.
    pub(super) fn check_settled(&self) -> Result<()> {
        self.check_usable()?;
        if self.shift_pending || self.copy_pending {
            return Err(Error::new(
                ErrorKind::State,
                "a shift of positions or a copy between streams is pending; decode first",
            ));
        }
        Ok(())
    }
}
