//! Run GGUF language models inside a Rust program.
//!
//! llama.cpp, compiled from pinned sources while cargo builds your program, behind a safe and quiet
//! API: what makes llama.cpp abort is an [`Error`] here, and nothing is ever written to stdout or
//! stderr (llama.cpp's log goes to the `tracing` crate).
//!
#![cfg_attr(feature = "inference", doc = "```no_run")]
#![cfg_attr(not(feature = "inference"), doc = "```ignore")]
//! use llamakit::{Context, ContextParams, Model, ModelParams, Sampler};
//!
//! fn main() -> llamakit::Result<()> {
//!     let model = Model::load("model.gguf", &ModelParams::new())?;
//!     let mut context = Context::new(&model, &ContextParams::new())?;
//!     let mut sampler = Sampler::llama_cpp();
//!     for piece in context.generate("Once upon a time", &mut sampler)?.max_tokens(64) {
//!         print!("{}", piece?);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Concepts
//!
//! - `Model`: weights, vocabulary and metadata. Expensive to load, cheap to clone: a shared handle,
//!   `Send + Sync`; the weights are freed with its last user.
//! - `Vocab`: text to tokens and back; a cheap handle of its model. [`TextDecoder`] joins the bytes
//!   of tokens to valid UTF-8.
//! - `Context`: what one conversation or batch of sequences needs to compute. Takes memory for its
//!   whole context length; owns a handle of its model; `Send`, used by one thread at a time.
//! - `KvCache`: the part of a context that remembers tokens. It knows which ones, so that a prompt
//!   that begins like the last one is not computed again; removes, copies, shifts, saves, restores.
//! - `Batch`: tokens with positions and sequences for one decode; reusable, independent of contexts.
//! - [`Sampler`]: picks tokens from logits, in pure Rust. Small; clone it per sequence.
//! - `Generation`: the loop over all of these, as an iterator of text that borrows the context.
//! - `Embeddings`: vectors of texts, from a context made for them.
//! - `LoraAdapter`: belongs to its model, can be attached to several contexts at any scale.
//! - `quantize`: writes a model anew with fewer bits per weight.
//! - [`gguf`]: reads, checks and writes model files; needs no C++.
//!
//! # Features
//!
//! - `inference` (default): compiles llama.cpp. Without it [`gguf`], [`sampler`] and [`TextDecoder`]
//!   remain.
//! - `engine`: [`engine::Engine`](https://docs.rs/llamakit/latest/llamakit/engine/struct.Engine.html) serves many requests on one model: queue, continuous
//!   batching, prefix cache. `stream`: its answers as `futures_core::Stream`.
//! - `chat`: chat templates, tool calls, thinking: from messages to prompts and back. `constrain`: structured output.
//!   Neither compiles any C++.
//! - `rpc`: llama.cpp's RPC backend, which its authors call insecure.
//! - `openmp`: OpenMP instead of ggml's own threads.
//! - `bindgen`: makes the raw bindings at build time; needs libclang.
//!
//! README lists the environment variables of the build, the platforms, and what cannot be caught.

mod atomic_file;
#[cfg(feature = "inference")]
mod batch;
mod cgroup;
#[cfg(feature = "chat")]
pub mod chat;
#[cfg(feature = "constrain")]
pub mod constrain;
#[cfg(feature = "inference")]
mod context;
#[cfg(feature = "inference")]
mod embeddings;
#[cfg(feature = "engine")]
pub mod engine;
mod error;
#[cfg(feature = "inference")]
mod fingerprint;
#[cfg(feature = "inference")]
mod generate;
pub mod gguf;
#[cfg(feature = "inference")]
mod guide;
#[cfg(feature = "inference")]
mod kv_cache;
#[cfg(feature = "inference")]
mod lora;
#[cfg(feature = "inference")]
mod machine;
#[cfg(feature = "inference")]
mod model;
#[cfg(feature = "inference")]
mod model_params;
#[cfg(feature = "inference")]
mod quantize;
#[cfg(feature = "inference")]
mod runtime;
pub mod sampler;
mod segments;
#[cfg(feature = "inference")]
pub mod sys;
pub mod tensor;
mod text;
mod token;
#[cfg(feature = "inference")]
mod vocab;

#[cfg(feature = "inference")]
pub use batch::{Batch, Outputs, SeqId};
pub use cgroup::{CgroupLimits, CgroupMemory, cgroup_limits};
#[cfg(feature = "inference")]
pub use context::{
    AbortHandle, Attention, Context, ContextParams, Decoded, FlashAttention, KvType, MemoryUse,
    Pooling, Timings,
};
#[cfg(feature = "inference")]
pub use embeddings::Embeddings;
pub use error::{Error, ErrorKind, Result};
#[cfg(feature = "inference")]
pub use generate::{EndReason, Generation, Prompt, Usage};
#[cfg(feature = "inference")]
pub use kv_cache::{Checkpoint, KvCache, MemoryKind};
#[cfg(feature = "inference")]
pub use lora::LoraAdapter;
#[cfg(feature = "inference")]
pub use machine::default_threads;
#[cfg(feature = "inference")]
pub use model::Model;
#[cfg(feature = "inference")]
pub use model_params::{LoadMode, ModelParams, SplitMode};
#[cfg(feature = "inference")]
pub use quantize::{QuantizeParams, QuantizeProgress, quantize};
#[cfg(feature = "inference")]
pub use runtime::{BuildInfo, Device, DeviceKind, build_info, devices, system_info};
pub use sampler::Sampler;
#[cfg(feature = "inference")]
pub use segments::SegmentTokens;
pub use segments::{Origin, Segment};
pub use text::TextDecoder;
pub use token::Token;
#[cfg(feature = "inference")]
pub use vocab::{TokenInfo, Vocab, VocabType};

/// Compiles the program in README.
#[cfg(all(doctest, feature = "inference"))]
#[doc = include_str!("../README.md")]
mod readme {}
