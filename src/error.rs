//! The one error type of the library.
//!
//! llama.cpp usually answers with NULL or a number and explains itself only in its log, so an
//! [`Error`] carries the kind, the file, upstream's code and upstream's log text together.

use std::fmt;
use std::path::{Path, PathBuf};

/// `Result` with this library's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, for programs to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file could not be opened, read, mapped or written.
    Io,
    /// A GGUF file breaks the format or the rules its architecture needs.
    InvalidGguf,
    /// An argument of the call is outside what the call accepts.
    InvalidArgument,
    /// The model, device or build cannot do what was asked.
    Unsupported,
    /// This CPU lacks instructions that the compiled code needs.
    UnsupportedCpu,
    /// Upstream refused to load the model.
    ModelLoad,
    /// What was asked for needs more memory than there is.
    OutOfMemory,
    /// Upstream refused to create the context.
    ContextCreation,
    /// Upstream failed while processing a batch.
    Decode,
    /// An earlier failure left this context in an unknown state; make a new one.
    Poisoned,
    /// Text could not be tokenized, or tokens not turned back into text.
    Tokenize,
    /// No token can be drawn: the logits are empty, NaN or all masked.
    Sampling,
    /// A saved state is damaged, foreign or does not fit this context.
    State,
    /// A LoRA adapter is damaged or belongs to another model.
    Adapter,
    /// The caller cancelled the operation.
    Cancelled,
    /// Upstream raised an assertion or exception that no check of ours foresaw.
    Upstream,
}

/// An error with its context: what kind, which file, and what upstream said.
#[derive(thiserror::Error)]
#[error("{}", self.describe())]
pub struct Error {
    // Boxed: results stay small on paths that run once per token.
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    path: Option<PathBuf>,
    code: Option<i32>,
    log: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this kind with a message that names what is wrong.
    #[cold]
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            inner: Box::new(Inner {
                kind,
                message: message.into(),
                path: None,
                code: None,
                log: None,
                source: None,
            }),
        }
    }

    /// An [`ErrorKind::InvalidArgument`] error.
    #[cold]
    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// An [`ErrorKind::Io`] error about `path`.
    #[cold]
    pub(crate) fn io(
        message: impl Into<String>,
        path: impl AsRef<Path>,
        source: std::io::Error,
    ) -> Self {
        let mut error = Self::new(ErrorKind::Io, message).with_path(path);
        error.inner.source = Some(Box::new(source));
        error
    }

    /// Adds the file this error is about.
    #[must_use]
    pub(crate) fn with_path(mut self, path: impl AsRef<Path>) -> Self {
        self.inner.path = Some(path.as_ref().to_owned());
        self
    }

    /// Adds the number that the C function returned.
    #[cfg(feature = "inference")]
    #[must_use]
    pub(crate) fn with_code(mut self, code: i32) -> Self {
        self.inner.code = Some(code);
        self
    }

    /// Adds what upstream wrote to its log during the call; empty text adds nothing.
    #[cfg(feature = "inference")]
    #[must_use]
    pub(crate) fn with_log(mut self, log: impl Into<String>) -> Self {
        let log = log.into();
        let log = log.trim();
        if !log.is_empty() {
            self.inner.log = Some(log.to_owned());
        }
        self
    }

    /// The kind, to match on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The message alone, without path, code and log.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The file this error is about, if it is about one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.inner.path.as_deref()
    }

    /// The number that upstream's C function returned, if one did.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.inner.code
    }

    /// Upstream's log text of the failed call (warnings and errors), if there was any.
    #[must_use]
    pub fn log(&self) -> Option<&str> {
        self.inner.log.as_deref()
    }

    fn describe(&self) -> String {
        let inner = &self.inner;
        let mut text = inner.message.clone();
        if let Some(path) = &inner.path {
            text = format!("{}: {text}", path.display());
        }
        if let Some(source) = &inner.source {
            text = format!("{text}: {source}");
        }
        if let Some(code) = inner.code {
            text = format!("{text} (upstream code {code})");
        }
        if let Some(log) = &inner.log {
            text = format!("{text}; upstream log: {log}");
        }
        text
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("message", &self.inner.message)
            .field("path", &self.inner.path)
            .field("code", &self.inner.code)
            .field("log", &self.inner.log)
            .field("source", &self.inner.source)
            .finish()
    }
}
