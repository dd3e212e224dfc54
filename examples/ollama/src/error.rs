//! What can go wrong, for a person to read and for a server to map to a status.

/// The result of this package's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The beginning of what somebody gave, which may be as long as a request.
pub(crate) fn shown(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// What was given is not what it should be: a name, a Modelfile, a field of a request.
    Invalid,
    /// A model, blob or file that does not exist.
    NotFound,
    /// Something stored or received is damaged: a manifest, a blob, a model file.
    Damaged,
    /// A file could not be read or written, or the disk is full.
    Storage,
    /// A registry could not be reached, broke off or answered with an error.
    Network,
    /// A registry wants other credentials, or refuses.
    Unauthorized,
    /// Something that this program does not do.
    Unsupported,
    /// It was stopped by who asked for it.
    Cancelled,
}

/// A failure: one sentence that names what and where. It holds no local path beyond what the caller gave.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    message: String,
}

impl Error {
    /// A failure of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }
}
