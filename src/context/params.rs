//! How to create a context, and the checks that upstream would abort on.

use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;
use crate::{machine, sys};

/// Sequences that one context can hold at most (`LLAMA_MAX_SEQ`).
pub(super) const MAX_SEQUENCES: u32 = 256;
/// Cells that a context may ask for; upstream builds tables of this length before it allocates.
const MAX_CONTEXT: u32 = 1 << 27;
/// Context length when neither the caller nor the model says.
const DEFAULT_CONTEXT: u32 = 4096;
/// Output rows when the caller does not say.
const DEFAULT_OUTPUTS: u32 = 32;

/// Storage type of the KV cache's keys or values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KvType {
    /// 32-bit floats.
    F32,
    /// 16-bit floats; the default.
    F16,
    /// bfloat16.
    Bf16,
    /// 8.5 bits per value.
    Q8_0,
    /// 5.5 bits per value.
    Q5_0,
    /// 6 bits per value.
    Q5_1,
    /// 4.5 bits per value.
    Q4_0,
    /// 5 bits per value.
    Q4_1,
    /// 4.5 bits per value, non-linear.
    Iq4Nl,
}

impl KvType {
    fn raw(self) -> sys::ggml_type {
        match self {
            Self::F32 => sys::GGML_TYPE_F32,
            Self::F16 => sys::GGML_TYPE_F16,
            Self::Bf16 => sys::GGML_TYPE_BF16,
            Self::Q8_0 => sys::GGML_TYPE_Q8_0,
            Self::Q5_0 => sys::GGML_TYPE_Q5_0,
            Self::Q5_1 => sys::GGML_TYPE_Q5_1,
            Self::Q4_0 => sys::GGML_TYPE_Q4_0,
            Self::Q4_1 => sys::GGML_TYPE_Q4_1,
            Self::Iq4Nl => sys::GGML_TYPE_IQ4_NL,
        }
    }

    fn is_quantized(self) -> bool {
        !matches!(self, Self::F32 | Self::F16 | Self::Bf16)
    }

    /// Bytes of 32 values.
    fn bytes_per_32(self) -> u64 {
        match self {
            Self::F32 => 128,
            Self::F16 | Self::Bf16 => 64,
            Self::Q8_0 => 34,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q4_0 | Self::Iq4Nl => 18,
            Self::Q4_1 => 20,
        }
    }
}

/// How token embeddings become one embedding of a sequence (`enum llama_pooling_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pooling {
    /// As the model's file says.
    Model,
    /// Not at all: one embedding per token.
    None,
    /// The mean over the tokens.
    Mean,
    /// The first token's.
    Cls,
    /// The last token's.
    Last,
    /// The scores of the classifier head of a reranking model.
    Rank,
}

impl Pooling {
    fn raw(self) -> sys::llama_pooling_type {
        match self {
            Self::Model => sys::LLAMA_POOLING_TYPE_UNSPECIFIED,
            Self::None => sys::LLAMA_POOLING_TYPE_NONE,
            Self::Mean => sys::LLAMA_POOLING_TYPE_MEAN,
            Self::Cls => sys::LLAMA_POOLING_TYPE_CLS,
            Self::Last => sys::LLAMA_POOLING_TYPE_LAST,
            Self::Rank => sys::LLAMA_POOLING_TYPE_RANK,
        }
    }

    /// What the context really uses.
    pub(super) fn from_raw(raw: sys::llama_pooling_type) -> Self {
        match raw {
            sys::LLAMA_POOLING_TYPE_MEAN => Self::Mean,
            sys::LLAMA_POOLING_TYPE_CLS => Self::Cls,
            sys::LLAMA_POOLING_TYPE_LAST => Self::Last,
            sys::LLAMA_POOLING_TYPE_RANK => Self::Rank,
            _ => Self::None,
        }
    }
}

/// What tokens attend to (`enum llama_attention_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Attention {
    /// As the model's file says.
    Model,
    /// The tokens before them.
    Causal,
    /// All tokens of their sequence, as in encoders.
    NonCausal,
}

/// Whether to use fused attention (`enum llama_flash_attn_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FlashAttention {
    /// Where the device supports it.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Parameters of [`Context::new`](crate::Context::new).
