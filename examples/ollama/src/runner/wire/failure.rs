//! What goes wrong in a runner.

use serde::{Deserialize, Serialize};

/// Why something was not done. The message names no local path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub kind: FailureKind,
    pub message: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FailureKind {
    /// Something in the request is wrong.
    Invalid,
    /// The model can't do it.
    Unsupported,
    /// Too many wait.
    Busy { retry_after_ms: u64 },
    /// The prompt does not fit.
    TooLong { prompt_tokens: u64, window: u64 },
    /// There is not enough memory.
    Memory,
    /// The model's file can't be loaded.
    Load,
    /// It was stopped.
    Stopped,
    /// It failed.
    Internal,
}
