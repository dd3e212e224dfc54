//! The program `ollama`.

fn main() {}
