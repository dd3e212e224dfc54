//! A context: the state of sequences on a model, and the computations on it.

mod params;
mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::batch::{Batch, Outputs, SeqId};
use crate::error::{Error, ErrorKind, Result};
use crate::kv_cache::{KvCache, MemoryKind};
use crate::lora::LoraAdapter;
use crate::model::Model;
use crate::sys;
use crate::token::Token;
pub use params::{Attention, ContextParams, FlashAttention, KvType, Pooling};

/// What became of a decode that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a batch that found no room or was aborted has no outputs"]
#[non_exhaustive]
pub enum Decoded {
    /// All tokens are stored and the outputs can be read.
    Done,
    /// The KV cache has no room for the batch; nothing was changed. Free cells or use a smaller
    /// batch.
    NoSlot,
    /// An [`AbortHandle`] stopped it. Of the batch's tokens, `stored` are in the cache, by the
    /// cache's own record; the others are not. There are no outputs.
    Aborted {
        /// Tokens of the batch that are stored.
        stored: usize,
    },
}

/// Stops a running decode from another thread. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AbortHandle {
    flag: Arc<AtomicBool>,
}

impl AbortHandle {
    /// Stops the decode that runs now, or else the next one, at the next graph node (CPU) or micro
    /// batch. One call stops one decode.
    pub fn abort(&self) {
        self.flag.store(true, Ordering::Relaxed);
    }
}

/// How long a context computed (`llama_perf_context`).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Timings {
    /// Time in decodes of more than one token.
    pub prefill: Duration,
    /// Time in decodes of one token.
    pub decode: Duration,
    /// Tokens in decodes of more than one token.
    pub prefill_tokens: u32,
    /// Decodes of one token.
    pub decode_tokens: u32,
}

/// Memory of one buffer type, in bytes (`llama_get_memory_breakdown`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryUse {
    /// Upstream's name of the buffer type, such as `CPU`.
    pub buffer_type: String,
    /// Whether it is system memory.
    pub is_host: bool,
    /// Weights.
    pub model: u64,
    /// KV cache and recurrent state.
    pub context: u64,
    /// Temporary buffers of computations.
    pub compute: u64,
}

/// The state of one or more sequences on a model, and the computations on it.
///
/// Owns a handle of its model. `Send`: it may move to another thread, but is used by one at a time;
/// everything that computes takes `&mut self`. Dropping it frees its memory; the model stays with
/// its other users.
pub struct Context {
    kv: KvCache,
    params: ContextParams,
    threads: (u32, u32),
    outputs_max: usize,
    /// Which entries of the last successful decode have an output row.
    outputs: Vec<bool>,
    /// Whether these rows are logits: encoders leave embeddings only, and the place for logits
    /// beside them uninitialised.
    has_logits: bool,
    /// Sequences of the last successful decode that have a pooled embedding.
    pooled: Vec<bool>,
    /// Whether an encoder-decoder model's encoder has run.
    encoded: bool,
    adapters: Vec<(LoraAdapter, f32)>,
}

impl Context {
    /// Creates a context (`llama_init_from_model`) with a thread pool of its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] names the parameter that is out of range or does not go with
    /// another; [`ErrorKind::OutOfMemory`] when the KV cache cannot fit; [`ErrorKind::Unsupported`]
    /// when the model cannot do what was asked; [`ErrorKind::ContextCreation`] carries upstream's
    /// log.
    pub fn new(model: &Model, params: &ContextParams) -> Result<Self> {
        let resolved = params.resolve(model)?;
        let raw = sys::RawContext::new(model.raw(), params.raw(&resolved)?)?;
        params.check_rank(model, Pooling::from_raw(raw.info().pooling_type))?;
        let kv = KvCache::new(
            raw,
            model.clone(),
            params.is_unified(),
            params.has_full_window(),
            params.layout(),
        );
        Ok(Self {
            kv,
            params: params.clone(),
            threads: (resolved.threads, resolved.threads_batch),
            outputs_max: resolved.outputs_max as usize,
            outputs: Vec::new(),
            has_logits: false,
            pooled: Vec::new(),
            encoded: false,
            adapters: Vec::new(),
        })
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.kv.model
    }

    /// What the context remembers.
    #[must_use]
    pub fn kv_cache(&self) -> &KvCache {
        &self.kv
    }

    /// What the context remembers, to change it.
    pub fn kv_cache_mut(&mut self) -> &mut KvCache {
        &mut self.kv
    }

    /// Tokens one sequence can hold (`llama_n_ctx_seq`).
    #[must_use]
    pub fn context_length(&self) -> usize {
        self.kv.raw.info().n_ctx_seq as usize
    }

    /// Most tokens in one decode (`llama_n_batch`).
    #[must_use]
    pub fn batch_size(&self) -> usize {
        self.kv.raw.info().n_batch as usize
    }

    /// Most tokens computed at once (`llama_n_ubatch`).
    #[must_use]
    pub fn micro_batch_size(&self) -> usize {
        self.kv.raw.info().n_ubatch as usize
    }

    /// Most output rows of one decode.
    #[must_use]
    pub fn outputs_max(&self) -> usize {
        self.outputs_max
    }

    /// How embeddings are pooled (`llama_pooling_type`).
    #[must_use]
    pub fn pooling(&self) -> Pooling {
        Pooling::from_raw(self.kv.raw.info().pooling_type)
    }

