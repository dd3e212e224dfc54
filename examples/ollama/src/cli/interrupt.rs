//! Ctrl-C for work that cleans up behind itself.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::tasks;

static STOP: AtomicBool = AtomicBool::new(false);

/// Becomes true at the first Ctrl-C from now on. The second one ends the program at once.
pub(super) fn flag() -> &'static AtomicBool {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| {
        std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            // Where nobody can listen, Ctrl-C ends the program as it does any other.
            let Ok(runtime) = runtime else { return };
            tasks::block_on(&runtime, async {
                if tokio::signal::ctrl_c().await.is_ok() {
                    STOP.store(true, Ordering::Relaxed);
                }
                if tokio::signal::ctrl_c().await.is_ok() {
                    std::process::exit(130);
                }
            });
        });
    });
    &STOP
}