///
/// Where a method names no default, it is upstream's (`llama_context_default_params`).
#[derive(Debug, Clone)]
pub struct ContextParams {
    context_length: Option<u32>,
    batch_size: u32,
    micro_batch_size: u32,
    sequences: u32,
    outputs_max: Option<u32>,
    threads: Option<u32>,
    threads_batch: Option<u32>,
    embeddings: bool,
    pooling: Pooling,
    attention: Attention,
    flash_attention: FlashAttention,
    keys: KvType,
    values: KvType,
    offload_kv: bool,
    full_window: bool,
    unified: bool,
    rope_freq_base: Option<f32>,
    rope_freq_scale: Option<f32>,
}

impl Default for ContextParams {
    fn default() -> Self {
        Self {
            context_length: None,
            batch_size: 2048,
            micro_batch_size: 512,
            sequences: 1,
            outputs_max: None,
            threads: None,
            threads_batch: None,
            embeddings: false,
            pooling: Pooling::Model,
            attention: Attention::Model,
            flash_attention: FlashAttention::Auto,
            keys: KvType::F16,
            values: KvType::F16,
            offload_kv: true,
            full_window: false,
            unified: true,
            rope_freq_base: None,
            rope_freq_scale: None,
        }
    }
}

impl ContextParams {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cells of the KV cache in tokens, rounded up to a multiple of 256. With a unified cache all
    /// sequences share them, else each gets an equal part. Default: what the model was trained
    /// with, at most 4096.
    #[must_use]
    pub fn context_length(mut self, tokens: u32) -> Self {
        self.context_length = Some(tokens);
        self
    }

    /// Most tokens in one decode (`n_batch`). Default: 2048.
    #[must_use]
    pub fn batch_size(mut self, tokens: u32) -> Self {
        self.batch_size = tokens;
        self
    }

    /// Most tokens computed at once (`n_ubatch`). Default: 512. With embeddings it is raised to
    /// the batch size, because pooling needs a whole sequence at once.
    #[must_use]
    pub fn micro_batch_size(mut self, tokens: u32) -> Self {
        self.micro_batch_size = tokens;
        self
    }

    /// Number of sequences (`n_seq_max`), 1 to 256. Default: 1.
    #[must_use]
    pub fn sequences(mut self, count: u32) -> Self {
        self.sequences = count;
        self
    }

    /// Most output rows of one decode (`n_outputs_max`). A row of logits has one float per
    /// vocabulary entry. Default: 32 or the number of sequences, whichever is larger; the batch
    /// size with embeddings.
    #[must_use]
    pub fn outputs_max(mut self, rows: u32) -> Self {
        self.outputs_max = Some(rows);
        self
    }

    /// Threads for decodes of one token, 1 to 512. Default: physical cores, or fewer where the
    /// affinity mask or a cgroup quota allows fewer.
    #[must_use]
    pub fn threads(mut self, count: u32) -> Self {
        self.threads = Some(count);
        self
    }

    /// Threads for longer decodes. Default: the same as [`threads`](Self::threads).
    #[must_use]
    pub fn threads_batch(mut self, count: u32) -> Self {
        self.threads_batch = Some(count);
        self
    }

