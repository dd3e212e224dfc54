//! From a model's name to all that is needed to ask it: files, template, options.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use llamakit::chat::{AnswerFormat, ChatTemplate};
use serde_json::{Map, Value};

use super::error::ApiError;
use crate::api::{Message, ModelDetails, Options};
use crate::digest::Digest;
use crate::error::{Error, Kind, shown};
use crate::name::Name;
use crate::scheduler::{Card, Key};
use crate::show::{self, Capability, Fill, Weights};
use crate::store::manifest::media;
use crate::store::{self, Blob, Manifest, Store};

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
    /// The tokens around a gap, where these and not the template are how gaps are filled.
    pub fill: Option<Fill>,
}

/// Of what `show` says that a model can do, that which routes ask for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Can {
    pub complete: bool,
    pub call: bool,
    pub think: bool,
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
    /// What OLLAMA_GO_TEMPLATE says.
    go_template: Option<bool>,
    remembered: Mutex<HashMap<String, Arc<Model>>>,
    /// What show answers, as long as nothing special is asked for.
    shown: Mutex<HashMap<String, Bytes>>,
}

impl Models {
    pub(crate) fn new(store: Store, go_template: Option<bool>) -> Self {
        Self {
            store,
            go_template,
            remembered: Mutex::default(),
            shown: Mutex::default(),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn go_template(&self) -> Option<bool> {
        self.go_template
    }

    /// The model of this name. Reads files: not for threads that serve many.
    pub(crate) fn find(&self, asked: &str) -> Result<Arc<Model>, ApiError> {
        let name = parse_name(asked)?;
        let missing = |error: Error| match error.kind() {
            Kind::NotFound => ApiError::not_found(format!("model '{asked}' not found")),
            _ => error.into(),
        };
        let name = self.store.resolve(&name).map_err(missing)?;
        let id = |digest: &Digest| format!("{digest} {}", name.full());
        let (_, digest) = self.store.manifest(&name).map_err(missing)?;
        if let Some(model) = self.lock().get(&id(&digest)) {
            return Ok(Arc::clone(model));
        }
        let stored = self.store.model(&name).map_err(missing)?;
        let id = id(&stored.digest);
        let model = Arc::new(self.read(&stored)?);
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

    fn read(&self, stored: &store::Model) -> Result<Model, ApiError> {
        let (name, config) = (&stored.name, &stored.config);
        if !config.remote_host.is_empty() {
            return Err(ApiError::bad(format!(
                "model '{name}' runs on {}: models of other hosts are not supported",
                config.remote_host
            )));
        }
        let weights = Weights::open(stored)?;
        let selected = show::select(stored, &weights, self.go_template);
        let format = AnswerFormat::detect(selected.source());
        let mut warnings = selected.warnings.clone();
        let capabilities = show::capabilities(stored, &weights, &selected, &mut warnings);
        for warning in warnings {
            tracing::warn!(%name, warning, "model");
        }
        let can = |capability| capabilities.contains(&capability);
        let messages = serde_json::to_value(&stored.messages);
        let messages = messages.and_then(serde_json::from_value).map_err(|error| {
            ApiError::internal(format!("model '{name}' has damaged messages: {error}"))
        })?;
        let paths = |blobs: &[Blob]| blobs.iter().map(|blob| blob.path.clone()).collect();
        let trained_context = weights.number("context_length").unwrap_or(0);
        Ok(Model {
            key: key_of(&stored.manifest),
            card: Arc::new(Card {
                name: name.to_string(),
                digest: stored.digest.hex(),
                details: ModelDetails {
                    parent_model: String::new(),
                    format: config.model_format.clone(),
                    family: config.model_family.clone(),
                    families: config.model_families.clone(),
                    parameter_size: config.model_type.clone(),
                    quantization_level: config.file_type.clone(),
                },
            }),
            fill: match can(Capability::Insert) {
                true => Fill::read(weights.main()),
                false => None,
            },
            can: Can {
                complete: can(Capability::Completion),
                call: can(Capability::Tools),
                think: can(Capability::Thinking),
            },
            trained_context: u32::try_from(trained_context).unwrap_or(u32::MAX),
            weights: paths(&stored.weights),
            adapters: paths(&stored.adapters),
            draft: paths(&stored.draft),
            template: selected.template,
            format,
            system: stored.system.clone().unwrap_or_default(),
            options: read_options(name, &stored.options)?,
            messages,
            name: stored.name.clone(),
        })
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
            shown(asked, 100)
        )));
    }
    Name::parse(asked).map_err(|error| {
        ApiError::bad(format!(
            "model: invalid model name {:?}: {error}",
            shown(asked, 100)
        ))
    })
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

fn read_options(name: &Name, values: &Map<String, Value>) -> Result<Options, ApiError> {
    let mut unknown = |option: &str| tracing::debug!(%name, option, "unknown parameter of a model");
    Options::read(values, &mut unknown).map_err(|error| {
        ApiError::internal(format!("model '{name}' has damaged parameters: {error}"))
    })
}
