//! The settings blob of a model.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{Manifest, Store};
use crate::error::{Error, Kind, Result};

/// The longest settings blob that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// What a model says of itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `gguf`.
    #[serde(deserialize_with = "or_default")]
    pub model_format: String,
    /// The architecture of the weights, for instance `llama`.
    #[serde(deserialize_with = "or_default")]
    pub model_family: String,
    /// The architectures of weights and projectors.
    pub model_families: Option<Vec<String>>,
    /// How many parameters, for instance `8.0B`.
    #[serde(deserialize_with = "or_default")]
    pub model_type: String,
    /// How the weights are quantised, for instance `Q4_K_M`.
    #[serde(deserialize_with = "or_default")]
    pub file_type: String,
    /// A renderer that is built in.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub renderer: String,
    /// A parser of answers that is built in.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub parser: String,
    /// The version of Ollama that it needs at least.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub requires: String,
    /// The host of a model that runs elsewhere.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub remote_host: String,
    /// Its name there.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub remote_model: String,
    /// What it can do, where the weights do not say.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// `amd64`; of no meaning.
    #[serde(deserialize_with = "or_default")]
    pub architecture: String,
    /// `linux`; of no meaning.
    #[serde(deserialize_with = "or_default")]
    pub os: String,
    /// The layers, as registries of containers want them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<Value>,
    /// Members that this program does not know, as they came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Ollama writes and reads `null` for what is empty.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Config {
    /// Whether the model runs on another machine, as cloud models do.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        !self.remote_host.is_empty() || !self.remote_model.is_empty()
    }

    /// Reads the settings blob's bytes.
    ///
    /// # Errors
    /// [`Kind::Damaged`] with what is wrong and where.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes)
            .map_err(|error| Error::new(Kind::Damaged, format!("invalid config: {error}")))
    }

    /// The bytes of the settings blob.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when it can't be JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|error| Error::new(Kind::Invalid, format!("invalid config: {error}")))
    }
}

impl Store {
    /// The settings of a model.
    ///
    /// # Errors
    /// [`Kind::NotFound`] or [`Kind::Damaged`] for its blob.
    pub fn config(&self, manifest: &Manifest) -> Result<Config> {
        Config::parse(&self.read_layer(&manifest.config, MAX_BYTES)?)
    }
}
