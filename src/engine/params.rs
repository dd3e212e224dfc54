//! How an engine is set up.

use std::path::PathBuf;
use std::time::Duration;

use crate::context::{FlashAttention, KvType};
use crate::error::{Error, Result};
use crate::model::Model;

/// Parameters of [`Engine::new`](super::Engine::new).
#[derive(Debug, Clone)]
pub struct EngineParams {
    pub(super) context_length: Option<u32>,
    pub(super) parallel: u32,
    pub(super) pool: Option<u32>,
    pub(super) queue: usize,
    pub(super) threads: Option<u32>,
    pub(super) latency_target: Duration,
    pub(super) micro_batch_size: u32,
    pub(super) keys: KvType,
    pub(super) values: KvType,
    pub(super) flash_attention: FlashAttention,
    pub(super) reuse: bool,
    pub(super) cached_sequences: u32,
    pub(super) snapshot_memory: u64,
    pub(super) memory_budget: Option<u64>,
    pub(super) checkpoint_gap: u32,
    pub(super) deterministic: bool,
    pub(super) draft: Option<Model>,
    pub(super) stall_limit: Duration,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) state_cap: u64,
}

impl Default for EngineParams {
    fn default() -> Self {
        Self {
            context_length: None,
            parallel: 4,
            pool: None,
            queue: 512,
            threads: None,
            latency_target: Duration::from_millis(100),
            micro_batch_size: 512,
            keys: KvType::F16,
            values: KvType::F16,
            flash_attention: FlashAttention::Auto,
            reuse: true,
            cached_sequences: 28,
            snapshot_memory: 512 << 20,
            memory_budget: None,
            checkpoint_gap: 512,
            deterministic: false,
            draft: None,
            stall_limit: Duration::from_secs(300),
            state_dir: None,
            state_cap: 1 << 30,
        }
    }
}

impl EngineParams {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tokens that each request gets, prompt and answer together. Default: what the model was
    /// trained with, at most 4096.
    #[must_use]
    pub fn context_length(mut self, tokens: u32) -> Self {
        self.context_length = Some(tokens);
        self
    }

    /// Requests that run at the same time, 1 to 256. Default: 4.
    #[must_use]
    pub fn parallel(mut self, requests: u32) -> Self {
        self.parallel = requests;
        self
    }

    /// Cells of the KV cache that all requests share, in tokens. A request runs only when its worst
    /// case fits. Default: the context length times [`parallel`](Self::parallel).
    #[must_use]
    pub fn pool(mut self, tokens: u32) -> Self {
        self.pool = Some(tokens);
        self
    }

    /// Requests that may wait. Default: 512.
    #[must_use]
    pub fn queue(mut self, requests: usize) -> Self {
        self.queue = requests;
        self
    }

    /// Computes with exactly this many threads. Default: as many as there are physical cores, or
    /// fewer where affinity or a cgroup quota allow fewer, and fewer still while other programs
    /// keep the cores busy.
    #[must_use]
    pub fn threads(mut self, count: u32) -> Self {
        self.threads = Some(count);
        self
    }

    /// How long the prompts of others may delay the next token of a running answer: they are computed
    /// in chunks that take that long beside the running answers. All but about one in a hundred gaps
    /// stay below that and what a step of the answers alone takes. Default: 100 ms.
    #[must_use]
    pub fn latency_target(mut self, gap: Duration) -> Self {
        self.latency_target = gap;
        self
    }

    /// Most tokens computed at once, see
    /// [`ContextParams::micro_batch_size`](crate::ContextParams::micro_batch_size). Default: 512.
    #[must_use]
    pub fn micro_batch_size(mut self, tokens: u32) -> Self {
        self.micro_batch_size = tokens;
        self
    }

    /// Storage types of keys and values. Default: [`KvType::F16`] for both.
    #[must_use]
    pub fn kv_types(mut self, keys: KvType, values: KvType) -> Self {
        self.keys = keys;
        self.values = values;
        self
    }

    /// Whether to use fused attention. Default: [`FlashAttention::Auto`].
    #[must_use]
    pub fn flash_attention(mut self, flash: FlashAttention) -> Self {
        self.flash_attention = flash;
        self
    }

    /// Whether a request may start from what others left in the KV cache. Off, every prompt is
    /// computed anew and nothing stays after an answer. Default: on.
    #[must_use]
    pub fn reuse(mut self, on: bool) -> Self {
        self.reuse = on;
        self
    }

    /// Finished sequences that may stay in a plain KV cache for reuse, on top of those that run.
    /// Default: 28.
    #[must_use]
    pub fn cached_sequences(mut self, count: u32) -> Self {
        self.cached_sequences = count;
        self
    }

    /// Host memory in bytes for snapshots of sequences, which is how memories that cannot be cut
    /// back (sliding windows, recurrent states) are reused. Default: 512 MiB.
    #[must_use]
    pub fn snapshot_memory(mut self, bytes: u64) -> Self {
        self.snapshot_memory = bytes;
        self
    }