    /// Threads for decodes of one token, and for longer ones.
    #[must_use]
    pub fn threads(&self) -> (u32, u32) {
        self.threads
    }

    /// Changes the number of threads from the next decode on (`llama_set_n_threads`).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] unless both are in 1..=512.
    pub fn set_threads(&mut self, threads: u32, threads_batch: u32) -> Result<()> {
        self.kv.raw.set_threads(threads, threads_batch)?;
        self.threads = (threads, threads_batch);
        Ok(())
    }

    /// A handle that stops decodes from another thread.
    #[must_use]
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle {
            flag: Arc::clone(self.kv.raw.abort_flag()),
        }
    }

    /// Replaces the attached LoRA adapters and their scales (`llama_set_adapters_lora`); an empty
    /// slice detaches all.
    ///
    /// What the KV cache holds was computed with the adapters of its time; clear it when they
    /// matter.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Adapter`] when an adapter belongs to another model;
    /// [`ErrorKind::InvalidArgument`] for a scale that is not finite or an adapter given twice.
    pub fn set_lora_adapters(&mut self, adapters: &[(LoraAdapter, f32)]) -> Result<()> {
        self.kv.check_usable()?;
        check_adapters(self.model(), adapters)?;
        let raw = adapters
            .iter()
            .map(|(adapter, scale)| (Arc::clone(adapter.raw()), *scale));
        self.kv.raw.set_adapters(raw.collect())?;
        self.adapters = adapters.to_vec();
        let mut layout = self.params.layout();
        for (adapter, scale) in adapters {
            layout.push_str(&format!(" {:?}*{scale}", adapter.fingerprint()));
        }
        self.kv.set_layout(layout);
        self.forget_outputs();
        Ok(())
    }

    /// The attached LoRA adapters and their scales.
    #[must_use]
    pub fn lora_adapters(&self) -> &[(LoraAdapter, f32)] {
        &self.adapters
    }

    /// Runs one token through the model, so that the first real decode finds weights in memory and
    /// buffers allocated, then forgets it and resets the timings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] when the KV cache is not empty; else as
    /// [`decode`](Self::decode).
    pub fn warm_up(&mut self) -> Result<()> {
        if !self.kv.is_empty() {
            return Err(Error::argument("warm-up needs an empty KV cache"));
        }
        let vocab = self.model().vocab();
        let token = vocab.bos().or(vocab.eos()).unwrap_or(Token(0));
        let mut batch = Batch::new();
        batch.add_run(&[token], 0, SeqId(0), Outputs::Last);
        let encoder = self.model().has_encoder();
        let _ = if encoder {
            self.encode(&batch)?
        } else {
            self.decode(&batch)?
        };
        self.encoded = false;
        self.kv.clear()?;
        self.forget_outputs();
        self.reset_timings()
    }

    /// How long the context computed since it was made or [`reset`](Self::reset_timings).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Upstream`] for a failure inside upstream.
    pub fn timings(&self) -> Result<Timings> {
        let raw = self.kv.raw.timings()?;
        let duration = |ms: f64| Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default();
        // Upstream reports at least one of each, to divide by.
        let count = |count: i32, ms: f64| {
            if ms > 0.0 {
                count.max(0).unsigned_abs()
            } else {
                0
            }
        };
        Ok(Timings {
            prefill: duration(raw.t_p_eval_ms),
            decode: duration(raw.t_eval_ms),
            prefill_tokens: count(raw.n_p_eval, raw.t_p_eval_ms),
            decode_tokens: count(raw.n_eval, raw.t_eval_ms),
        })
    }

    /// Starts the timings at zero again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Upstream`] for a failure inside upstream.
    pub fn reset_timings(&mut self) -> Result<()> {
        Ok(self.kv.raw.reset_timings()?)
    }

    /// What memory the model and this context take, by buffer type.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Upstream`] for a failure inside upstream.
    pub fn memory(&self) -> Result<Vec<MemoryUse>> {
        let entries = self.kv.raw.memory_breakdown()?;
        Ok(entries
            .into_iter()
            .map(|entry| MemoryUse {
                buffer_type: entry.buffer_type,
                is_host: entry.is_host,
                model: entry.model,
                context: entry.context,
                compute: entry.compute,
            })
            .collect())
    }

    fn memory_kind(&self) -> MemoryKind {
        self.kv.kind()
    }

    fn forget_outputs(&mut self) {
        self.outputs.clear();
        self.pooled.clear();
    }
}

/// What upstream needs of adapters that are attached together to a context of `model`.
pub(crate) fn check_adapters(model: &Model, adapters: &[(LoraAdapter, f32)]) -> Result<()> {
    for (index, (adapter, scale)) in adapters.iter().enumerate() {
        if !adapter.model().is_same(model) {
            return Err(Error::new(
                ErrorKind::Adapter,
                format!("adapter {index} was loaded for another model"),
            ));
        }
        if !scale.is_finite() {
            return Err(Error::argument(format!(
                "the scale of adapter {index} is {scale}"
            )));
        }
        if adapters[..index]
            .iter()
            .any(|(other, _)| other.is_same(adapter))
        {
            return Err(Error::argument(format!("adapter {index} is given twice")));
        }
    }
    Ok(())
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("model", self.model())
            .field("kv_cache", &self.kv)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}
