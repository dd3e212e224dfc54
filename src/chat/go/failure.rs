//! Why a template could not be parsed or executed, and where.

use crate::error::Error;

/// Positions are bytes of the source; what fails outside of any is at `None`.
#[derive(Debug)]
pub(super) struct Failure {
    at: Option<u32>,
    cause: String,
}

pub(super) type Outcome<T> = Result<T, Failure>;

impl Failure {
    #[cold]
    pub(super) fn at(at: u32, cause: impl Into<String>) -> Self {
        Self {
            at: Some(at),
            cause: cause.into(),
        }
    }

    #[cold]
    pub(super) fn nowhere(cause: impl Into<String>) -> Self {
        Self {
            at: None,
            cause: cause.into(),
        }
    }

    /// With line and column, both from 1, in the manner of Go's errors.
    #[cold]
    pub(super) fn into_error(self, source: &str) -> Error {
        let place = self.at.map_or(String::new(), |at| {
            let before = source.get(..at as usize).unwrap_or(source);
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().map_or(0, str::len) + 1;
            format!(":{line}:{column}")
        });
        Error::argument(format!("template{place}: {}", self.cause))
    }
}
