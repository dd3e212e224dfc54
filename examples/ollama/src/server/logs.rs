//! The server's log, on standard error.

use crate::settings::Debug;

/// Writes what happens from now on. A second call changes nothing.
pub(crate) fn begin(level: Debug) {
    let most = match level {
        Debug::Info => tracing::Level::INFO,
        Debug::Debug => tracing::Level::DEBUG,
        Debug::Trace => tracing::Level::TRACE,
    };
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_max_level(most)
        .finish();
    let _ = tracing::subscriber::set_global_default(log);
}
