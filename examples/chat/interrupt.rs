//! Ctrl-C: stops the answer that is being written, and ends the program otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use llamakit::AbortHandle;

const IDLE: u8 = 0;
const ANSWERING: u8 = 1;
const PRESSED: u8 = 2;

/// Knows whether an answer is being written, and whether Ctrl-C was pressed meanwhile.
pub(crate) struct Interrupt {
    state: Arc<AtomicU8>,
}

/// While it lives, Ctrl-C stops the answer.
pub(crate) struct Answering {
    state: Arc<AtomicU8>,
}

impl Interrupt {
    pub(crate) fn install(handle: AbortHandle) -> Result<Self, ctrlc::Error> {
        let state = Arc::new(AtomicU8::new(IDLE));
        let seen = Arc::clone(&state);
        ctrlc::set_handler(move || {
            let was = seen.compare_exchange(ANSWERING, PRESSED, Ordering::SeqCst, Ordering::SeqCst);
            match was {
                Ok(_) => handle.abort(),
                // At the prompt, or pressed again because stopping takes too long.
                Err(_) => std::process::exit(super::INTERRUPTED.into()),
            }
        })?;
        Ok(Self { state })
    }

    pub(crate) fn answering(&self) -> Answering {
        self.state.store(ANSWERING, Ordering::SeqCst);
        Answering {
            state: Arc::clone(&self.state),
        }
    }

    /// Whether Ctrl-C was pressed during the answer that runs or the last one.
    pub(crate) fn was_pressed(&self) -> bool {
        self.state.load(Ordering::SeqCst) == PRESSED
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        // A press stays known until the next answer starts.
        let _ = self
            .state
            .compare_exchange(ANSWERING, IDLE, Ordering::SeqCst, Ordering::SeqCst);
    }
}
