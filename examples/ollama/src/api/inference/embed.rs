//! Requests for embeddings, and what comes back.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::is_zero_u64;
use crate::api::body::or_default;
use crate::api::keep_alive::KeepAlive;

/// One or several texts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Texts {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Texts {
    /// As a list. An empty text alone is no text.
    #[must_use]
    pub fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) if text.is_empty() => Vec::new(),
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

impl Default for Texts {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: serde::Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> serde::de::Visitor<'de> for Reader {
            type Value = Texts;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts::One(text.to_owned()))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, seq: A) -> Result<Texts, A::Error> {
                let list = serde::de::value::SeqAccessDeserializer::new(seq);
                Ok(Texts::Many(Vec::deserialize(list)?))
            }
        }
        json.deserialize_any(Reader)
    }
}

/// `POST /api/embed`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct EmbedRequest {
    /// The model.
    #[serde(deserialize_with = "or_default")]
    pub model: String,
    /// What to embed.
    #[serde(deserialize_with = "or_default")]
    pub input: Texts,
    /// Whether inputs that are too long are cut. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncate: Option<bool>,
    /// The first so many numbers of each vector, scaled to length 1 again; 0: all.
    #[serde(deserialize_with = "or_default")]
    pub dimensions: u32,
    /// How long the model stays loaded afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
    /// See [`Options`](super::Options).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<Map<String, Value>>,
}

/// `POST /api/embeddings`, the older form.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct EmbeddingsRequest {
    /// The model.
    #[serde(deserialize_with = "or_default")]
    pub model: String,
    /// What to embed.
    #[serde(deserialize_with = "or_default")]
    pub prompt: String,
    /// How long the model stays loaded afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
    /// See [`Options`](super::Options).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<Map<String, Value>>,
}

/// The reply of `POST /api/embed`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct EmbedResponse {
    /// The model, as it was asked for.
    pub model: String,
    /// One vector per input.
    pub embeddings: Vec<Vec<f32>>,
    /// Nanoseconds of all.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub total_duration: u64,
    /// Nanoseconds until the model was ready.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub load_duration: u64,
    /// Tokens of all inputs.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub prompt_eval_count: u64,
    /// Inputs that were cut because they were too long.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub truncated: Vec<usize>,
    /// What in the request was not understood or not done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The reply of `POST /api/embeddings`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct EmbeddingsResponse {
    /// The vector.
    pub embedding: Vec<f32>,
    /// What in the request was not understood or not done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}
