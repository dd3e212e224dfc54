//! Why a template could not be parsed or rendered, and in which line.

use std::fmt::Display;

use crate::error::Error;

/// The name of the template in the engine, which its messages begin with.
pub(super) const NAME: &str = "chat template";

/// Causes longer than this are cut: a template may put a whole message into one.
const MAX_CAUSE: usize = 2000;

#[cold]
pub(super) fn at_line(line: usize, cause: &str) -> Error {
    Error::argument(format!("{NAME}, line {line}: {cause}"))
}

#[cold]
pub(super) fn nowhere(cause: impl Display) -> Error {
    Error::argument(format!("{NAME}: {cause}"))
}

/// What the engine said, in one line of ours.
#[cold]
pub(super) fn from_engine(error: &minijinja::Error) -> Error {
    let mut cause = error.detail().map_or_else(
        || error.kind().to_string(),
        |detail| format!("{}: {detail}", error.kind()),
    );
    if error.kind() == minijinja::ErrorKind::OutOfFuel {
        cause = "the template does more work than the conversation can need".to_owned();
    }
    if let Some((cut, _)) = cause.char_indices().nth(MAX_CAUSE) {
        cause.truncate(cut);
        cause.push('…');
    }
    match error.line() {
        Some(line) => at_line(line, &cause),
        None => nowhere(cause),
    }
}
