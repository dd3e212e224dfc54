//! The input of one decode: tokens, their places, and which of them give outputs.

use crate::sys::RawBatch;
use crate::token::Token;

/// The id of a sequence: one independent stream of tokens in a context.
///
/// Valid ids run from 0 to one less than the context's `n_seq_max` (at most 256).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeqId(pub u32);

impl SeqId {
    /// Upstream's type; ids were checked to be below 256 when it is called.
    pub(crate) fn raw(self) -> i32 {
        i32::try_from(self.0).unwrap_or(i32::MAX)
    }

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

impl std::fmt::Display for SeqId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Which tokens of a run give an output row (logits, or an embedding).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outputs {
    /// No token.
    None,
    /// The last token.
    Last,
    /// Every token.
    All,
}

/// The input of one [`Context::decode`](crate::Context::decode) (`llama_batch`).
///
/// Each entry is a token with a position in one or more sequences. Positions of a sequence must go
/// on where its KV cache ends and grow by one. What is wrong is found when the batch is decoded.
#[derive(Debug, Clone)]
pub struct Batch {
    raw: RawBatch,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self {
            raw: RawBatch {
                seq_starts: vec![0],
                ..RawBatch::default()
            },
        }
    }

    /// Adds one token at `position` of every sequence in `seqs`, and returns its index, by which
    /// [`Context::logits`](crate::Context::logits) finds its row when `output` is set.
    ///
    /// A token in several sequences is computed once and shared; that needs a unified KV cache.
    pub fn add(&mut self, token: Token, position: i32, seqs: &[SeqId], output: bool) -> usize {
        self.raw.tokens.push(token);
        self.raw.positions.push(position);
        self.raw.seq_ids.extend(seqs.iter().map(|seq| seq.raw()));
        self.raw.seq_starts.push(self.raw.seq_ids.len());
        self.raw.outputs.push(output);
        self.len() - 1
    }

    /// Adds a run of tokens of one sequence, the first at `position`.
    pub fn add_run(&mut self, tokens: &[Token], position: i32, seq: SeqId, outputs: Outputs) {
        for (index, &token) in tokens.iter().enumerate() {
            let output = match outputs {
                Outputs::None => false,
                Outputs::Last => index + 1 == tokens.len(),
                Outputs::All => true,
            };
            // A position past the end of i32 is refused by decode, as any wrong one is.
            let place =
                i32::try_from(index).map_or(i32::MAX, |index| position.saturating_add(index));
            self.add(token, place, &[seq], output);
        }
    }

    /// Removes all entries, keeping the memory.
    pub fn clear(&mut self) {
        self.raw.tokens.clear();
        self.raw.positions.clear();
        self.raw.seq_ids.clear();
        self.raw.seq_starts.truncate(1);
        self.raw.outputs.clear();
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.raw.tokens.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.raw.tokens.is_empty()
    }

    pub(crate) fn raw(&self) -> &RawBatch {
        &self.raw
    }

    /// The entries in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> + Clone {
        (0..self.len()).map(|index| Entry {
            token: self.raw.tokens[index],
            position: self.raw.positions[index],
            seqs: &self.raw.seq_ids[self.raw.seq_starts[index]..self.raw.seq_starts[index + 1]],
            output: self.raw.outputs[index],
        })
    }
}

/// One entry of a batch.
pub(crate) struct Entry<'a> {
    pub(crate) token: Token,
    pub(crate) position: i32,
    pub(crate) seqs: &'a [i32],
    pub(crate) output: bool,
}
