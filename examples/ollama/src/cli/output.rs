//! Where output goes, and what happens when nobody reads it.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use crate::error::{Error, Kind, Result};

/// Writes to standard output, all of it at once.
///
/// # Errors
/// [`Kind::Cancelled`] when its reader went away, as `head` does; [`Kind::Storage`] for other causes.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(unwritten)
}

/// Writes a value to standard output as JSON for people and programs.
///
/// # Errors
/// As [`print`].
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_string_pretty(value);
    let json = json.map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
    print(&(json + "\n"))
}

/// Why output could not be written.
pub(crate) fn unwritten(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Error::new(Kind::Cancelled, "nobody reads the output"),
        _ => Error::new(Kind::Storage, format!("cannot write the output: {error}")),
    }
}

/// Writes a line to standard error. Nobody can be told when that fails.
pub(crate) fn note(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
