//! The owner of a context and of everything that upstream's context points to.

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::adapter::RawAdapter;
use super::bindings::{
    lk_attach_threadpool, lk_context_default_params, lk_context_free, lk_context_get_info,
    lk_context_info, lk_context_new, lk_decode, lk_embeddings_ith, lk_embeddings_seq, lk_encode,
    lk_logits_ith, lk_memory_breakdown, lk_memory_clear, lk_memory_entry, lk_memory_seq_add,
    lk_memory_seq_cp, lk_memory_seq_pos, lk_memory_seq_rm, lk_perf_context, lk_perf_context_reset,
    lk_set_adapters_lora, lk_set_n_threads, lk_state_seq_get_data, lk_state_seq_get_size,
    lk_state_seq_set_data, llama_batch, llama_context, llama_context_params,
    llama_perf_context_data,
};
use super::fault::{Fault, guarded};
use super::log;
use super::model::RawModel;
use super::threadpool::RawThreadpool;
use crate::error::{Error, ErrorKind, Result};
use crate::token::Token;

/// A batch in the shape upstream reads: parallel arrays, sequence ids flattened.
#[derive(Debug, Default, Clone)]
pub(crate) struct RawBatch {
    pub(crate) tokens: Vec<Token>,
    pub(crate) positions: Vec<i32>,
    /// Where each entry's sequence ids start in `seq_ids`; one more than entries.
    pub(crate) seq_starts: Vec<usize>,
    pub(crate) seq_ids: Vec<i32>,
    pub(crate) outputs: Vec<bool>,
}

/// One buffer type's share of memory, in bytes.
pub(crate) struct MemoryEntry {
    pub(crate) buffer_type: String,
    pub(crate) is_host: bool,
    pub(crate) model: u64,
    pub(crate) context: u64,
    pub(crate) compute: u64,
}

/// A context. Fields drop in order: the context first, then what it points to.
pub(crate) struct RawContext {
    pointer: ContextPointer,
    info: lk_context_info,
    // Upstream's CPU backend keeps the pool of the last computation until the next one, so
    // replaced pools stay until the context is gone.
    pools: Vec<RawThreadpool>,
    adapters: Vec<Arc<RawAdapter>>,
    abort: Arc<AtomicBool>,
    _model: Arc<RawModel>,
}

struct ContextPointer(NonNull<llama_context>);

impl Drop for ContextPointer {
    fn drop(&mut self) {
        // SAFETY: created by `RawContext::new`, freed once, before pools, adapters and model.
        let _ = unsafe { lk_context_free(self.0.as_ptr()) };
    }
}

// SAFETY: upstream's context may move between threads as long as one uses it at a time, which
// `&mut` on every method that computes or synchronises upholds.
unsafe impl Send for RawContext {}

/// Polled by upstream after each graph node; only reads a flag.
unsafe extern "C" fn on_abort_poll(flag: *mut c_void) -> bool {
    // SAFETY: `RawContext::new` passes a pointer into the Arc that the context's owner holds.
    unsafe { &*flag.cast::<AtomicBool>() }.load(Ordering::Relaxed)
}

impl RawContext {
    /// Upstream's default parameters.
    pub(crate) fn default_params() -> Result<llama_context_params> {
        // SAFETY: all-zero is a valid value of this plain C struct.
        let mut params: llama_context_params = unsafe { std::mem::zeroed() };
        // SAFETY: `params` is a place for the result.
        guarded(unsafe { lk_context_default_params(&mut params) })?;
        Ok(params)
    }

