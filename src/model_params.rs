//! How to load a model.

use crate::error::{Error, Result};
use crate::gguf::Overrides;
use crate::runtime::Device;
use crate::sys;

/// How a model is divided among several GPUs (`enum llama_split_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SplitMode {
    /// One GPU holds everything; see [`ModelParams::main_gpu`].
    None,
    /// Whole layers are divided.
    Layer,
    /// Rows of the weight matrices are divided.
    Row,
}

/// How weights come into memory (`enum llama_load_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LoadMode {
    /// Upstream chooses: mapped where that works.
    Auto,
    /// Read into memory of the process. A file that is cut short afterwards does no harm.
    Read,
    /// Mapped: pages come in when touched and are shared with other processes. The file must not
    /// be truncated while the model is in use.
    Map,
    /// Mapped and locked in memory.
    MapLocked,
    /// Read and locked in memory.
    ReadLocked,
    /// Read past the page cache, where the system can.
    DirectIo,
}

/// Parameters of [`Model::load`](crate::Model::load). The defaults are upstream's
/// (`llama_model_default_params`).
#[derive(Debug, Clone)]
pub struct ModelParams {
    gpu_layers: Option<u32>,
    split_mode: SplitMode,
    load_mode: LoadMode,
    main_gpu: u32,
    tensor_split: Vec<f32>,
    devices: Option<Vec<Device>>,
    pub(crate) overrides: Overrides,
    check_tensors: bool,
    pub(crate) vocab_only: bool,
    repack: bool,
    /// Nothing is allocated: contexts tell what they would take, and can't compute.
    pub(crate) plan_only: bool,
}

impl Default for ModelParams {
    fn default() -> Self {
        Self {
            gpu_layers: None,
            split_mode: SplitMode::Layer,
            load_mode: LoadMode::Auto,
            main_gpu: 0,
            tensor_split: Vec::new(),
            devices: None,
            overrides: Overrides::new(),
            check_tensors: false,
            vocab_only: false,
            repack: true,
            plan_only: false,
        }
    }
}

impl ModelParams {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many layers to keep on the GPU; 0 is CPU only. Default: all, where there is a GPU.
    #[must_use]
    pub fn gpu_layers(mut self, layers: u32) -> Self {
        self.gpu_layers = Some(layers);
        self
    }

    /// How to divide the model among GPUs. Default: [`SplitMode::Layer`].
    #[must_use]
    pub fn split_mode(mut self, mode: SplitMode) -> Self {
        self.split_mode = mode;
        self
    }

    /// The GPU of [`SplitMode::None`], counted from 0. Default: 0.
    #[must_use]
    pub fn main_gpu(mut self, index: u32) -> Self {
        self.main_gpu = index;
        self
    }

    /// The share of each GPU, in any unit. Default: by free memory.
    #[must_use]
    pub fn tensor_split(mut self, shares: impl Into<Vec<f32>>) -> Self {
        self.tensor_split = shares.into();
        self
    }

    /// The devices to offload to. Default: all of [`devices`](crate::devices).
    #[must_use]
    pub fn devices(mut self, devices: impl Into<Vec<Device>>) -> Self {
        self.devices = Some(devices.into());
        self
    }

    /// How weights come into memory. Default: [`LoadMode::Auto`].
    #[must_use]
    pub fn load_mode(mut self, mode: LoadMode) -> Self {
        self.load_mode = mode;
        self
    }

    /// Metadata that replaces the file's. Checked together with the file.
    #[must_use]
    pub fn overrides(mut self, overrides: Overrides) -> Self {
        self.overrides = overrides;
        self
    }

    /// Check every weight for impossible values while loading; slow. Default: off.
    #[must_use]
    pub fn check_tensors(mut self, on: bool) -> Self {
        self.check_tensors = on;
        self
    }

    /// Load the vocabulary only: enough to tokenize, not to compute. Default: off.
    #[must_use]
    pub fn vocab_only(mut self, on: bool) -> Self {
        self.vocab_only = on;
        self
    }

    /// Rearrange weights for this CPU where that is faster, at the price of a copy in memory.
    /// Default: on.
    #[must_use]
    pub fn repack(mut self, on: bool) -> Self {
        self.repack = on;
        self
    }

    /// Checks the values and turns them into the raw layer's.
    pub(crate) fn raw(&self) -> Result<sys::RawModelParams> {
        if self.tensor_split.len() > sys::MAX_DEVICES {
            return Err(Error::argument(format!(
                "tensor_split: at most {} shares, not {}",
                sys::MAX_DEVICES,
                self.tensor_split.len()
            )));
        }
        if self
            .tensor_split
            .iter()
            .any(|share| !share.is_finite() || *share < 0.0)
        {
            return Err(Error::argument(
                "tensor_split: shares must be finite and not negative",
            ));
        }
        if self
            .devices
            .as_ref()
            .is_some_and(|devices| devices.len() > sys::MAX_DEVICES)
        {
            return Err(Error::argument(format!(
                "devices: at most {}",
                sys::MAX_DEVICES
            )));
        }
        Ok(sys::RawModelParams {
            gpu_layers: self.gpu_layers,
            split_mode: match self.split_mode {
                SplitMode::None => sys::LLAMA_SPLIT_MODE_NONE,
                SplitMode::Layer => sys::LLAMA_SPLIT_MODE_LAYER,
                SplitMode::Row => sys::LLAMA_SPLIT_MODE_ROW,
            },
            load_mode: match self.load_mode {
                // Upstream plans for weights that are read: nothing is mapped.
                _ if self.plan_only => sys::LLAMA_LOAD_MODE_NONE,
                LoadMode::Auto => sys::LLAMA_LOAD_MODE_AUTO,
                LoadMode::Read => sys::LLAMA_LOAD_MODE_NONE,
                LoadMode::Map => sys::LLAMA_LOAD_MODE_MMAP,
                LoadMode::MapLocked => sys::LLAMA_LOAD_MODE_MMAP_MLOCK,
                LoadMode::ReadLocked => sys::LLAMA_LOAD_MODE_MLOCK,
                LoadMode::DirectIo => sys::LLAMA_LOAD_MODE_DIRECT_IO,
            },
            main_gpu: self.main_gpu,
            tensor_split: self.tensor_split.clone(),
            devices: self
                .devices
                .as_ref()
                .map(|devices| devices.iter().map(|device| device.raw).collect()),
            overrides: self
                .overrides
                .iter()
                .map(|(key, value)| (key.to_owned(), value.clone()))
                .collect(),
            check_tensors: self.check_tensors,
            vocab_only: self.vocab_only,
            use_extra_buffers: self.repack,
            no_alloc: self.plan_only,
        })
    }
}
