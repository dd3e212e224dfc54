//! A runner from its start on: which model it has, and what it reports.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Failure;
use crate::api::MemoryByKind;

/// The first line that the server writes into a runner's pipe.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// What each request must carry. It travels by pipe, so that nobody reads it off a list of processes.
    pub token: String,
    pub spec: Spec,
}

/// Which model, and how it is run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Spec {
    /// The files of the weights, in order.
    pub model: Vec<PathBuf>,
    pub adapters: Vec<PathBuf>,
    /// A smaller model that guesses.
    pub draft: Vec<PathBuf>,
    pub load: LoadOptions,
    /// Tokens that a request gets if it does not say.
    pub context_length: u32,
    /// Requests that run at the same time.
    pub parallel: u32,
    /// Requests that may wait in the runner.
    pub queue: usize,
    /// As OLLAMA_KV_CACHE_TYPE: `f16`, `q8_0`, `q4_0` and so on.
    pub kv_cache: String,
    pub flash_attention: Option<bool>,
    /// Whether the same seed gives the same answer, whatever else runs or is cached.
    pub deterministic: bool,
}

/// Options that count when weights are loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LoadOptions {
    pub num_gpu: Option<u32>,
    pub main_gpu: Option<u32>,
    pub use_mmap: Option<bool>,
    pub use_mlock: Option<bool>,
    pub num_thread: Option<u32>,
    pub num_batch: Option<u32>,
}

impl LoadOptions {
    /// Whether a model that was loaded with these options will do for one who wants `wanted`: what is not
    /// said does not matter.
    pub(crate) fn will_do(&self, wanted: &Self) -> bool {
        fn same<T: PartialEq>(loaded: &Option<T>, wanted: &Option<T>) -> bool {
            wanted.is_none() || loaded == wanted
        }
        same(&self.num_gpu, &wanted.num_gpu)
            && same(&self.main_gpu, &wanted.main_gpu)
            && same(&self.use_mmap, &wanted.use_mmap)
            && same(&self.use_mlock, &wanted.use_mlock)
            && same(&self.num_thread, &wanted.num_thread)
            && same(&self.num_batch, &wanted.num_batch)
    }
}

/// What the server writes into the pipe once the memory that was asked for is free.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Go {
    /// Bytes that the runner may take in all.
    pub memory_budget: Option<u64>,
}

/// What a runner writes on its standard output, one a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// So much memory will be needed.
    Measured(MemoryByKind),
    /// This share of the weights is in memory.
    Loading(f32),
    /// Requests are answered.
    Ready(Box<Info>),
    /// It can't run the model, and leaves.
    Failed(Failure),
}

/// A loaded model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Info {
    /// Where it listens, on the loopback address.
    pub port: u16,
    pub memory: MemoryByKind,
    /// Bytes of it on GPUs.
    pub gpu_memory: u64,
    /// Tokens that a request gets if it does not say.
    pub context_length: u32,
    /// Tokens of the contexts that the model was trained with; 0: not known.
    pub trained_context: u32,
    pub threads: u32,
    /// Why the CPU computes, where it does.
    pub cpu_reason: String,
}

/// What a runner is doing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Health {
    pub queued: usize,
    pub running: usize,
    /// Decodes so far: they grow while work moves.
    pub steps: u64,
    pub stalled: bool,
    pub memory: MemoryByKind,
    pub cells_used: usize,
    pub cells: usize,
    pub cached_prefixes: usize,
    pub cache_hits: u64,
    pub evictions: u64,
    pub rebuilds: u64,
    pub threads: u32,
}