    /// Creates a context with its thread pools attached.
    pub(crate) fn new(model: &Arc<RawModel>, mut params: llama_context_params) -> Result<Self> {
        let (threads, threads_batch) = (params.n_threads as u32, params.n_threads_batch as u32);
        let abort = Arc::new(AtomicBool::new(false));
        params.abort_callback = Some(on_abort_poll);
        params.abort_callback_data = Arc::as_ptr(&abort).cast_mut().cast();

        let mut pointer = std::ptr::null_mut();
        let (status, text) = {
            // Some RoPE settings make upstream write into the model here.
            let _guard = model.lock();
            log::capture(|| {
                // SAFETY: the model is alive and locked; the flag behind `abort` outlives the
                // context because the owner below drops it later.
                guarded(unsafe { lk_context_new(model.as_ptr(), &params, &mut pointer) })
            })
        };
        status.map_err(|fault| {
            fault
                .into_error(ErrorKind::ContextCreation, "creating the context")
                .with_log(&text)
        })?;
        let pointer = NonNull::new(pointer).ok_or_else(|| {
            Error::new(ErrorKind::ContextCreation, "upstream refused the context").with_log(text)
        })?;
        let pointer = ContextPointer(pointer);
        // SAFETY: all-zero is a valid value of this plain C struct.
        let mut info: lk_context_info = unsafe { std::mem::zeroed() };
        // SAFETY: the context is alive; `info` is a place for the result.
        guarded(unsafe { lk_context_get_info(pointer.0.as_ptr(), &mut info) })?;
        let mut context = Self {
            pointer,
            info,
            pools: Vec::new(),
            adapters: Vec::new(),
            abort,
            _model: Arc::clone(model),
        };
        context.set_threads(threads, threads_batch)?;
        Ok(context)
    }

    fn as_ptr(&self) -> *mut llama_context {
        self.pointer.0.as_ptr()
    }

    pub(crate) fn info(&self) -> &lk_context_info {
        &self.info
    }

    pub(crate) fn abort_flag(&self) -> &Arc<AtomicBool> {
        &self.abort
    }

    /// Sets both thread counts, making larger pools where the present ones are too small.
    pub(crate) fn set_threads(&mut self, threads: u32, threads_batch: u32) -> Result<()> {
        let pool = self.pool_of(threads)?;
        let pool_batch = self.pool_of(threads_batch)?;
        let (pool, pool_batch) = (self.pools[pool].as_ptr(), self.pools[pool_batch].as_ptr());
        // SAFETY: context and pools are alive, the pools hold at least as many threads, and they
        // are dropped after the context.
        guarded(unsafe { lk_attach_threadpool(self.as_ptr(), pool, pool_batch) })?;
        // SAFETY: both counts were checked by the pools.
        guarded(unsafe { lk_set_n_threads(self.as_ptr(), threads as i32, threads_batch as i32) })?;
        Ok(())
    }

    /// The index of a pool with at least `threads`, made if there is none.
    fn pool_of(&mut self, threads: u32) -> Result<usize> {
        if threads > 0
            && let Some(index) = self
                .pools
                .iter()
                .position(|pool| pool.n_threads() >= threads)
        {
            return Ok(index);
        }
        self.pools.push(RawThreadpool::new(threads)?);
        Ok(self.pools.len() - 1)
    }

    /// Runs `llama_decode`, or `llama_encode` when `encode` is set. The caller has checked the
    /// batch. Returns upstream's code and log.
    pub(crate) fn process(
        &mut self,
        batch: &RawBatch,
        encode: bool,
    ) -> (Result<i32, Fault>, String) {
        let mut n_seq_id: Vec<i32> = batch
            .seq_starts
            .windows(2)
            .map(|range| (range[1] - range[0]) as i32)
            .collect();
        let mut seq_ids: Vec<*mut i32> = batch.seq_starts[..batch.tokens.len()]
            .iter()
            .map(|&start| batch.seq_ids[start..].as_ptr().cast_mut())
            .collect();
        let mut logits: Vec<i8> = batch
            .outputs
            .iter()
            .map(|&output| i8::from(output))
            .collect();
        let raw = llama_batch {
            n_tokens: batch.tokens.len() as i32,
            token: batch.tokens.as_ptr().cast_mut().cast(),
            embd: std::ptr::null_mut(),
            pos: batch.positions.as_ptr().cast_mut(),
            n_seq_id: n_seq_id.as_mut_ptr(),
            seq_id: seq_ids.as_mut_ptr(),
            logits: logits.as_mut_ptr(),
        };
        let mut code = 0;
        let (status, text) = log::capture(|| {
            // SAFETY: every array has an element per token and lives through the call; upstream
            // only reads them. The caller checked ids, positions, sequences and sizes.
            guarded(unsafe {
                if encode {
                    lk_encode(self.as_ptr(), &raw, &mut code)
                } else {
                    lk_decode(self.as_ptr(), &raw, &mut code)
                }
            })
        });
        (status.map(|()| code), text)
    }

