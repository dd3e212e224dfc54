//! How far a pull, push or create has come, as Ollama's stream says it.

use serde::Serialize;

/// One line of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// What is being done: `pulling manifest`, `pulling 6a0746a1ec1a`, `verifying sha256 digest`, `success`.
    pub status: String,
    /// The blob that this line is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Bytes of the blob.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Bytes of it that are here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed: Option<u64>,
}

impl Progress {
    /// A line without a blob.
    pub fn status(status: impl Into<String>) -> Self {
        Self {
            status: status.into(),
            digest: None,
            total: None,
            completed: None,
        }
    }
}

/// Who is told how far it is. Called from any thread; should return at once.
pub type Report<'a> = &'a (dyn Fn(Progress) + Send + Sync);
