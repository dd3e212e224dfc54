//! What server and runner say to each other: lines of JSON through pipes while it starts, JSON over loopback
//! HTTP afterwards.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// A request to generate text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Completion {
    /// Tokens before the prompt, of an earlier answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<i32>,
    pub prompt: Prompt,
    pub sampling: Sampling,
    pub num_ctx: Option<u32>,
    pub max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    pub ignore_eos: bool,
    /// Tell log-probabilities, and of so many tokens at each place.
    pub logprobs: Option<u32>,
    pub overflow: Overflow,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraint: Option<Constraint>,
    /// Control tokens whose names are written into the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub special_texts: Vec<String>,
    /// Who asks: prefixes are shared only within a namespace.
    pub namespace: String,
    pub speculate: bool,
    /// Tell the tokens of prompt and answer at the end.
    pub want_tokens: bool,
}

/// What to continue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Prompt {
    /// Text in which names of control tokens become these.
    Text(String),
    Segments(Vec<Piece>),
}

impl Default for Prompt {
    fn default() -> Self {
        Self::Segments(Vec::new())
    }
}

/// A segment of a prompt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Piece {
    /// Its text.
    pub t: String,
    /// Whether a message wrote it, and not the template.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub m: bool,
    /// The group that it is dropped with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub g: Option<u32>,
}

/// What to do with a prompt that is too long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Overflow {
    #[default]
    Refuse,
    /// Drop whole groups, oldest first.
    DropGroups,
    /// As before for the prompt; when the answer fills the window, keep so many tokens at the start and drop
    /// the older half of the rest.
    Shift { keep: u32 },
}

/// How tokens are drawn. What is not given is Ollama's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Sampling {
    pub seed: Option<u64>,
    pub temperature: Option<f32>,
    pub top_k: Option<u32>,
    pub top_p: Option<f32>,
    pub min_p: Option<f32>,
    pub typical_p: Option<f32>,
    /// Tokens looked back at; below 0: the whole context.
    pub repeat_last_n: Option<i32>,
    pub repeat_penalty: Option<f32>,
    pub presence_penalty: Option<f32>,
    pub frequency_penalty: Option<f32>,
    pub mirostat: Option<u8>,
    pub mirostat_tau: Option<f32>,
    pub mirostat_eta: Option<f32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logit_bias: Vec<(i32, f32)>,
}

/// What the answer must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Constraint {
    pub kind: ConstraintKind,
    /// It holds only behind this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConstraintKind {
    JsonObject,
    JsonSchema(Value),
    Lark(String),
}

/// What an answer tells, one a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Event {
    /// Text, and the tokens it is of where log-probabilities were asked for.
    #[serde(rename = "t")]
    Text(String),
    #[serde(rename = "l")]
    Token(Box<Token>),
    #[serde(rename = "f")]
    Finished(Box<Finished>),
    #[serde(rename = "e")]
    Failed(Failure),
}

/// A token with its log-probability.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Token {
    /// Text that is certain with it.
    pub text: String,
    pub this: Scored,
    pub top: Vec<Scored>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scored {
    pub bytes: Vec<u8>,
    pub logprob: f32,
}

/// Why an answer ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// The model ended it.
    #[default]
    End,
    /// The value that was asked for is whole.
    Complete,
    /// This text would have come next.
    Stop(String),
    /// As many tokens as were asked for.
    Limit,
    /// The window is full.
    Full,
}

/// The end of an answer. Times are in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Finished {
    pub reason: Reason,
    /// Whether the text is a whole value of the constraint.
    pub complete: Option<bool>,
    pub prompt_tokens: u64,
    pub submitted_tokens: u64,
    pub cached_tokens: u64,
    pub generated_tokens: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped_groups: Vec<u32>,
    pub dropped_tokens: u64,
    pub seed: u64,
    pub drafted_tokens: u64,
    pub accepted_tokens: u64,
    pub queued: u64,
    pub prompt: u64,
    pub generation: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<i32>,
}

/// Why something was not done. The message names no local path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub kind: FailureKind,
    pub message: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FailureKind {
    /// Something in the request is wrong.
    Invalid,
    /// The model can't do it.
    Unsupported,
    /// Too many wait.
    Busy { retry_after_ms: u64 },
    /// The prompt does not fit.
    TooLong { prompt_tokens: u64, window: u64 },
    /// There is not enough memory.
    Memory,
    /// The model's file can't be loaded.
    Load,
    /// It was stopped.
    Stopped,
    /// It failed.
    Internal,
}

/// Texts to embed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Embed {
    pub inputs: Vec<String>,
    pub truncate: bool,
    pub normalize: bool,
    pub namespace: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Embedded {
    pub vectors: Vec<Vec<f32>>,
    pub tokens: Vec<u64>,
    pub truncated: Vec<usize>,
}

/// Documents to score.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Rerank {
    pub query: String,
    pub documents: Vec<String>,
    pub namespace: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Reranked {
    pub scores: Vec<f32>,
    pub tokens: Vec<u64>,
}

/// Text to tokenize: a prompt with what the model puts around it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Tokenize {
    pub prompt: Prompt,
    pub add_special: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Tokenized {
    pub tokens: Vec<i32>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Detokenize {
    pub tokens: Vec<i32>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Detokenized {
    pub text: String,
}
