//! What the tests of this workspace share: tiny models, real models, and subprocess helpers.

#[cfg(feature = "fetch")]
pub mod fetch;
pub mod subprocess;
pub mod tiny;
