//! How much of everything a template may use.

/// Bytes of a template's source. The longest in Ollama's library has 8 thousand.
pub(super) const SOURCE: usize = 256 << 10;

/// Blocks and parentheses within each other, of a template and of its execution, and the templates
/// that call each other. Templates of Ollama's library have 8. All of it fits a stack of 256 KiB, without
/// optimisation as well.
pub(super) const DEPTH: usize = 32;

/// Levels of arguments, schemas and other JSON values.
pub(super) const JSON_DEPTH: usize = 48;

/// What is executed and evaluated, each 64 bytes of text that is made counting as one more.
pub(super) const STEPS: u64 = 10_000_000;

/// Bytes of a prompt, and of any text made on the way.
pub(super) const OUTPUT: usize = 64 << 20;

/// Bytes of all texts of one call together.
pub(super) const TEXT: usize = 256 << 20;

/// Width and precision of `printf`; Go's own limit.
pub(super) const WIDTH: usize = 1_000_000;