    /// The logits of batch entry `index`, `n_vocab` long. `None`: upstream has none.
    pub(crate) fn logits(&self, index: i32, n_vocab: usize) -> Option<&[f32]> {
        let mut row = std::ptr::null_mut();
        // SAFETY: the context is alive; a bad index yields NULL.
        guarded(unsafe { lk_logits_ith(self.as_ptr(), index, &mut row) }).ok()?;
        // SAFETY: see `row`.
        unsafe { borrow_row(row, n_vocab) }
    }

    /// The embedding of batch entry `index`, `n_embd` long. `None`: upstream has none.
    pub(crate) fn embedding(&self, index: i32, n_embd: usize) -> Option<&[f32]> {
        let mut row = std::ptr::null_mut();
        // SAFETY: the context is alive; a bad index yields NULL.
        guarded(unsafe { lk_embeddings_ith(self.as_ptr(), index, &mut row) }).ok()?;
        // SAFETY: see `row`.
        unsafe { borrow_row(row, n_embd) }
    }

    /// The pooled embedding of a sequence, `len` long. `None`: upstream has none.
    pub(crate) fn pooled(&self, seq: i32, len: usize) -> Option<&[f32]> {
        let mut row = std::ptr::null_mut();
        // SAFETY: the context is alive and the caller checked the sequence.
        guarded(unsafe { lk_embeddings_seq(self.as_ptr(), seq, &mut row) }).ok()?;
        // SAFETY: see `row`.
        unsafe { borrow_row(row, len) }
    }

    pub(crate) fn timings(&self) -> Result<llama_perf_context_data, Fault> {
        // SAFETY: all-zero is a valid value of this plain C struct.
        let mut data: llama_perf_context_data = unsafe { std::mem::zeroed() };
        // SAFETY: the context is alive; `data` is a place for the result.
        guarded(unsafe { lk_perf_context(self.as_ptr(), &mut data) })?;
        Ok(data)
    }

    pub(crate) fn reset_timings(&mut self) -> Result<(), Fault> {
        // SAFETY: the context is alive and borrowed mutably.
        guarded(unsafe { lk_perf_context_reset(self.as_ptr()) })
    }

    pub(crate) fn memory_breakdown(&self) -> Result<Vec<MemoryEntry>, Fault> {
        // SAFETY: all-zero is a valid value of this plain C struct.
        let mut entries: Vec<lk_memory_entry> = vec![unsafe { std::mem::zeroed() }; 64];
        let mut count = 0;
        // SAFETY: the context is alive; upstream fills at most the given number of entries.
        guarded(unsafe {
            lk_memory_breakdown(
                self.as_ptr(),
                entries.as_mut_ptr(),
                entries.len(),
                &mut count,
            )
        })?;
        entries.truncate(count);
        Ok(entries
            .into_iter()
            .map(|entry| MemoryEntry {
                // SAFETY: names of buffer types are NUL-terminated and live as long as the process.
                buffer_type: unsafe { CStr::from_ptr(entry.buffer_type) }
                    .to_string_lossy()
                    .into_owned(),
                is_host: entry.is_host,
                model: entry.model as u64,
                context: entry.context as u64,
                compute: entry.compute as u64,
            })
            .collect())
    }

    // Memory. The caller has checked that there is one, the sequence ids and what its kind allows.

    pub(crate) fn memory_clear(&mut self, data: bool) -> Result<(), Fault> {
        // SAFETY: the context is alive and borrowed mutably.
        guarded(unsafe { lk_memory_clear(self.as_ptr(), data) })
    }

    pub(crate) fn memory_seq_rm(&mut self, seq: i32, p0: i32, p1: i32) -> Result<bool, Fault> {
        let mut removed = false;
        // SAFETY: as above.
        guarded(unsafe { lk_memory_seq_rm(self.as_ptr(), seq, p0, p1, &mut removed) })?;
        Ok(removed)
    }

