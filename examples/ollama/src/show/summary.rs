//! A model in a list, from its settings alone.

use std::time::SystemTime;

use llamakit::gguf::File;
use serde::Serialize;

use super::file_type::file_type_name;
use crate::digest::Digest;
use crate::store::manifest::{Manifest, media};
use crate::store::{Config, Entry, Store};

/// What the settings say of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Details {
    /// The model that its weights were taken from.
    pub parent_model: String,
    /// `gguf`.
    pub format: String,
    /// The architecture of the weights.
    pub family: String,
    /// The architectures of weights and projectors.
    pub families: Option<Vec<String>>,
    /// How many parameters, for instance `8.0B`.
    pub parameter_size: String,
    /// How the weights are quantised, for instance `Q4_K_M`.
    pub quantization_level: String,
}

impl Details {
    /// From settings and manifest.
    #[must_use]
    pub fn new(config: &Config, manifest: &Manifest) -> Self {
        let weights = manifest.layer(media::MODEL);
        Self {
            parent_model: weights
                .and_then(|layer| layer.from.clone())
                .unwrap_or_default(),
            format: config.model_format.clone(),
            family: config.model_family.clone(),
            families: config.model_families.clone(),
            parameter_size: config.model_type.clone(),
            quantization_level: config.file_type.clone(),
        }
    }

    /// Adds what the weights say and the settings do not.
    pub(super) fn complete(&mut self, file: &File) {
        if matches!(self.quantization_level.as_str(), "" | "unknown")
            && let Some(number) = file
                .get("general.file_type")
                .and_then(|value| value.as_u64())
            && let Some(name) = file_type_name(number)
        {
            self.quantization_level = name.to_owned();
        }
    }
}

/// A model as `/api/tags` lists it.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// The same.
    pub model: String,
    /// When its manifest was written.
    #[serde(serialize_with = "super::rfc3339")]
    pub modified_at: SystemTime,
    /// Bytes of all its blobs.
    pub size: u64,
    /// The digits of its manifest's digest.
    #[serde(serialize_with = "digits")]
    pub digest: Digest,
    /// What its settings say; empty when they can't be read.
    pub details: Details,
}

impl Summary {
    /// Reads the settings blob of a listed model.
    #[must_use]
    pub fn read(store: &Store, entry: &Entry) -> Self {
        let name = entry.name.to_string();
        let config = store.config(&entry.manifest).unwrap_or_default();
        Self {
            model: name.clone(),
            name,
            modified_at: entry.modified,
            size: entry.size,
            digest: entry.digest,
            details: Details::new(&config, &entry.manifest),
        }
    }
}

fn digits<S: serde::Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&digest.hex())
}
