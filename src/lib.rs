//! Run GGUF language models inside a Rust program.

mod error;
pub mod gguf;
pub mod sampler;
mod text;
mod token;

pub use error::{Error, ErrorKind, Result};
pub use sampler::Sampler;
pub use text::TextDecoder;
pub use token::Token;
