//! What a model is: everything that `ollama show` and `/api/show` tell, from headers alone.

mod capabilities;
mod file_type;
mod fill;
mod go;
mod metadata;
mod summary;
mod template;
mod weights;

use std::time::SystemTime;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

pub use capabilities::{Capability, capabilities};
pub use file_type::file_type_name;
pub(crate) use fill::Fill;
pub use summary::{Details, Summary};
pub(crate) use template::fills;
pub use template::{Selected, select};
pub use weights::Weights;

use crate::error::{Error, Kind, Result};
use crate::modelfile::Stored;
use crate::name::Name;
use crate::store::{Blob, Model, Store, StoredMessage};

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Whether arrays of the metadata are told, which can be as long as the vocabulary.
    pub verbose: bool,
    /// A system message in place of the model's.
    pub system: Option<String>,
    /// Options that the Modelfile is to have beside the model's.
    pub options: Map<String, Value>,
    /// What OLLAMA_GO_TEMPLATE says.
    pub go_template: Option<bool>,
}

/// One tensor of the weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// How it is stored, for instance `Q4_K`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its dimensions, row length first.
    pub shape: Vec<u64>,
}

/// What `/api/show` answers, member by member.
#[derive(Debug, Clone, Serialize)]
pub struct Info {
    /// The licences.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub license: String,
    /// A Modelfile that makes this model.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub modelfile: String,
    /// The options, one a line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parameters: String,
    /// The template that is used.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub template: String,
    /// The system message.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub system: String,
    /// What the settings say.
    pub details: Details,
    /// How conversations begin.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<StoredMessage>,
    /// The metadata of the weights, sorted by key.
    pub model_info: Map<String, Value>,
    /// The metadata of the projector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projector_info: Option<Map<String, Value>>,
    /// The tensors of the weights.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<Tensor>,
    /// What it can do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Capability>,
    /// When its manifest was written.
    #[serde(serialize_with = "rfc3339")]
    pub modified_at: SystemTime,
    /// The version of Ollama that it needs at least.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub requires: String,
    /// What is wrong with it without keeping it from being shown; no member of the answer.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

impl Info {
    /// Everything about a model but the arrays of its metadata.
    ///
    /// # Errors
    /// As [`read_with`](Self::read_with).
    pub fn read(store: &Store, name: &Name) -> Result<Self> {
        Self::read_with(store, name, &View::default())
    }

    /// Everything about a model that is asked for.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such model; [`Kind::Damaged`] with the blob that is missing
    /// or not as it should be; [`Kind::Unsupported`] when its weights are no GGUF file.
    pub fn read_with(store: &Store, name: &Name, view: &View) -> Result<Self> {
        let mut model = store.model(name)?;
        let weights = Weights::open(&model)?;
        let selected = select(&model, &weights, view.go_template);
        if let Some(system) = &view.system {
            model.system = Some(system.clone());
        }
        let file = weights.main();
        let mut model_info = metadata::to_json(file, view.verbose);
        model_info.insert(
            "general.parameter_count".into(),
            weights.parameters().into(),
        );
        model_info.sort_keys();
        model_info.shift_remove("general.name");
        model_info.shift_remove("tokenizer.chat_template");
        let projector = model.projectors.first().map(weights::open);
        let projector_info = projector.transpose()?.map(|file| {
            let mut info = metadata::to_json(&file, view.verbose);
            let parameters = weights::parameters([&file]);
            info.insert("general.parameter_count".into(), parameters.into());
            info.sort_keys();
            info
        });
        let mut details = Details::new(&model.config, &model.manifest);
        details.complete(file);
        let mut warnings = selected.warnings.clone();
        let capabilities = capabilities(&model, &weights, &selected, &mut warnings);
        Ok(Self {
            license: model.licenses.join("\n"),
            parameters: parameters(&model.options),
            template: selected.source().to_owned(),
            modelfile: modelfile(&model, &view.options),
            system: model.system.unwrap_or_default(),
            details,
            messages: model.messages,
            model_info,
            projector_info,
            tensors: weights.tensors(),
            capabilities,
            modified_at: model.modified,
            requires: model.config.requires,
            warnings,
        })
    }

    /// The metadata as `show --verbose` lists it: each key with its value, long arrays cut.
    ///
    /// # Errors
    /// As [`read_with`](Self::read_with).
    pub fn metadata_lines(store: &Store, name: &Name) -> Result<Vec<(String, String)>> {
        let weights = Weights::open(&store.model(name)?)?;
        let mut lines = metadata::to_lines(weights.main());
        let count = go::number(weights.parameters() as f64);
        lines.retain(|(key, _)| key != "general.parameter_count");
        lines.push(("general.parameter_count".to_owned(), count));
        Ok(worth_a_line(lines))
    }

    /// The same from what a server answers.
    #[must_use]
    pub fn metadata_lines_of(model_info: &Map<String, Value>) -> Vec<(String, String)> {
        let lines = model_info.iter();
        let lines = lines.map(|(key, value)| (key.clone(), metadata::text_of(value)));
        worth_a_line(lines.collect())
    }
}

/// Sorted, without what is shown elsewhere or fills the screen.
fn worth_a_line(mut lines: Vec<(String, String)>) -> Vec<(String, String)> {
    lines.retain(|(key, _)| !["general.name", "tokenizer.chat_template"].contains(&key.as_str()));
    lines.sort();
    lines
}

/// The options, one a line, as Ollama lists them.
fn parameters(options: &Map<String, Value>) -> String {
    let line = |key: &str, value: &Value| format!("{key:<30} {}", go::syntax(value));
    let lines: Vec<String> = options
        .iter()
        .flat_map(|(key, value)| match value {
            Value::Array(values) => values.iter().map(|value| line(key, value)).collect(),
            value => vec![line(key, value)],
        })
        .collect();
    lines.join("\n")
}

fn modelfile(model: &Model, options: &Map<String, Value>) -> String {
    let paths = |blobs: &[Blob]| -> Vec<String> {
        blobs
            .iter()
            .map(|blob| blob.path.display().to_string())
            .collect()
    };
    fn given(text: &str) -> Option<&str> {
        (!text.is_empty()).then_some(text)
    }
    let messages = model.messages.iter();
    let mut parameters = model.options.clone();
    parameters.extend(options.clone());
    Stored {
        name: model.name.to_string(),
        files: [paths(&model.weights), paths(&model.projectors)].concat(),
        adapters: paths(&model.adapters),
        drafts: paths(&model.draft),
        template: model.template.as_deref(),
        system: model.system.as_deref().and_then(given),
        renderer: given(&model.config.renderer),
        parser: given(&model.config.parser),
        requires: given(&model.config.requires),
        parameters,
        licenses: model.licenses.clone(),
        messages: messages
            .map(|message| (message.role.clone(), message.content.clone()))
            .collect(),
    }
    .to_modelfile()
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_nanos(*time))
}

fn not_gguf(model: &Model) -> Error {
    let (name, config) = (&model.name, &model.config);
    let why = match config.model_format.as_str() {
        _ if config.is_remote() => "runs in the cloud; this program runs models here".to_owned(),
        "" | "gguf" => "has no weights".to_owned(),
        format => format!("has the format {format}; this program runs GGUF files"),
    };
    Error::new(Kind::Unsupported, format!("model '{name}' {why}"))
}
