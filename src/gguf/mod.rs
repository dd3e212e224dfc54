//! Reads, checks and writes GGUF files in safe Rust.
