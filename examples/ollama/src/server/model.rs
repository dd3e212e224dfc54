//! From a model's name to all that is needed to ask it: files, template, options.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use llamakit::chat::{AnswerFormat, CallFormat, ChatTemplate};
use llamakit::gguf::{self, ValueRef};
use serde_json::{Map, Value};

use super::error::ApiError;
use crate::api::{Message, ModelDetails, Options};
use crate::error::{Error, Kind};
use crate::name::Name;
use crate::scheduler::{Card, Key};
use crate::store::manifest::media;
use crate::store::{Layer, Manifest, Store};

/// Bytes of a template, a system message, parameters or messages at most.
const TEXT: u64 = 4 << 20;
/// Models that are remembered.
const REMEMBERED: usize = 32;

/// A model of the store.
#[derive(Debug)]
pub(crate) struct Model {
    pub name: Name,
    /// Tells runners apart.
    pub key: Key,
    pub card: Arc<Card>,
    pub weights: Vec<PathBuf>,
    pub adapters: Vec<PathBuf>,
    pub draft: Vec<PathBuf>,
    /// Why there is none, where there is none.
    pub template: Result<ChatTemplate, String>,
    pub format: AnswerFormat,
    pub system: String,
    pub options: Options,
    pub messages: Vec<Message>,
    /// Tokens of the contexts that it was trained with; 0: not known.
    pub trained_context: u32,
    pub can: Can,
    /// The names of the tokens around a gap that is to be filled.
    pub fill: Option<Fill>,
}

/// What a model can do.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Can {
    pub complete: bool,
    pub call: bool,
    pub think: bool,
}

/// Before the prefix, before the suffix, and where the answer begins.
#[derive(Debug, Clone)]
pub(crate) struct Fill {
    pub prefix: String,
    pub suffix: String,
    pub middle: String,
}

impl Model {
    /// The source of its template.
    pub(crate) fn source(&self) -> &str {
        self.template.as_ref().map_or("", ChatTemplate::source)
    }
}

/// Finds models, and remembers what it read of them.
#[derive(Debug)]
pub(crate) struct Models {
    store: Store,
    go_templates: bool,
    remembered: Mutex<HashMap<String, Arc<Model>>>,
    /// What show answers, as long as nothing special is asked for.
    shown: Mutex<HashMap<String, Bytes>>,
}

