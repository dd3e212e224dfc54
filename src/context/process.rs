//! Decoding and encoding batches, and reading their outputs.

use std::sync::atomic::Ordering;

use super::{Context, Decoded, Pooling};
use crate::batch::{Batch, SeqId};
use crate::error::{Error, ErrorKind, Result};
use crate::kv_cache::MemoryKind;

impl Context {
    /// Computes a batch and stores its tokens in the KV cache (`llama_decode`).
    ///
    /// Models that remember nothing (encoders such as BERT) compute it in the same way and store
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] names what is wrong with the batch: nothing was changed.
    /// [`ErrorKind::Decode`] when computing failed: sequences that could be cut back to what was
    /// finished were, the others of the batch are empty. [`ErrorKind::Poisoned`] after a failure
    /// that left the state unknown.
    pub fn decode(&mut self, batch: &Batch) -> Result<Decoded> {
        if self.model().has_encoder() && !self.encoded {
            return Err(Error::argument(
                "this model's encoder must run before its decoder",
            ));
        }
        self.check_batch(batch)?;
        self.process(batch, false)
    }

    /// Runs the encoder of an encoder-decoder model on a batch (`llama_encode`); its output is kept
    /// for the following decodes. Nothing is stored in the KV cache.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] when the model has no encoder; else as
    /// [`decode`](Self::decode).
    pub fn encode(&mut self, batch: &Batch) -> Result<Decoded> {
        if !self.model().has_encoder() && self.memory_kind() != MemoryKind::None {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "this model has no encoder",
            ));
        }
        self.check_encoder_batch(batch)?;
        let done = self.process(batch, true)?;
        self.encoded |= done == Decoded::Done;
        Ok(done)
    }

    /// The logits of entry `index` of the last batch: one float per vocabulary entry
    /// (`llama_get_logits_ith`).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] when the entry was not marked for output, or the last decode
    /// did not succeed; [`ErrorKind::Unsupported`] when an encoder computed it.
    pub fn logits(&self, index: usize) -> Result<&[f32]> {
        self.check_output(index)?;
        if !self.has_logits {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("entry {index} has no logits: an encoder computed it"),
            ));
        }
        let n_vocab = self.model().vocab().n_tokens();
        let row = i32::try_from(index)
            .ok()
            .and_then(|index| self.kv.raw.logits(index, n_vocab));
        row.ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                format!("entry {index} has no logits"),
            )
        })
    }

    /// The embedding of entry `index` of the last batch, of a context without pooling
    /// (`llama_get_embeddings_ith`): [`Model::embedding_length`](crate::Model::embedding_length)
    /// floats.
    ///
    /// # Errors
    ///
    /// As [`logits`](Self::logits); [`ErrorKind::Unsupported`] when the context computes no
    /// embeddings or pools them.
    pub fn embedding(&self, index: usize) -> Result<&[f32]> {
        self.check_embeddings()?;
        if self.pooling() != Pooling::None {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "this context pools embeddings; ask for a sequence's",
            ));
        }
        self.check_output(index)?;
        let length = self.model().embedding_length();
        let row = i32::try_from(index)
            .ok()
            .and_then(|index| self.kv.raw.embedding(index, length));
        row.ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                format!("entry {index} has no embedding"),
            )
        })
    }

    /// The pooled embedding of a sequence of the last batch (`llama_get_embeddings_seq`):
    /// [`Model::embedding_length`](crate::Model::embedding_length) floats, or the classifier's
    /// scores with [`Pooling::Rank`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] when the sequence was not in the last batch;
    /// [`ErrorKind::Unsupported`] when the context computes no pooled embeddings.
    pub fn pooled_embedding(&self, seq: SeqId) -> Result<&[f32]> {
        self.check_embeddings()?;
        let length = match self.pooling() {
            Pooling::None => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "this context does not pool embeddings; ask for an entry's",
                ));
            }
            Pooling::Rank => self.model().n_classifier_outputs() as usize,
            _ => self.model().embedding_length(),
        };
        if !self.pooled.get(seq.index()).copied().unwrap_or(false) {
            return Err(Error::argument(format!(
                "sequence {seq} was not in the last batch"
            )));
        }
        self.kv.raw.pooled(seq.raw(), length).ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                format!("sequence {seq} has no pooled embedding"),
            )
        })
    }

    fn process(&mut self, batch: &Batch, encode: bool) -> Result<Decoded> {
        self.forget_outputs();
        if self.kv.raw.abort_flag().swap(false, Ordering::Relaxed) {
            return Ok(Decoded::Aborted { stored: 0 });
        }
        let (code, log) = self.kv.raw.process(batch.raw(), encode);
        let stores = !encode && self.memory_kind() != MemoryKind::None;
        let code = match code {
            Ok(code) => code,
            Err(fault) => {
                self.kv.poisoned = true;
                return Err(fault
                    .into_error(ErrorKind::Decode, "computing the batch")
                    .with_log(log));
            }
        };
        match code {
            0 => {
                self.remember(batch, stores);
                self.has_logits = stores || self.model().is_diffusion();
                Ok(Decoded::Done)
            }
            1 => Ok(Decoded::NoSlot),
            2 => {
                self.kv.raw.abort_flag().store(false, Ordering::Relaxed);
                let stored = if stores {
                    self.kv.reconcile(batch.entries())?
                } else {
                    0
                };
                Ok(Decoded::Aborted { stored })
            }
            -1 => Err(Error::argument("upstream refused the batch")
                .with_code(code)
                .with_log(log)),
            _ => {
                if stores {
                    self.kv.reconcile(batch.entries())?;
                }
                Err(Error::new(ErrorKind::Decode, "computing the batch failed")
                    .with_code(code)
                    .with_log(log))
            }
        }
    }

    /// Records a successful batch and which outputs it left.
    fn remember(&mut self, batch: &Batch, stores: bool) {
        let all = self.params.wants_embeddings();
        self.pooled = vec![false; self.kv.n_sequences()];
        for entry in batch.entries() {
            self.outputs.push(entry.output || all);
            for &seq in entry.seqs {
                self.pooled[seq as usize] = all;
            }
            if stores {
                self.kv.record(entry.seqs, entry.position, entry.token);
            }
        }
    }

    /// The preconditions of `llama_decode`, most of which upstream checks by aborting.
    fn check_batch(&self, batch: &Batch) -> Result<()> {
        self.check_size(batch)?;
        let mut next: Vec<i32> = (0..self.kv.n_sequences())
            .map(|seq| {
                self.kv
                    .next_position(SeqId(u32::try_from(seq).unwrap_or(u32::MAX)))
            })
            .collect();
        self.check_entries(batch, &mut next)
    }

    /// The preconditions of `llama_encode`: every sequence starts at 0.
    fn check_encoder_batch(&self, batch: &Batch) -> Result<()> {
        self.check_size(batch)?;
        if batch.len() > self.micro_batch_size() {
            return Err(self.too_long(batch, self.micro_batch_size(), "an encoder"));
        }
        self.check_entries(batch, &mut vec![0; self.kv.n_sequences()])
    }

    fn check_size(&self, batch: &Batch) -> Result<()> {
        self.kv.check_usable()?;
        if batch.is_empty() {
            return Err(Error::argument("the batch is empty"));
        }
        if batch.len() > self.batch_size() {
            return Err(self.too_long(batch, self.batch_size(), "this context"));
        }
        let whole = self.memory_kind() == MemoryKind::None
            || self.params.is_non_causal()
            || self.params.wants_embeddings();
        if whole && batch.len() > self.micro_batch_size() {
            return Err(self.too_long(batch, self.micro_batch_size(), "this kind of context"));
        }
        let rows = if self.params.wants_embeddings() {
            batch.len()
        } else {
            batch.entries().filter(|entry| entry.output).count()
        };
        if rows > self.outputs_max {
            return Err(Error::argument(format!(
                "the batch asks for {rows} outputs; this context gives at most {} (outputs_max)",
                self.outputs_max
            )));
        }
        Ok(())
    }

    /// Checks tokens, sequences and positions; `next` holds each sequence's next position.
    fn check_entries(&self, batch: &Batch, next: &mut [i32]) -> Result<()> {
        let vocab = self.model().vocab();
        let positions = self.model().position_limit().unwrap_or(u64::MAX);
        for (index, entry) in batch.entries().enumerate() {
            if !vocab.contains(entry.token) {
                return Err(Error::argument(format!(
                    "entry {index}: token {} is not in the vocabulary of {}",
                    entry.token,
                    vocab.n_tokens()
                )));
            }
            if u64::try_from(entry.position).is_ok_and(|position| position >= positions) {
                return Err(Error::argument(format!(
                    "entry {index}: position {}; the model knows {positions} positions",
                    entry.position
                )));
            }
            if entry.seqs.is_empty() {
                return Err(Error::argument(format!(
                    "entry {index} belongs to no sequence"
                )));
            }
            if entry.seqs.len() > 1 && !self.kv.is_unified() {
                return Err(Error::argument(format!(
                    "entry {index}: only a unified cache can share a token among sequences"
                )));
            }
            for (place, &seq) in entry.seqs.iter().enumerate() {
                let expected = usize::try_from(seq)
                    .ok()
                    .and_then(|seq| next.get_mut(seq))
                    .ok_or_else(|| {
                        Error::argument(format!(
                            "entry {index}: sequence {seq} does not exist; this context has {}",
                            self.kv.n_sequences()
                        ))
                    })?;
                if entry.seqs[..place].contains(&seq) {
                    return Err(Error::argument(format!(
                        "entry {index} names sequence {seq} twice"
                    )));
                }
                if entry.position != *expected {
                    return Err(Error::argument(format!(
                        "entry {index}: the next position of sequence {seq} is {expected}, not {}",
                        entry.position
                    )));
                }
                *expected = entry.position.saturating_add(1);
            }
        }
        Ok(())
    }

    fn check_embeddings(&self) -> Result<()> {
        if self.params.wants_embeddings() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unsupported,
            "this context was created without embeddings",
        ))
    }

    fn check_output(&self, index: usize) -> Result<()> {
        match self.outputs.get(index) {
            Some(true) => Ok(()),
            Some(false) => Err(Error::argument(format!(
                "entry {index} was not marked for output"
            ))),
            None => Err(Error::argument(format!(
                "entry {index}: the last decode left outputs for {} entries",
                self.outputs.len()
            ))),
        }
    }

    fn too_long(&self, batch: &Batch, most: usize, what: &str) -> Error {
        Error::argument(format!(
            "the batch has {} tokens; {what} takes at most {most}",
            batch.len()
        ))
    }
}
