//! The request to make a model, as `POST /api/create` takes it.

use std::collections::BTreeMap;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::digest::Digest;
use crate::error::{Error, Kind, Result, shown};
use crate::modelfile;
use crate::name::Name;
use crate::progress::{Progress, Report};
use crate::store::{Config, or_default};

/// The most files, adapters or drafts of one request.
const MAX_FILES: usize = 10_000;

/// A model to be made. Members that are absent, `null` or empty ask for nothing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Request {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub model: String,
    /// Its name, as older clients send it.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub name: String,
    /// Whether the steps are told one by one, which is the caller's business. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// To what the weights are quantised, such as `q4_K_M`.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub quantize: String,
    /// The same, as older clients send it.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub quantization: String,
    /// To what the weights of the draft model are quantised.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub draft_quantize: String,
    /// The model that it is made from.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub from: String,
    /// The host of a model that runs elsewhere, which is refused.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub remote_host: String,
    /// The files that it is made from: names, and digests of blobs.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub files: BTreeMap<String, String>,
    /// The files of its draft model.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub draft_files: BTreeMap<String, String>,
    /// The file of its adapter.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub adapters: BTreeMap<String, String>,
    /// The template of its prompts, in Go's language.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub template: String,
    /// Its licences: a text or a list of texts.
    #[serde(
        deserialize_with = "one_or_many",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub license: Vec<String>,
    /// What it is told first.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub system: String,
    /// How it is run.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// What every conversation begins with.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// The built-in way to make prompts.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub renderer: String,
    /// The built-in way to read answers.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub parser: String,
    /// The version of Ollama that it needs.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub requires: String,
    /// Settings in place of those that the files tell: `capabilities`, `model_family`, `base_name`,
    /// `quantization_level`, `parameter_size`, `context_length`, `embedding_length`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Map::is_empty")]
    pub info: Map<String, Value>,
}

/// A message that every conversation begins with.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Message {
    /// Who speaks.
    #[serde(deserialize_with = "or_default")]
    pub role: String,
    /// What is said.
    #[serde(deserialize_with = "or_default")]
    pub content: String,
    /// Images, calls of tools and what else there is, as it came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let wrong = || D::Error::custom("license must be a text or a list of texts");
    let text = |value| match value {
        Value::String(text) => Ok(text),
        _ => Err(wrong()),
    };
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![text]),
        Value::Array(values) => values.into_iter().map(text).collect(),
        _ => Err(wrong()),
    }
}

