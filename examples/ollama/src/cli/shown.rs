//! What `/api/show` answers, as far as commands print it.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api::{Message, ModelDetails};
use crate::error::{Error, Kind, Result};
use crate::show::Info;

/// A model. Members that a server leaves out are empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Shown {
    pub(super) license: String,
    pub(super) modelfile: String,
    pub(super) parameters: String,
    pub(super) template: String,
    pub(super) system: String,
    pub(super) details: ModelDetails,
    pub(super) messages: Vec<Message>,
    pub(super) model_info: Map<String, Value>,
    pub(super) projector_info: Option<Map<String, Value>>,
    pub(super) tensors: Vec<Tensor>,
    pub(super) capabilities: Vec<String>,
    pub(super) requires: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Tensor {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) shape: Vec<u64>,
}

impl Shown {
    /// From the store.
    pub(super) fn of(info: &Info) -> Result<Self> {
        let shown = serde_json::to_value(info).and_then(serde_json::from_value);
        shown.map_err(|error| Error::new(Kind::Damaged, error.to_string()))
    }

    /// Whether it can do something.
    pub(super) fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|one| one == capability)
    }
}
