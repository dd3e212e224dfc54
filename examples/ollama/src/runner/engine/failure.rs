//! The library's errors, as a runner tells them.

use llamakit::ErrorKind;
use llamakit::engine::SubmitError;

use crate::runner::wire::{Failure, FailureKind};

/// An error while loading, without the path: the server knows which model it is.
pub(super) fn loading(error: llamakit::Error) -> Failure {
    let kind = match error.kind() {
        ErrorKind::OutOfMemory => FailureKind::Memory,
        ErrorKind::InvalidArgument => FailureKind::Invalid,
        _ => FailureKind::Load,
    };
    tracing_line(&error);
    Failure::new(kind, error.message())
}

/// An error of a request.
pub(super) fn refused(error: llamakit::Error) -> Failure {
    let kind = match error.kind() {
        ErrorKind::InvalidArgument | ErrorKind::Tokenize => FailureKind::Invalid,
        ErrorKind::Unsupported => FailureKind::Unsupported,
        ErrorKind::OutOfMemory => FailureKind::Memory,
        ErrorKind::Cancelled => FailureKind::Stopped,
        _ => FailureKind::Internal,
    };
    if kind == FailureKind::Internal {
        tracing_line(&error);
    }
    Failure::new(kind, error.message())
}

/// The server logs what a runner writes on its standard error.
#[allow(clippy::print_stderr)] // It is the runner's log.
fn tracing_line(error: &llamakit::Error) {
    eprintln!("{error}");
}

pub(super) fn submitted(error: SubmitError) -> Failure {
    let message = error.to_string();
    match error {
        SubmitError::QueueFull { retry_after, .. } => {
            let retry_after_ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
            Failure::new(FailureKind::Busy { retry_after_ms }, message)
        }
        SubmitError::PromptTooLong {
            prompt_tokens,
            window,
        } => {
            let kind = FailureKind::TooLong {
                prompt_tokens: prompt_tokens as u64,
                window: window as u64,
            };
            Failure::new(kind, message)
        }
        SubmitError::Invalid(error) => refused(error),
        _ => Failure::new(FailureKind::Stopped, message),
    }
}
