//! The owner of a ggml thread pool.

use std::ptr::NonNull;

use super::bindings::{ggml_threadpool, lk_threadpool_free, lk_threadpool_new};
use super::fault::guarded;
use crate::error::{Error, ErrorKind, Result};

/// Upstream's limit, GGML_MAX_N_THREADS.
pub(crate) const MAX_THREADS: u32 = 512;

/// Worker threads of one context. Must outlive every context it was ever attached to.
pub(crate) struct RawThreadpool {
    pointer: NonNull<ggml_threadpool>,
    n_threads: u32,
}

// SAFETY: the pool is only used by the context that owns it, one thread at a time.
unsafe impl Send for RawThreadpool {}

impl RawThreadpool {
    /// A pool of `n_threads`, the calling thread counted in.
    pub(crate) fn new(n_threads: u32) -> Result<Self> {
        if n_threads == 0 || n_threads > MAX_THREADS {
            return Err(Error::argument(format!(
                "threads must be 1..={MAX_THREADS}, not {n_threads}"
            )));
        }
        let mut pool = std::ptr::null_mut();
        // SAFETY: the thread count is in upstream's range; `pool` is a place for the result.
        guarded(unsafe { lk_threadpool_new(n_threads as i32, &mut pool) })
            .map_err(|fault| fault.into_error(ErrorKind::ContextCreation, "thread pool"))?;
        let pointer = NonNull::new(pool).ok_or_else(|| {
            Error::new(
                ErrorKind::ContextCreation,
                "upstream could not start a thread pool",
            )
        })?;
        Ok(Self { pointer, n_threads })
    }

    pub(crate) fn n_threads(&self) -> u32 {
        self.n_threads
    }

    pub(super) fn as_ptr(&self) -> *mut ggml_threadpool {
        self.pointer.as_ptr()
    }
}

impl Drop for RawThreadpool {
    fn drop(&mut self) {
        // SAFETY: created by `new`, freed once; the owner drops its context first.
        let _ = unsafe { lk_threadpool_free(self.pointer.as_ptr()) };
    }
}
