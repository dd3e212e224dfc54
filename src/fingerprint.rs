//! Identifies a model's weights and metadata, so that saved state is never put into another model.

use std::fs::File;
use std::path::PathBuf;

use xxhash_rust::xxh3::Xxh3;

use crate::error::Result;
use crate::gguf;

/// Bytes sampled at the start, middle and end of each tensor. Reading all weights would take as
/// long as loading them.
const SAMPLE: usize = 64;

/// 128 bits over a model's files and overrides. Tells different models apart; it is no protection
/// against somebody who builds a model to collide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(pub(crate) [u8; 16]);

impl Fingerprint {
    /// Hashes header, metadata and tensor list of every file, samples of every tensor, and the
    /// overrides.
    pub(crate) fn of_model(files: &[(PathBuf, File)], overrides: &gguf::Overrides) -> Result<Self> {
        let mut hash = Xxh3::new();
        for (path, file) in files {
            let handle = file
                .try_clone()
                .map_err(|error| crate::Error::io("cannot reopen the model", path, error))?;
            hash_file(&gguf::File::from_file(handle, path)?, &mut hash);
        }
        for (key, value) in overrides.iter() {
            hash.update(format!("{key}={value:?}\0").as_bytes());
        }
        Ok(Self(hash.digest128().to_le_bytes()))
    }

    /// As [`of_model`](Self::of_model), of one open file.
    pub(crate) fn of_file(file: &gguf::File) -> Self {
        let mut hash = Xxh3::new();
        hash_file(file, &mut hash);
        Self(hash.digest128().to_le_bytes())
    }
}

fn hash_file(file: &gguf::File, hash: &mut Xxh3) {
    let bytes = file.bytes();
    let head = usize::try_from(file.data_offset())
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    hash.update(&(bytes.len() as u64).to_le_bytes());
    hash.update(&bytes[..head]);
    for tensor in file.tensors() {
        let data = file.tensor_data(tensor);
        for start in [0, data.len() / 2, data.len().saturating_sub(SAMPLE)] {
            hash.update(&data[start..data.len().min(start + SAMPLE)]);
        }
    }
}
