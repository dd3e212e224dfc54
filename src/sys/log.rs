//! Upstream's log: every line becomes a `tracing` event, and a failing call keeps its warnings
//! and errors for the error it returns.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};

use super::bindings::{
    GGML_LOG_LEVEL_CONT, GGML_LOG_LEVEL_DEBUG, GGML_LOG_LEVEL_ERROR, GGML_LOG_LEVEL_INFO,
    GGML_LOG_LEVEL_WARN, ggml_log_level,
};

/// More than this of one call's log says nothing new.
const CAPTURE_LIMIT: usize = 8 * 1024;

#[derive(Default)]
struct ThreadLog {
    /// The start of a line whose end has not come yet.
    partial: String,
    level: ggml_log_level,
    /// Collected text per nested capture; the innermost is last.
    captures: Vec<String>,
}

thread_local! {
    static THREAD_LOG: RefCell<ThreadLog> = RefCell::default();
}

/// Runs `call` and returns with its result what upstream logged on this thread at warning level
/// or above.
pub(crate) fn capture<R>(call: impl FnOnce() -> R) -> (R, String) {
    /// Takes the capture off again also when `call` unwinds.
    struct Scope;
    impl Drop for Scope {
        fn drop(&mut self) {
            THREAD_LOG.with_borrow_mut(|log| log.captures.pop());
        }
    }

    THREAD_LOG.with_borrow_mut(|log| log.captures.push(String::new()));
    let scope = Scope;
    let result = call();
    let text = THREAD_LOG.with_borrow_mut(|log| {
        log.captures
            .last_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    });
    drop(scope);
    (result, text)
}

/// The callback that upstream calls from any thread for each piece of log text.
///
/// # Safety
///
/// `text` must be NULL or a NUL-terminated string.
pub(super) unsafe extern "C" fn on_log(
    level: ggml_log_level,
    text: *const c_char,
    _user_data: *mut c_void,
) {
    if text.is_null() {
        return;
    }
    // SAFETY: upstream passes a NUL-terminated string that lives for this call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    // A subscriber that panics must not unwind into C; nobody is there to be told.
    let _ = std::panic::catch_unwind(|| push(level, &text));
}

fn push(level: ggml_log_level, text: &str) {
    let lines = THREAD_LOG.try_with(|log| match log.try_borrow_mut() {
        Ok(mut log) => log.take_lines(level, text),
        // A subscriber that calls the library while handling an event.
        Err(_) => vec![(level, text.trim_end().to_owned())],
    });
    for (level, line) in lines.unwrap_or_default() {
        emit(level, &line);
    }
}

impl ThreadLog {
    /// Adds a piece of text and returns the lines that it completes.
    fn take_lines(&mut self, level: ggml_log_level, text: &str) -> Vec<(ggml_log_level, String)> {
        if level != GGML_LOG_LEVEL_CONT {
            self.level = level;
        }
        self.partial.push_str(text);
        let mut lines = Vec::new();
        while let Some(end) = self.partial.find('\n') {
            let line: String = self.partial.drain(..=end).collect();
            let line = line.trim_end();
            if line.is_empty() {
                continue;
            }
            if self.level == GGML_LOG_LEVEL_ERROR || self.level == GGML_LOG_LEVEL_WARN {
                for capture in &mut self.captures {
                    if capture.len() + line.len() < CAPTURE_LIMIT {
                        capture.push_str(line);
                        capture.push('\n');
                    }
                }
            }
            lines.push((self.level, line.to_owned()));
        }
        lines
    }
}

fn emit(level: ggml_log_level, line: &str) {
    const TARGET: &str = "llamakit::upstream";
    match level {
        GGML_LOG_LEVEL_ERROR => tracing::error!(target: TARGET, "{line}"),
        GGML_LOG_LEVEL_WARN => tracing::warn!(target: TARGET, "{line}"),
        GGML_LOG_LEVEL_INFO => tracing::info!(target: TARGET, "{line}"),
        GGML_LOG_LEVEL_DEBUG => tracing::debug!(target: TARGET, "{line}"),
        _ => tracing::trace!(target: TARGET, "{line}"),
    }
}
