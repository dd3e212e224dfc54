//! Reads an answer as it comes: what is said, what is thought, what is called.
