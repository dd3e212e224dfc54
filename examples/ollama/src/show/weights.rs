//! The headers of a model's GGUF files.

use llamakit::gguf::File;

use super::{Tensor, not_gguf};
use crate::error::{Error, Kind, Result};
use crate::store::{Blob, Model};

/// The opened files of a model's weights: one, or several shards.
#[derive(Debug)]
pub struct Weights {
    main: File,
    shards: Vec<File>,
}

impl Weights {
    /// Opens and checks the headers. No weights are read.
    ///
    /// # Errors
    /// [`Kind::Damaged`] with the blob that is no GGUF file; [`Kind::Unsupported`] when there is none.
    pub fn open(model: &Model) -> Result<Self> {
        let (main, shards) = model.weights.split_first().ok_or_else(|| not_gguf(model))?;
        Ok(Self {
            main: open(main)?,
            shards: shards.iter().map(open).collect::<Result<_>>()?,
        })
    }

    /// The file with the metadata.
    #[must_use]
    pub fn main(&self) -> &File {
        &self.main
    }

    /// How many weights there are.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        parameters(self.files())
    }

    /// A key of the architecture: `context_length` for `llama.context_length`.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        let architecture = self.architecture()?;
        self.main.get(&format!("{architecture}.{key}"))?.as_u64()
    }

    /// Whether there is this key of the architecture.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        let architecture = self.architecture();
        architecture.is_some_and(|name| self.main.get(&format!("{name}.{key}")).is_some())
    }

    fn architecture(&self) -> Option<&str> {
        self.main.get("general.architecture")?.as_str()
    }

    fn files(&self) -> impl Iterator<Item = &File> {
        [&self.main].into_iter().chain(&self.shards)
    }

    pub(super) fn tensors(&self) -> Vec<Tensor> {
        let tensors = self.files().flat_map(File::tensors);
        tensors
            .map(|tensor| Tensor {
                name: tensor.name().to_owned(),
                kind: tensor.tensor_type().name().to_uppercase(),
                shape: tensor.dims().to_vec(),
            })
            .collect()
    }
}

pub(super) fn parameters<'a>(files: impl IntoIterator<Item = &'a File>) -> u64 {
    let tensors = files.into_iter().flat_map(File::tensors);
    tensors
        .map(|tensor| tensor.elements())
        .fold(0, u64::saturating_add)
}

/// Opens a blob, whose path no error shows.
pub(super) fn open(blob: &Blob) -> Result<File> {
    File::open(&blob.path).map_err(|error| {
        let why = format!("blob {} can't be used: {}", blob.digest, error.message());
        Error::new(Kind::Damaged, why)
    })
}