impl Request {
    /// A request for a model of this name that says nothing else.
    #[must_use]
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            ..Self::default()
        }
    }

    /// The model that it is to be made from, which must be in the store before.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when `from` is no name.
    pub fn base(&self) -> Result<Option<Name>> {
        if self.from.is_empty() {
            return Ok(None);
        }
        Name::parse(&self.from)
            .map(Some)
            .map_err(|error| in_field("from", error))
    }

    pub(super) fn quantize(&self) -> &str {
        if self.quantize.is_empty() {
            &self.quantization
        } else {
            &self.quantize
        }
    }

    /// Checks all that can be checked without the store, and gives the name of the new model.
    pub(super) fn check(&self, report: Report<'_>) -> Result<Name> {
        let (field, name) = if self.model.is_empty() && !self.name.is_empty() {
            ("name", &self.name)
        } else {
            ("model", &self.model)
        };
        let name = Name::parse(name).map_err(|error| in_field(field, error))?;
        if !self.remote_host.is_empty() {
            return Err(Error::new(
                Kind::Unsupported,
                "remote_host: models that run elsewhere are not supported",
            ));
        }
        match (self.from.is_empty(), self.files.is_empty()) {
            (true, true) => return Err(invalid("neither 'from' or 'files' was specified")),
            (false, false) => {
                return Err(invalid(
                    "both 'from' and 'files' were specified: a model is made from one",
                ));
            }
            _ => {}
        }
        self.base()?;
        for (field, files) in [
            ("files", &self.files),
            ("adapters", &self.adapters),
            ("draft_files", &self.draft_files),
        ] {
            check_files(field, files)?;
        }
        if !self.draft_quantize.is_empty() && self.draft_files.is_empty() {
            return Err(invalid(
                "draft_quantize: there is no draft model to quantise",
            ));
        }
        if !self.requires.is_empty() {
            modelfile::check_version(&self.requires).map_err(invalid)?;
        }
        for (name, value) in &self.parameters {
            if modelfile::is_deprecated(name) {
                report(Progress::status(format!(
                    "warning: parameter {name} is deprecated"
                )));
            } else {
                modelfile::check_parameter(name, value).map_err(invalid)?;
            }
        }
        for (number, message) in self.messages.iter().enumerate() {
            let roles = ["system", "user", "assistant", "tool"];
            if !roles
                .iter()
                .any(|role| message.role.eq_ignore_ascii_case(role))
            {
                return Err(invalid(format!(
                    "messages[{number}].role must be one of \"system\", \"user\", \"assistant\" or \"tool\""
                )));
            }
        }
        Ok(name)
    }

    /// Puts into the settings what the request says of them.
    pub(super) fn settings(&self, config: &mut Config) -> Result<()> {
        let given = |text: &str, setting: &mut String| {
            if !text.is_empty() {
                text.clone_into(setting);
            }
        };
        given(&self.renderer, &mut config.renderer);
        given(&self.parser, &mut config.parser);
        let requires = self.requires.strip_prefix('v').unwrap_or(&self.requires);
        given(requires, &mut config.requires);
        for (key, value) in &self.info {
            let text = || {
                let text = value.as_str().map(str::to_owned);
                text.ok_or_else(|| invalid(format!("info field {key:?} must be a string")))
            };
            match key.as_str() {
                "model_family" => {
                    config.model_family = text()?;
                    config.model_families = Some(vec![config.model_family.clone()]);
                }
                "quantization_level" => config.file_type = text()?,
                "parameter_size" => config.model_type = text()?,
                "base_name" => {
                    config.other.insert(key.clone(), Value::String(text()?));
                }
                "context_length" | "embedding_length" => {
                    if value.as_u64().is_none() {
                        let message = format!("info field {key:?} must be a non-negative integer");
                        return Err(invalid(message));
                    }
                    config.other.insert(key.clone(), value.clone());
                }
                "capabilities" => {
                    let texts = value.as_array().map(|list| list.iter().map(Value::as_str));
                    let texts: Option<Vec<&str>> = texts.and_then(Iterator::collect);
                    let texts = texts.ok_or_else(|| {
                        invalid("info field \"capabilities\" must be a list of strings")
                    })?;
                    config
                        .capabilities
                        .extend(texts.into_iter().map(str::to_owned));
                }
                _ => return Err(invalid(format!("info has no field {key:?}"))),
            }
        }
        Ok(())
    }
}

/// Names are paths below the folder of the model, and lead nowhere else.
fn check_files(field: &str, files: &BTreeMap<String, String>) -> Result<()> {
    if files.len() > MAX_FILES {
        return Err(invalid(format!(
            "{field} has more than {MAX_FILES} entries"
        )));
    }
    for (path, digest) in files {
        let part = |part: &str| !part.is_empty() && part != "." && part != "..";
        if !path.split('/').all(part) || path.contains(['\\', '\0']) {
            let shown = shown(path, 100);
            return Err(invalid(format!(
                "{field}: file path must be relative: {shown:?}"
            )));
        }
        digest
            .parse::<Digest>()
            .map_err(|error| in_field(&format!("{field}[{path:?}]"), error))?;
    }
    Ok(())
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, message)
}

fn in_field(field: &str, error: Error) -> Error {
    Error::new(error.kind(), format!("{field}: {error}"))
}