    /// Most bytes that weights, contexts and snapshots may take together. A context that goes beyond
    /// it is refused; snapshots make room. Default: 80 % of what the machine or its cgroup has
    /// available when the engine starts, on top of the weights.
    #[must_use]
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.memory_budget = Some(bytes);
        self
    }

    /// For such memories, how many tokens of a prompt lie between two snapshots. Default: 512.
    #[must_use]
    pub fn checkpoint_gap(mut self, tokens: u32) -> Self {
        self.checkpoint_gap = tokens;
        self
    }

    /// Same seed, same tokens, whatever else runs and whether or not a prefix was cached, on one
    /// CPU and build. Each request then computes alone, in a stream of its own, with chunk borders
    /// on multiples of the micro-batch; slower when several run. Default: off.
    #[must_use]
    pub fn deterministic(mut self, on: bool) -> Self {
        self.deterministic = on;
        self
    }

    /// A smaller model with the same vocabulary that guesses what requests which ask for
    /// [`speculate`](super::Request::speculate) will say, where their own text does not tell. Its
    /// memory counts in the budget. Default: none.
    #[must_use]
    pub fn draft(mut self, model: &Model) -> Self {
        self.draft = Some(model.clone());
        self
    }

    /// A step that takes longer than this counts as hung: it is aborted and the requests that run
    /// end with an error. Default: 5 minutes.
    #[must_use]
    pub fn stall_limit(mut self, limit: Duration) -> Self {
        self.stall_limit = limit;
        self
    }

    /// Keeps cached prefixes in files of this folder, so that they survive a restart. Default: none,
    /// nothing is written.
    ///
    /// When the engine ends in order ([`shutdown`](super::Engine::shutdown) or its last handle), each
    /// prefix in its cache becomes a file, the latest used first; its thread is joined after that. An
    /// engine that starts on the same folder reads the headers of the files, and the state of one
    /// when a request of the same namespace begins with at least 16 tokens more of it than are in
    /// memory. Running answers wait while it is read. Not kept are requests without
    /// [`reuse`](super::Request::reuse), prefixes computed with LoRA adapters, and namespaces with
    /// names of more than 64 KiB.
    ///
    /// A file holds a prompt's tokens and their state. Only its owner can read it: it has mode 0600,
    /// and the folder is made with mode 0700 if it is missing. Nothing is used before all checksums
    /// and tokens were compared, and then only with the same model, llama.cpp,
    /// [`kv_types`](Self::kv_types) and [`flash_attention`](Self::flash_attention); with
    /// [`deterministic`](Self::deterministic) also the same CPU, build, threads,
    /// [`parallel`](Self::parallel) and [`micro_batch_size`](Self::micro_batch_size). Other and
    /// damaged files are named in the log and ignored, and so is a folder that cannot be used.
    /// Engines may share a folder; what one of them writes is seen by those that start later.
    #[must_use]
    pub fn state_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(folder.into());
        self
    }

    /// Most bytes of all files of saved prefixes in the [`state_dir`](Self::state_dir) together,
    /// whichever model they are of; those not used for longest are removed. Default: 1 GiB.
    #[must_use]
    pub fn state_cap(mut self, bytes: u64) -> Self {
        self.state_cap = bytes;
        self
    }

    /// Checks everything and resolves the defaults for `model`.
    pub(super) fn resolve(&self, model: &Model) -> Result<Resolved> {
        /// Context length when neither the caller nor the model says, and at most.
        const DEFAULT_CONTEXT: u32 = 4096;
        let trained = match model.context_length() {
            0 => DEFAULT_CONTEXT,
            length => length,
        };
        let window = self.context_length.unwrap_or(trained.min(DEFAULT_CONTEXT));
        let positions = u32::try_from(model.position_limit().unwrap_or(u64::MAX));
        let window = window.min(positions.unwrap_or(u32::MAX));
        in_range("context_length", window, 2, 1 << 27)?;
        in_range("parallel", self.parallel, 1, 256)?;
        in_range("checkpoint_gap", self.checkpoint_gap, 1, 1 << 27)?;
        let pool = self.pool.unwrap_or(window.saturating_mul(self.parallel));
        // Streams of their own do not share what one of them leaves.
        let pool = match self.deterministic {
            true => pool.max(window.saturating_mul(self.parallel)),
            false => pool,
        };
        in_range("pool", pool, window, 1 << 27)?;
        if self.latency_target.is_zero() {
            return Err(Error::argument("latency_target: must be more than zero"));
        }
        Ok(Resolved {
            window,
            pool: pool.next_multiple_of(256),
        })
    }
}

/// What depends on the model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resolved {
    /// Tokens of one request.
    pub(super) window: u32,
    /// Cells for all.
    pub(super) pool: u32,
}

fn in_range(name: &str, value: u32, min: u32, max: u32) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::argument(format!(
        "{name} is {value}; it must be in {min}..={max}"
    )))
}
