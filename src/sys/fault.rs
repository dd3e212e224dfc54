//! The status of a guarded twin as a Rust value.

use std::ffi::CStr;

use super::bindings::{LK_ASSERT, LK_OK, lk_last_message, lk_status};
use crate::error::{Error, ErrorKind};

/// A C++ exception or a failed upstream assertion that a guarded twin caught.
#[derive(Debug)]
pub(crate) struct Fault {
    /// True for a failed assertion: upstream's own state may be half changed.
    pub(crate) assertion: bool,
    /// Upstream's text.
    pub(crate) message: String,
}

impl Fault {
    #[cold]
    fn last(status: lk_status) -> Self {
        // SAFETY: the shim returns a pointer to a NUL-terminated thread-local buffer that stays
        // as it is until this thread calls the next twin.
        let text = unsafe { CStr::from_ptr(lk_last_message()) };
        Self {
            assertion: status as u32 == LK_ASSERT,
            message: text.to_string_lossy().into_owned(),
        }
    }

    /// As an error that says what was being done.
    pub(crate) fn into_error(self, kind: ErrorKind, doing: &str) -> Error {
        let what = if self.assertion {
            "upstream assertion"
        } else {
            "upstream exception"
        };
        Error::new(kind, format!("{doing}: {what}: {}", self.message))
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        fault.into_error(ErrorKind::Upstream, "unexpected failure")
    }
}

/// Turns the status of a twin into a result.
pub(crate) fn guarded(status: lk_status) -> Result<(), Fault> {
    if status as u32 == LK_OK {
        Ok(())
    } else {
        Err(Fault::last(status))
    }
}
