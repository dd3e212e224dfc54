//! One-time initialisation of upstream.

use std::ffi::CStr;
use std::sync::OnceLock;

use super::bindings::{lk_init, lk_system_info};
use super::fault::guarded;
use super::log::on_log;
use crate::error::{Error, ErrorKind, Result};

static INIT: OnceLock<Result<(), String>> = OnceLock::new();

/// Installs the log and assertion hooks and initialises the backends, once per process.
///
/// # Errors
///
/// [`ErrorKind::UnsupportedCpu`] when this CPU lacks instructions that the code was compiled for.
pub(crate) fn init() -> Result<()> {
    let missing = super::cpu::missing();
    if !missing.is_empty() {
        return Err(Error::new(
            ErrorKind::UnsupportedCpu,
            format!(
                "this CPU lacks {}, which llama.cpp was compiled for; build with \
                 LLAMAKIT_CPU=baseline or a lower level",
                missing.join(", ")
            ),
        ));
    }
    INIT.get_or_init(|| {
        // SAFETY: `OnceLock` makes this the only call; `on_log` is a function that lives for ever
        // and needs no user data.
        guarded(unsafe { lk_init(Some(on_log)) }).map_err(|fault| fault.message)
    })
    .clone()
    .map_err(|message| {
        Error::new(
            ErrorKind::Upstream,
            format!("initialisation failed: {message}"),
        )
    })
}

/// Upstream's one-line summary of what its backends use.
pub(crate) fn system_info() -> Result<String> {
    init()?;
    // Upstream writes into one static buffer.
    static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = LOCK
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut text = std::ptr::null();
    // SAFETY: `text` is a valid place for the result; the lock keeps others off the buffer.
    guarded(unsafe { lk_system_info(&mut text) })?;
    if text.is_null() {
        return Ok(String::new());
    }
    // SAFETY: upstream returned a NUL-terminated static string, still under the lock.
    Ok(unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned())
}
