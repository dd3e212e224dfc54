//! Turns a stream of token bytes into valid UTF-8 text.
