//! Requests about models and what comes back.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::body::or_default;
use super::inference::{is_false, is_zero_u64};

/// `POST /api/pull` and `POST /api/push`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct TransferRequest {
    /// The model.
    #[serde(deserialize_with = "or_default")]
    pub model: String,
    /// The same, as older clients write it.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub name: String,
    /// Whether the registry may speak plain HTTP or have a certificate that nobody vouches for.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub insecure: bool,
    /// Ignored, as in Ollama.
    #[serde(skip_serializing)]
    pub username: Option<Value>,
    /// Ignored, as in Ollama.
    #[serde(skip_serializing)]
    pub password: Option<Value>,
    /// Whether progress is told. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
}

/// `DELETE /api/delete`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct DeleteRequest {
    /// The model.
    #[serde(deserialize_with = "or_default")]
    pub model: String,
    /// The same, as older clients write it.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub name: String,
}

/// `POST /api/copy`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct CopyRequest {
    /// The model.
    #[serde(deserialize_with = "or_default")]
    pub source: String,
    /// Its further name.
    #[serde(deserialize_with = "or_default")]
    pub destination: String,
}

/// `POST /api/show`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ShowRequest {
    /// The model.
    #[serde(deserialize_with = "or_default")]
    pub model: String,
    /// The same, as older clients write it.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub name: String,
    /// Shown instead of what the Modelfile says.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub system: String,
    /// Ignored, as in Ollama.
    #[serde(skip_serializing)]
    pub template: Option<Value>,
    /// Whether long lists and tensors are shown.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub verbose: bool,
    /// Shown over those of the Modelfile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<Map<String, Value>>,
}

/// What kind of model it is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct ModelDetails {
    /// The model that it was made from.
    pub parent_model: String,
    /// The format of its file.
    pub format: String,
    /// Its architecture.
    pub family: String,
    /// All its architectures.
    pub families: Option<Vec<String>>,
    /// Its number of weights, such as `7.2B`.
    pub parameter_size: String,
    /// The type of its weights, such as `Q4_K_M`.
    pub quantization_level: String,
}

/// A model of `GET /api/tags`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct ListedModel {
    /// Its name.
    pub name: String,
    /// The same.
    pub model: String,
    /// When it was written.
    pub modified_at: String,
    /// Bytes.
    pub size: u64,
    /// Of its manifest: 64 digits.
    pub digest: String,
    /// What kind of model it is.
    pub details: ModelDetails,
}

/// The reply of `GET /api/tags`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct ListResponse {
    /// All models, the one written last first.
    pub models: Vec<ListedModel>,
    /// What is damaged, by name. Not in Ollama's replies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<BrokenModel>,
}

/// A model that can't be read.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct BrokenModel {
    /// What it is called.
    pub name: String,
    /// What is wrong.
    pub error: String,
}

/// A model of `GET /api/ps`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct RunningModel {
    /// Its name.
    pub name: String,
    /// The same.
    pub model: String,
    /// Bytes of memory.
    pub size: u64,
    /// Of its manifest: 64 digits.
    pub digest: String,
    /// What kind of model it is.
    pub details: ModelDetails,
    /// When it is unloaded if nobody asks it anything; a far year: never.
    pub expires_at: String,
    /// Bytes of these on GPUs.
    pub size_vram: u64,
    /// Tokens that each request gets.
    pub context_length: u64,
    /// Bytes by what they are for. Not in Ollama's replies.
    pub memory: MemoryByKind,
    /// `100% CPU` and the like. Not in Ollama's replies.
    pub processor: String,
    /// Why the CPU computes, where it does. Not in Ollama's replies.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub processor_reason: String,
    /// `loading`, `ready` or `stopping`. Not in Ollama's replies.
    pub state: String,
    /// The share of the weights that is loaded, while it is loading. Not in Ollama's replies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<f32>,
    /// Requests that run or wait. Not in Ollama's replies.
    pub requests: u64,
}

/// Bytes of memory by what they are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct MemoryByKind {
    /// Weights.
    pub weights: u64,
    /// KV caches and recurrent states.
    pub context: u64,
    /// Temporary buffers.
    pub compute: u64,
    /// Cached prefixes on the host.
    pub snapshots: u64,
}

impl MemoryByKind {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        [self.weights, self.context, self.compute, self.snapshots]
            .iter()
            .fold(0, |sum, part| sum.saturating_add(*part))
    }
}

/// The reply of `GET /api/ps`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct PsResponse {
    /// The models, the one that leaves last first.
    pub models: Vec<RunningModel>,
    /// Bytes that all models together may take. Not in Ollama's replies.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub memory_budget: u64,
}
