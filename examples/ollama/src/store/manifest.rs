//! What a model consists of: the JSON that registries send and stores hold.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::digest::Digest;
use crate::error::{Error, Kind, Result};

/// The longest manifest that is read, in bytes.
pub const MAX_BYTES: u64 = 4 << 20;
/// The most layers that a manifest may have.
pub const MAX_LAYERS: usize = 16_384;
/// The media type of manifests.
pub const MEDIA_TYPE: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// The media types of layers.
pub mod media {
    /// The settings blob.
    pub const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// A GGUF file with weights.
    pub const MODEL: &str = "application/vnd.ollama.image.model";
    /// A GGUF file with a model that guesses for another one.
    pub const DRAFT: &str = "application/vnd.ollama.image.draft";
    /// A GGUF file that changes weights.
    pub const ADAPTER: &str = "application/vnd.ollama.image.adapter";
    /// A GGUF file that turns images or sound into embeddings.
    pub const PROJECTOR: &str = "application/vnd.ollama.image.projector";
    /// A Go template.
    pub const TEMPLATE: &str = "application/vnd.ollama.image.template";
    /// What templates were called at first.
    pub const PROMPT: &str = "application/vnd.ollama.image.prompt";
    /// The system message.
    pub const SYSTEM: &str = "application/vnd.ollama.image.system";
    /// Options as a JSON object.
    pub const PARAMS: &str = "application/vnd.ollama.image.params";
    /// Messages as a JSON list.
    pub const MESSAGES: &str = "application/vnd.ollama.image.messages";
    /// A licence.
    pub const LICENSE: &str = "application/vnd.ollama.image.license";
    /// One tensor of a model that is no GGUF file.
    pub const TENSOR: &str = "application/vnd.ollama.image.tensor";
}

/// One blob of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layer {
    /// What it is, one of [`media`].
    pub media_type: String,
    /// Its name.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// The model that it was taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Members that this program does not know, as they came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Layer {
    /// A layer with nothing but these.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            from: None,
            other: Map::new(),
        }
    }
}

/// A model: its settings and layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u64,
    /// What this JSON is, [`MEDIA_TYPE`].
    #[serde(default)]
    pub media_type: String,
    /// The blob that holds a [`Config`](super::Config).
    pub config: Layer,
    /// The other blobs, in order.
    pub layers: Vec<Layer>,
    /// Members that this program does not know, as they came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Manifest {
    /// A manifest of these blobs.
    #[must_use]
    pub fn new(config: Layer, layers: Vec<Layer>) -> Self {
        Self {
            schema_version: 2,
            media_type: MEDIA_TYPE.to_owned(),
            config,
            layers,
            other: Map::new(),
        }
    }

    /// Reads a manifest and checks all of it: every later use may rely on that.
    ///
    /// # Errors
    /// [`Kind::Damaged`] with what is wrong and where.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let damaged = |why: String| Error::new(Kind::Damaged, format!("invalid manifest: {why}"));
        if bytes.len() as u64 > MAX_BYTES {
            return Err(damaged(format!("it is longer than {MAX_BYTES} bytes")));
        }
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        manifest.check().map_err(damaged)?;
        Ok(manifest)
    }

    /// What [`parse`](Self::parse) demands beyond the types.
    fn check(&self) -> Result<(), String> {
        if self.schema_version != 2 {
            return Err(format!("schemaVersion is {}, not 2", self.schema_version));
        }
        match self.layers.len() {
            0 => return Err("it has no layers".into()),
            n if n > MAX_LAYERS => return Err(format!("it has more than {MAX_LAYERS} layers")),
            _ => {}
        }
        let mut sizes = HashMap::new();
        let mut total: u64 = 0;
        for layer in self.blobs() {
            if layer.media_type.is_empty() {
                return Err(format!("layer {} has no mediaType", layer.digest));
            }
            if *sizes.entry(layer.digest).or_insert(layer.size) != layer.size {
                return Err(format!("layer {} appears with two sizes", layer.digest));
            }
            total = total
                .checked_add(layer.size)
                .filter(|&total| i64::try_from(total).is_ok())
                .ok_or_else(|| format!("the size of layer {} is impossible", layer.digest))?;
        }
        Ok(())
    }

    /// The manifest as it is stored: what Ollama writes, to the byte.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when [`parse`](Self::parse) would refuse it.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let invalid = |why| Error::new(Kind::Invalid, format!("invalid manifest: {why}"));
        self.check().map_err(invalid)?;
        let mut bytes = serde_json::to_vec(self).map_err(|error| invalid(error.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// All layers and, last, the settings.
    pub fn blobs(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().chain([&self.config])
    }

    /// The first layer of a media type.
    #[must_use]
    pub fn layer(&self, media_type: &str) -> Option<&Layer> {
        self.layers
            .iter()
            .find(|layer| layer.media_type == media_type)
    }

    /// All layers of a media type.
    pub fn layers_of<'a>(&'a self, media_type: &'a str) -> impl Iterator<Item = &'a Layer> {
        self.layers
            .iter()
            .filter(move |layer| layer.media_type == media_type)
    }

    /// Bytes of all blobs together, as `list` shows them.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.blobs()
            .map(|layer| layer.size)
            .fold(0, u64::saturating_add)
    }
}
