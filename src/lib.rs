//! Run GGUF language models inside a Rust program.

mod atomic_file;
#[cfg(feature = "inference")]
mod batch;
#[cfg(feature = "inference")]
mod context;
#[cfg(feature = "inference")]
mod embeddings;
mod error;
#[cfg(feature = "inference")]
mod fingerprint;
#[cfg(feature = "inference")]
mod generate;
pub mod gguf;
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
mod runtime;
pub mod sampler;
#[cfg(feature = "inference")]
pub mod sys;
pub mod tensor;
mod text;
mod token;
#[cfg(feature = "inference")]
mod vocab;

#[cfg(feature = "inference")]
pub use batch::{Batch, Outputs, SeqId};
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
pub use model::{ChatMessage, Model};
#[cfg(feature = "inference")]
pub use model_params::{LoadMode, ModelParams, SplitMode};
#[cfg(feature = "inference")]
pub use runtime::{BuildInfo, Device, DeviceKind, build_info, devices, system_info};
pub use sampler::Sampler;
pub use text::TextDecoder;
pub use token::Token;
#[cfg(feature = "inference")]
pub use vocab::{TokenInfo, Vocab, VocabType};
