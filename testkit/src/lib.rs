//! What the tests of this workspace share: tiny models, real models, and subprocess helpers.

#[cfg(feature = "fetch")]
pub mod fetch;
pub mod mutate;
pub mod subprocess;
pub mod tiny;