    pub(crate) fn memory_seq_cp(
        &mut self,
        src: i32,
        dst: i32,
        p0: i32,
        p1: i32,
    ) -> Result<(), Fault> {
        // SAFETY: as above.
        guarded(unsafe { lk_memory_seq_cp(self.as_ptr(), src, dst, p0, p1) })
    }

    pub(crate) fn memory_seq_add(
        &mut self,
        seq: i32,
        p0: i32,
        p1: i32,
        delta: i32,
    ) -> Result<(), Fault> {
        // SAFETY: as above.
        guarded(unsafe { lk_memory_seq_add(self.as_ptr(), seq, p0, p1, delta) })
    }

    /// The smallest and largest position in a sequence; both -1 when it is empty.
    pub(crate) fn memory_seq_pos(&self, seq: i32) -> Result<(i32, i32), Fault> {
        let (mut min, mut max) = (-1, -1);
        // SAFETY: as above.
        guarded(unsafe { lk_memory_seq_pos(self.as_ptr(), seq, &mut min, &mut max) })?;
        Ok((min, max))
    }

    // State of one sequence; the caller has checked the sequence id.

    pub(crate) fn state_get(&mut self, seq: i32, flags: u32) -> Result<Vec<u8>, Fault> {
        let mut size = 0;
        // SAFETY: the context is alive and borrowed mutably.
        guarded(unsafe { lk_state_seq_get_size(self.as_ptr(), seq, flags, &mut size) })?;
        let mut data = vec![0_u8; size];
        let mut written = 0;
        // SAFETY: as above; upstream writes at most `size` bytes.
        guarded(unsafe {
            lk_state_seq_get_data(
                self.as_ptr(),
                data.as_mut_ptr(),
                size,
                seq,
                flags,
                &mut written,
            )
        })?;
        data.truncate(written);
        Ok(data)
    }

    /// Restores a sequence; false when upstream refused the bytes.
    pub(crate) fn state_set(
        &mut self,
        seq: i32,
        data: &[u8],
        flags: u32,
    ) -> (Result<bool, Fault>, String) {
        let mut read = 0;
        let (status, text) = log::capture(|| {
            // SAFETY: the context is alive and borrowed mutably; upstream reads at most the
            // slice's length.
            guarded(unsafe {
                lk_state_seq_set_data(
                    self.as_ptr(),
                    data.as_ptr(),
                    data.len(),
                    seq,
                    flags,
                    &mut read,
                )
            })
        });
        (status.map(|()| read > 0), text)
    }

    /// Replaces the attached adapters.
    pub(crate) fn set_adapters(&mut self, adapters: Vec<(Arc<RawAdapter>, f32)>) -> Result<()> {
        let mut pointers: Vec<_> = adapters
            .iter()
            .map(|(adapter, _)| adapter.as_ptr())
            .collect();
        let mut scales: Vec<f32> = adapters.iter().map(|&(_, scale)| scale).collect();
        let mut code = 0;
        // SAFETY: the adapters belong to this context's model (the caller checked) and stay alive:
        // the old ones until the assignment below, the new ones as long as they are attached.
        guarded(unsafe {
            lk_set_adapters_lora(
                self.as_ptr(),
                pointers.as_mut_ptr(),
                pointers.len(),
                scales.as_mut_ptr(),
                &mut code,
            )
        })?;
        if code != 0 {
            return Err(
                Error::new(ErrorKind::Adapter, "upstream refused the adapters").with_code(code),
            );
        }
        self.adapters = adapters.into_iter().map(|(adapter, _)| adapter).collect();
        Ok(())
    }
}

/// Borrows an output row of upstream's.
///
/// # Safety
///
/// `row` must be NULL or point to at least `len` floats that stay unchanged for `'a`.
unsafe fn borrow_row<'a>(row: *mut f32, len: usize) -> Option<&'a [f32]> {
    if row.is_null() {
        return None;
    }
    // SAFETY: upheld by the caller; rows change only through `&mut` methods of the context.
    Some(unsafe { std::slice::from_raw_parts(row, len) })
}