impl Models {
    pub(crate) fn new(store: Store, go_templates: bool) -> Self {
        Self {
            store,
            go_templates,
            remembered: Mutex::default(),
            shown: Mutex::default(),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn go_templates(&self) -> bool {
        self.go_templates
    }

    /// The model of this name. Reads files: not for threads that serve many.
    pub(crate) fn find(&self, asked: &str) -> Result<Arc<Model>, ApiError> {
        let name = parse_name(asked)?;
        let missing = |error: Error| match error.kind() {
            Kind::NotFound => ApiError::not_found(format!("model '{asked}' not found")),
            _ => error.into(),
        };
        let name = self.store.resolve(&name).map_err(missing)?;
        let (manifest, digest) = self.store.manifest(&name).map_err(missing)?;
        let id = format!("{digest} {}", name.full());
        if let Some(model) = self.lock().get(&id) {
            return Ok(Arc::clone(model));
        }
        let model = Arc::new(self.read(name, &manifest, digest.hex())?);
        let mut remembered = self.lock();
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(id, Arc::clone(&model));
        Ok(model)
    }

    /// What show answers for a model: its name, the digest of its manifest and when this was written say all
    /// that can change. Reads files.
    pub(crate) fn shown(
        &self,
        name: &Name,
        make: impl FnOnce() -> Result<Bytes, ApiError>,
    ) -> Result<Bytes, ApiError> {
        let (_, digest) = self.store.manifest(name)?;
        let written = self.store.modified(name)?;
        let id = format!("{digest} {written:?} {}", name.full());
        let lock = || self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shown) = lock().get(&id) {
            return Ok(shown.clone());
        }
        let made = make()?;
        let mut shown = lock();
        if shown.len() >= REMEMBERED {
            shown.clear();
        }
        shown.insert(id, made.clone());
        Ok(made)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Model>>> {
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, name: Name, manifest: &Manifest, digest: String) -> Result<Model, ApiError> {
        let store = &self.store;
        let config = store.config(manifest)?;
        if !config.remote_host.is_empty() {
            return Err(ApiError::bad(format!(
                "model '{name}' runs on {}: models of other hosts are not supported",
                config.remote_host
            )));
        }
        let paths = |kind: &'static str| -> Result<Vec<PathBuf>, Error> {
            manifest
                .layers_of(kind)
                .map(|layer| store.layer(layer))
                .collect()
        };
        let weights = paths(media::MODEL)?;
        let Some(first) = weights.first() else {
            return Err(ApiError::internal(format!("model '{name}' has no weights")));
        };
        let file = gguf::File::open(first)
            .map_err(|error| ApiError::internal(format!("model '{name}': {}", error.message())))?;
        let text = |kind: &'static str| -> Result<Option<String>, Error> {
            manifest
                .layer(kind)
                .map(|layer| read_text(store, layer))
                .transpose()
        };
        let go = text(media::TEMPLATE)?.or(text(media::PROMPT)?);
        let template = self.template(go.as_deref(), &file);
        let source = template.as_ref().map_or("", ChatTemplate::source);
        let format = AnswerFormat::detect(source);
        let architecture = file.find::<&str>("general.architecture").ok().flatten();
        let architecture = architecture.unwrap_or_default();
        let number = |name: &str| {
            let value = file.get(&format!("{architecture}.{name}"));
            value
                .and_then(|value: ValueRef<'_>| value.as_u64())
                .unwrap_or(0)
        };
        let embeds = file.get(&format!("{architecture}.pooling_type")).is_some();
        let harmony = *format.calls() == CallFormat::Harmony;
        let can = Can {
            complete: !embeds,
            call: *format.calls() != CallFormat::None,
            think: harmony || !format.thinking_tags().is_empty(),
        };
        let options = match text(media::PARAMS)? {
            None => Options::default(),
            Some(json) => read_options(&name, &json)?,
        };
        let messages = match text(media::MESSAGES)? {
            None => Vec::new(),
            Some(json) => serde_json::from_str(&json).map_err(|error| {
                ApiError::internal(format!("model '{name}' has damaged messages: {error}"))
            })?,
        };
        let details = ModelDetails {
            parent_model: String::new(),
            format: config.model_format.clone(),
            family: config.model_family.clone(),
            families: config.model_families.clone(),
            parameter_size: config.model_type.clone(),
            quantization_level: config.file_type.clone(),
        };
        Ok(Model {
            key: key_of(manifest),
            card: Arc::new(Card {
                name: name.to_string(),
                digest,
                details,
            }),
            fill: fill(&file),
            trained_context: u32::try_from(number("context_length")).unwrap_or(u32::MAX),
            adapters: paths(media::ADAPTER)?,
            draft: paths(media::DRAFT)?,
            system: text(media::SYSTEM)?.unwrap_or_default(),
            name,
            weights,
            template,
            format,
            options,
            messages,
            can,
        })
    }

    fn template(&self, go: Option<&str>, file: &gguf::File) -> Result<ChatTemplate, String> {
        let written = |error: llamakit::Error| error.message().to_owned();
        match go.filter(|_| self.go_templates) {
            Some(source) => ChatTemplate::go(source).map_err(written),
            None => match ChatTemplate::from_gguf(file) {
                Ok(template) => Ok(template),
                // What Ollama does for a model without a template.
                Err(error) if error.kind() == llamakit::ErrorKind::Unsupported => {
                    ChatTemplate::go("{{ .Prompt }}").map_err(written)
                }
                Err(error) => Err(written(error)),
            },
        }
    }
}

/// Reads a model's name as a request has it.
pub(crate) fn parse_name(asked: &str) -> Result<Name, ApiError> {
    if asked.is_empty() {
        return Err(ApiError::bad("model is required"));
    }
    let base = asked.rsplit('/').next().unwrap_or(asked);
    if base.ends_with(":cloud") || base.ends_with("-cloud") {
        return Err(ApiError::bad(format!(
            "model {:?}: models of ollama.com's cloud are not supported",
            shown(asked)
        )));
    }
    Name::parse(asked).map_err(|error| {
        ApiError::bad(format!(
            "model: invalid model name {:?}: {error}",
            shown(asked)
        ))
    })
}

/// A name that may be as long as a body.
pub(crate) fn shown(name: &str) -> String {
    name.chars().take(100).collect()
}

/// What tells the runner of this model from others: weights, and what is put on them.
pub(crate) fn key_of(manifest: &Manifest) -> Key {
    let mut key = String::new();
    for kind in [media::MODEL, media::ADAPTER, media::DRAFT] {
        for layer in manifest.layers_of(kind) {
            key.push_str(&layer.digest.hex());
            key.push('+');
        }
        key.push('/');
    }
    key.into()
}

fn read_text(store: &Store, layer: &Layer) -> Result<String, Error> {
    let bytes = store.read_layer(layer, TEXT)?;
    String::from_utf8(bytes)
        .map_err(|_| Error::new(Kind::Damaged, format!("blob {} is not UTF-8", layer.digest)))
}

fn read_options(name: &Name, json: &str) -> Result<Options, ApiError> {
    let damaged =
        |why: String| ApiError::internal(format!("model '{name}' has damaged parameters: {why}"));
    let values: Map<String, Value> =
        serde_json::from_str(json).map_err(|error| damaged(error.to_string()))?;
    let mut unknown = |option: &str| tracing::debug!(%name, option, "unknown parameter of a model");
    Options::read(&values, &mut unknown).map_err(|error| damaged(error.to_string()))
}

/// The names of the tokens around a gap, where the vocabulary has them.
fn fill(file: &gguf::File) -> Option<Fill> {
    let tokens = match file.get("tokenizer.ggml.tokens") {
        Some(ValueRef::Array(array)) => array,
        _ => return None,
    };
    let id = |names: &[&str]| {
        let named = |name: &&str| {
            file.get(&format!("tokenizer.ggml.{name}_token_id"))?
                .as_u64()
        };
        names.iter().find_map(named)
    };
    let token = |names: &[&str]| {
        let id = usize::try_from(id(names)?).ok()?;
        let text = tokens.strings()?.nth(id)?;
        std::str::from_utf8(text).ok().map(str::to_owned)
    };
    Some(Fill {
        prefix: token(&["fim_pre", "prefix"])?,
        suffix: token(&["fim_suf", "suffix"])?,
        middle: token(&["fim_mid", "middle"])?,
    })
}
