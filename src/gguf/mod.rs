//! Reads, checks and writes GGUF files in safe Rust.

mod cursor;
mod file;
mod file_type;
mod hash;
mod join;
mod map;
mod overrides;
mod parse;
mod split;
mod tensor_type;
mod validate;
mod value;
mod view;
mod writer;

pub use file::{File, TensorInfo};
pub use file_type::FileType;
pub use join::join_shards;
pub use overrides::{OverrideValue, Overrides};
pub use split::{SplitName, open_shards, shard_paths};
pub use tensor_type::TensorType;
pub use validate::{validate_adapter, validate_model, validate_shards, validate_vocab};
pub use value::{Array, Value, ValueType};
pub use view::{ArrayRef, FromValue, Number, Strings, ValueRef};
pub use writer::Writer;

const MAGIC: [u8; 4] = *b"GGUF";
/// The version written; versions 2 and 3 are read.
const VERSION: u32 = 3;
const DEFAULT_ALIGNMENT: u64 = 32;
const KEY_ALIGNMENT: &str = "general.alignment";
/// Dimensions a tensor can have (`GGML_MAX_DIMS`).
const MAX_DIMS: usize = 4;
/// Length that tensor names must stay below (`GGML_MAX_NAME`).
const MAX_NAME: usize = 64;
