//! LoRA adapters: small changes to a model's weights, attached to a context.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::gguf;
use crate::model::Model;
use crate::sys;
use crate::token::Token;

/// A LoRA adapter of one model (<https://arxiv.org/abs/2106.09685>).
///
/// A cheap handle that keeps the model alive. [`Context::set_lora_adapters`] attaches it; any
/// number of contexts of the same model can share it.
///
/// [`Context::set_lora_adapters`]: crate::Context::set_lora_adapters
#[derive(Clone)]
pub struct LoraAdapter {
    raw: Arc<sys::RawAdapter>,
    model: Model,
    fingerprint: Fingerprint,
}

impl LoraAdapter {
    /// Loads an adapter from a GGUF file (`llama_adapter_lora_init_from_file_ptr`).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) and
    /// [`ErrorKind::InvalidGguf`](crate::ErrorKind::InvalidGguf) name the file;
    /// [`ErrorKind::Adapter`](crate::ErrorKind::Adapter) carries upstream's log when the adapter
    /// does not fit the model.
    pub fn load(model: &Model, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = gguf::File::open(path)?;
        gguf::validate_adapter(&file)?;
        let handle = file
            .file()
            .ok_or_else(|| Error::argument("the adapter is not in a file"))?;
        let raw =
            sys::RawAdapter::load(model.raw(), handle).map_err(|error| error.with_path(path))?;
        let fingerprint = Fingerprint::of_file(&file);
        Ok(Self {
            raw: Arc::new(raw),
            model: model.clone(),
            fingerprint,
        })
    }

    /// The model it belongs to.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The tokens that switch an activated-LoRA adapter on; empty for an ordinary one
    /// (`llama_adapter_get_alora_invocation_tokens`).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Upstream`](crate::ErrorKind::Upstream) for a failure inside upstream.
    pub fn invocation_tokens(&self) -> Result<Vec<Token>> {
        self.raw.invocation_tokens()
    }

    pub(crate) fn raw(&self) -> &Arc<sys::RawAdapter> {
        &self.raw
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.raw, &other.raw)
    }
}

impl std::fmt::Debug for LoraAdapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoraAdapter")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}
