//! A model as its layers describe it, all but the weights.

use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::manifest::{Layer, media};
use super::{Config, Manifest, Store};
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::name::Name;

/// The longest template, system message, licence, list of options or messages, in bytes.
const MAX_TEXT: u64 = 16 << 20;

/// A message that every conversation with a model begins with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredMessage {
    /// Who says it.
    pub role: String,
    /// What.
    #[serde(default)]
    pub content: String,
    /// Members that this program does not know, as they came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A file that llama.cpp reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Where it is.
    pub path: PathBuf,
    /// What it is called.
    pub digest: Digest,
}

/// A model: what its small layers say, and where the large ones are.
#[derive(Debug, Clone)]
pub struct Model {
    /// Its name in the case in which it is stored.
    pub name: Name,
    /// The digest of its manifest.
    pub digest: Digest,
    /// When its manifest was written.
    pub modified: SystemTime,
    /// Its manifest.
    pub manifest: Manifest,
    /// Its settings.
    pub config: Config,
    /// The weights, all shards of them.
    pub weights: Vec<Blob>,
    /// A model that guesses for this one, all shards of it.
    pub draft: Vec<Blob>,
    /// LoRA adapters.
    pub adapters: Vec<Blob>,
    /// What turns images or sound into embeddings.
    pub projectors: Vec<Blob>,
    /// Its template in Go's language, when it has one beside that in the weights.
    pub template: Option<String>,
    /// Its system message.
    pub system: Option<String>,
    /// Its options.
    pub options: Map<String, Value>,
    /// How its conversations begin.
    pub messages: Vec<StoredMessage>,
    /// Its licences.
    pub licenses: Vec<String>,
}

impl Store {
    /// Reads a model. Large blobs are looked at for their length only.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such model; [`Kind::Damaged`] with the blob that is missing
    /// or not as it should be.
    pub fn model(&self, name: &Name) -> Result<Model> {
        let name = self.resolve(name)?;
        let (manifest, digest) = self.manifest(&name)?;
        let modified = self.modified(&name)?;
        self.layers(name.clone(), digest, modified, manifest)
            .map_err(|error| {
                // The model is there: what its manifest names is missing.
                let kind = match error.kind() {
                    Kind::NotFound => Kind::Damaged,
                    kind => kind,
                };
                Error::new(kind, format!("model '{name}' is damaged: {error}"))
            })
    }

    fn layers(
        &self,
        name: Name,
        digest: Digest,
        modified: SystemTime,
        manifest: Manifest,
    ) -> Result<Model> {
        let mut model = Model {
            name,
            digest,
            modified,
            config: self.config(&manifest)?,
            weights: Vec::new(),
            draft: Vec::new(),
            adapters: Vec::new(),
            projectors: Vec::new(),
            template: None,
            system: None,
            options: Map::new(),
            messages: Vec::new(),
            licenses: Vec::new(),
            manifest: Manifest::new(manifest.config.clone(), Vec::new()),
        };
        for layer in &manifest.layers {
            let large = match layer.media_type.as_str() {
                media::MODEL => &mut model.weights,
                media::DRAFT => &mut model.draft,
                media::ADAPTER => &mut model.adapters,
                media::PROJECTOR => &mut model.projectors,
                small => {
                    match small {
                        media::TEMPLATE | media::PROMPT => {
                            model.template = Some(self.text(layer)?);
                        }
                        media::SYSTEM => model.system = Some(self.text(layer)?),
                        media::PARAMS => model.options = self.json(layer)?.unwrap_or_default(),
                        media::MESSAGES => model.messages = self.json(layer)?.unwrap_or_default(),
                        // Old licences come in other encodings; nothing depends on them.
                        media::LICENSE => {
                            let bytes = self.read_layer(layer, MAX_TEXT)?;
                            let text = String::from_utf8_lossy(&bytes).into_owned();
                            model.licenses.push(text);
                        }
                        _ => {}
                    }
                    continue;
                }
            };
            large.push(Blob {
                path: self.layer(layer)?,
                digest: layer.digest,
            });
        }
        model.manifest = manifest;
        Ok(model)
    }

    fn text(&self, layer: &Layer) -> Result<String> {
        String::from_utf8(self.read_layer(layer, MAX_TEXT)?).map_err(|_| {
            let why = format!("blob {} is not UTF-8", layer.digest);
            Error::new(Kind::Damaged, why)
        })
    }

    /// `null` is what Ollama writes for nothing.
    fn json<T: DeserializeOwned>(&self, layer: &Layer) -> Result<Option<T>> {
        serde_json::from_slice(&self.read_layer(layer, MAX_TEXT)?).map_err(|error| {
            let why = format!("blob {} can't be understood: {error}", layer.digest);
            Error::new(Kind::Damaged, why)
        })
    }
}