    /// Whether a context that pools in this way, which may be the model's own, has something to
    /// score with.
    pub(super) fn check_rank(&self, model: &Model, pooling: Pooling) -> Result<()> {
        let scores = pooling == Pooling::Rank && (self.embeddings || self.pooling == pooling);
        if scores && model.n_classifier_outputs() == 0 {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "pooling: the model has no classifier head to rank with",
            ));
        }
        Ok(())
    }

    /// Compute embeddings instead of logits. Default: off.
    #[must_use]
    pub fn embeddings(mut self, on: bool) -> Self {
        self.embeddings = on;
        self
    }

    /// How embeddings are pooled. Default: [`Pooling::Model`].
    #[must_use]
    pub fn pooling(mut self, pooling: Pooling) -> Self {
        self.pooling = pooling;
        self
    }

    /// What tokens attend to. Default: [`Attention::Model`].
    #[must_use]
    pub fn attention(mut self, attention: Attention) -> Self {
        self.attention = attention;
        self
    }

    /// Whether to use fused attention. Default: [`FlashAttention::Auto`].
    #[must_use]
    pub fn flash_attention(mut self, flash: FlashAttention) -> Self {
        self.flash_attention = flash;
        self
    }

    /// Storage types of keys and values. Quantized values need fused attention. Default:
    /// [`KvType::F16`] for both.
    #[must_use]
    pub fn kv_types(mut self, keys: KvType, values: KvType) -> Self {
        self.keys = keys;
        self.values = values;
        self
    }

    /// Keep the KV cache on the GPU with the layers (`offload_kqv`). Default: on.
    #[must_use]
    pub fn offload_kv(mut self, on: bool) -> Self {
        self.offload_kv = on;
        self
    }

    /// For models with sliding-window layers: keep all their cells instead of the window only
    /// (`swa_full`), so that any prefix can be reused. Costs memory. Default: off.
    #[must_use]
    pub fn full_window(mut self, on: bool) -> Self {
        self.full_window = on;
        self
    }

    /// One pool of cells for all sequences, in which they can share prefixes (`kv_unified`).
    /// Default: on. Off gives each sequence its own part, which is faster when they share nothing.
    #[must_use]
    pub fn unified(mut self, on: bool) -> Self {
        self.unified = on;
        self
    }

    /// RoPE base frequency. Default: the model's.
    #[must_use]
    pub fn rope_freq_base(mut self, base: f32) -> Self {
        self.rope_freq_base = Some(base);
        self
    }

    /// RoPE frequency scale. Default: the model's.
    #[must_use]
    pub fn rope_freq_scale(mut self, scale: f32) -> Self {
        self.rope_freq_scale = Some(scale);
        self
    }

    /// Checks everything and resolves the defaults for `model`.
    pub(super) fn resolve(&self, model: &Model) -> Result<Resolved> {
        if model.is_vocab_only() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the model was loaded with its vocabulary only",
            ));
        }
        let trained = model.context_length();
        let context_length = match self.context_length {
            Some(length) => length,
            None if trained == 0 => DEFAULT_CONTEXT,
            None => trained.min(DEFAULT_CONTEXT),
        };
        in_range("context_length", context_length, 1, MAX_CONTEXT)?;
        in_range("batch_size", self.batch_size, 1, MAX_CONTEXT)?;
        in_range("micro_batch_size", self.micro_batch_size, 1, MAX_CONTEXT)?;
        in_range("sequences", self.sequences, 1, MAX_SEQUENCES)?;
        // Upstream splits recurrent batches into runs of at least two tokens.
        let recurrent = model.is_recurrent() || model.is_hybrid();
        if recurrent {
            in_range(
                "micro_batch_size of a recurrent model",
                self.micro_batch_size,
                2,
                MAX_CONTEXT,
            )?;
        }
        let whole = self.embeddings || self.attention == Attention::NonCausal;
        // Upstream lowers the batch size of causal contexts to the (padded) context length.
        let padded = context_length.next_multiple_of(256);
        let batch_size = self
            .batch_size
            .min(padded)
            .max(if recurrent { 2 } else { 1 });
        // Upstream lays pooling out for a batch that all sequences divide equally.
        let rounded = batch_size.next_multiple_of(self.sequences);
        let batch_size = match whole {
            true if rounded <= padded => rounded,
            true => (batch_size - batch_size % self.sequences).max(1),
            false => batch_size,
        };
        let micro_batch_size = if whole {
            batch_size
        } else {
            self.micro_batch_size.min(batch_size)
        };
        let outputs_max = match self.outputs_max {
            _ if whole => batch_size,
            Some(rows) => rows.min(batch_size),
            None => self.sequences.max(DEFAULT_OUTPUTS).min(batch_size),
        };
        in_range("outputs_max", outputs_max, 1, batch_size)?;
        let most = MAX_SEQUENCES
            .min(batch_size)
            .min(outputs_max)
            .min(context_length);
        in_range(
            "sequences, given the batch size, outputs_max and context length",
            self.sequences,
            1,
            most,
        )?;
        if self.values.is_quantized() && self.flash_attention == FlashAttention::Off {
            return Err(Error::argument(
                "kv_types: quantized values need fused attention",
            ));
        }
        self.check_rank(model, self.pooling)?;
        if model.has_encoder() && model.has_decoder() && !self.unified && self.sequences > 1 {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "unified: an encoder-decoder model with several sequences needs a unified cache",
            ));
        }
        for (name, value) in [
            ("rope_freq_base", self.rope_freq_base),
            ("rope_freq_scale", self.rope_freq_scale),
        ] {
            if value.is_some_and(|value| !value.is_finite() || value <= 0.0) {
                return Err(Error::argument(format!(
                    "{name}: must be finite and positive"
                )));
            }
        }
        let threads = self.threads.unwrap_or_else(machine::default_threads);
        self.check_memory(model, padded)?;
        Ok(Resolved {
            // Upstream compares other sizes with this before it rounds it up itself.
            context_length: padded,
            batch_size,
            micro_batch_size,
            outputs_max,
            threads,
            threads_batch: self.threads_batch.unwrap_or(threads),
        })
    }

    /// Refuses a KV cache that cannot fit: upstream fills it with zeros, so the system would end
    /// the process instead of returning an error.
    fn check_memory(&self, model: &Model, cells: u32) -> Result<()> {
        /// Upstream's bookkeeping per cell.
        const CELL: u64 = 64;
        let Some(available) = machine::available_memory() else {
            return Ok(());
        };
        let mut needed = u64::from(cells) * CELL;
        // Sliding-window and recurrent layers need less than this; they are left to upstream.
        let plain = model.sliding_window() == 0 && !model.is_recurrent() && !model.is_hybrid();
        let info = model.info();
        if plain && info.n_head > 0 {
            let head = u64::from(model.n_kv_heads()) * (info.n_embd as u64 / info.n_head as u64);
            let row = head * (self.keys.bytes_per_32() + self.values.bytes_per_32()) / 32;
            needed = needed.saturating_add(
                u64::from(cells)
                    .saturating_mul(row)
                    .saturating_mul(model.n_layers().into()),
            );
        }
        if needed > available {
            return Err(Error::new(
                ErrorKind::OutOfMemory,
                format!(
                    "context_length: {cells} cells need about {} MiB of memory, {} MiB are available",
                    needed >> 20,
                    available >> 20
                ),
            ));
        }
        Ok(())
    }

    /// Upstream's struct.
    pub(super) fn raw(&self, resolved: &Resolved) -> Result<sys::llama_context_params> {
        let mut raw = sys::RawContext::default_params()?;
        raw.n_ctx = resolved.context_length;
        raw.n_batch = resolved.batch_size;
        raw.n_ubatch = resolved.micro_batch_size;
        raw.n_seq_max = self.sequences;
        raw.n_outputs_max = resolved.outputs_max;
        raw.n_threads = i32::try_from(resolved.threads).unwrap_or(i32::MAX);
        raw.n_threads_batch = i32::try_from(resolved.threads_batch).unwrap_or(i32::MAX);
        raw.pooling_type = self.pooling.raw();
        raw.attention_type = match self.attention {
            Attention::Model => sys::LLAMA_ATTENTION_TYPE_UNSPECIFIED,
            Attention::Causal => sys::LLAMA_ATTENTION_TYPE_CAUSAL,
            Attention::NonCausal => sys::LLAMA_ATTENTION_TYPE_NON_CAUSAL,
        };
        raw.flash_attn_type = match self.flash_attention {
            FlashAttention::Auto => sys::LLAMA_FLASH_ATTN_TYPE_AUTO,
            FlashAttention::On => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
            FlashAttention::Off => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
        };
        raw.type_k = self.keys.raw();
        raw.type_v = self.values.raw();
        raw.embeddings = self.embeddings;
        raw.offload_kqv = self.offload_kv;
        raw.no_perf = false;
        raw.swa_full = self.full_window;
        raw.kv_unified = self.unified;
        raw.rope_freq_base = self.rope_freq_base.unwrap_or(0.0);
        raw.rope_freq_scale = self.rope_freq_scale.unwrap_or(0.0);
        Ok(raw)
    }

    /// What a saved sequence must find the same to be restored.
    pub(super) fn layout(&self) -> String {
        let streams = if self.unified { 0 } else { self.sequences };
        format!(
            "{:?} {:?} {:?} {streams} {} {:?} {:?}",
            self.keys,
            self.values,
            self.flash_attention,
            self.full_window,
            self.rope_freq_base,
            self.rope_freq_scale
        )
    }

    pub(super) fn is_unified(&self) -> bool {
        self.unified || self.sequences == 1
    }

    pub(super) fn has_full_window(&self) -> bool {
        self.full_window
    }

    pub(super) fn wants_embeddings(&self) -> bool {
        self.embeddings
    }

    pub(super) fn is_non_causal(&self) -> bool {
        self.attention == Attention::NonCausal
    }
}

/// Parameters with all defaults filled in.
pub(super) struct Resolved {
    pub(super) context_length: u32,
    pub(super) batch_size: u32,
    pub(super) micro_batch_size: u32,
    pub(super) outputs_max: u32,
    pub(super) threads: u32,
    pub(super) threads_batch: u32,
}

fn in_range(name: &str, value: u32, min: u32, max: u32) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::argument(format!(
        "{name}: must be {min}..={max}, not {value}"
    )))
}
