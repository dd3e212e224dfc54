//! The owner of a LoRA adapter.

use std::fs::File;
use std::ptr::NonNull;
use std::sync::Arc;

use super::bindings::{
    lk_adapter_alora_tokens, lk_adapter_lora_free, lk_adapter_lora_init, llama_adapter_lora,
};
use super::fault::guarded;
use super::log;
use super::model::{RawModel, file_handle};
use crate::error::{Error, ErrorKind, Result};
use crate::token::Token;

/// A loaded adapter. Keeps its model alive: upstream frees a model's adapters with the model.
pub(crate) struct RawAdapter {
    pointer: NonNull<llama_adapter_lora>,
    model: Arc<RawModel>,
}

// SAFETY: the adapter is read-only after loading; loading and freeing take the model's lock.
unsafe impl Send for RawAdapter {}
// SAFETY: as above.
unsafe impl Sync for RawAdapter {}

impl RawAdapter {
    /// Loads an adapter from an open, already validated file.
    pub(crate) fn load(model: &Arc<RawModel>, file: &File) -> Result<Self> {
        let _guard = model.lock();
        let mut pointer = std::ptr::null_mut();
        let (status, text) = log::capture(|| {
            // SAFETY: the model is alive (Arc), the lock excludes context creation and other
            // adapter changes, and the file is open for the whole call.
            guarded(unsafe {
                lk_adapter_lora_init(model.as_ptr(), file_handle(file), &mut pointer)
            })
        });
        status.map_err(|fault| {
            fault
                .into_error(ErrorKind::Adapter, "loading the adapter")
                .with_log(&text)
        })?;
        let pointer = NonNull::new(pointer).ok_or_else(|| {
            Error::new(ErrorKind::Adapter, "upstream refused the adapter").with_log(text)
        })?;
        Ok(Self {
            pointer,
            model: Arc::clone(model),
        })
    }

    /// The tokens that switch an activated-LoRA adapter on; empty for an ordinary one.
    pub(crate) fn invocation_tokens(&self) -> Result<Vec<Token>> {
        let (mut tokens, mut count) = (std::ptr::null(), 0);
        // SAFETY: the adapter is alive; both places are valid.
        guarded(unsafe {
            lk_adapter_alora_tokens(self.pointer.as_ptr(), &mut tokens, &mut count)
        })?;
        if tokens.is_null() || count == 0 {
            return Ok(Vec::new());
        }
        // SAFETY: upstream returned `count` ids that live as long as the adapter.
        let ids = unsafe { std::slice::from_raw_parts(tokens, count as usize) };
        Ok(ids.iter().map(|&id| Token(id)).collect())
    }

    pub(super) fn as_ptr(&self) -> *mut llama_adapter_lora {
        self.pointer.as_ptr()
    }
}

impl Drop for RawAdapter {
    fn drop(&mut self) {
        let _guard = self.model.lock();
        // SAFETY: loaded by `load`, freed once, before its model; contexts hold an Arc of the
        // adapter while it is attached.
        let _ = unsafe { lk_adapter_lora_free(self.pointer.as_ptr()) };
    }
}
