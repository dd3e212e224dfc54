//! Requests to rank documents, and what comes back.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{is_false, is_zero_u64};
use crate::api::body::or_default;
use crate::api::keep_alive::KeepAlive;

/// A document to be ranked: a text, or an object with a text.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Document(pub String);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: serde::Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> serde::de::Visitor<'de> for Reader {
            type Value = Document;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text or an object with \"text\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Document, E> {
                Ok(Document(text.to_owned()))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Document, A::Error> {
                let mut text = None;
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "text" => text = Some(map.next_value()?),
                        _ => drop(map.next_value::<serde::de::IgnoredAny>()?),
                    }
                }
                let missing = || serde::de::Error::missing_field("text");
                text.map(Document).ok_or_else(missing)
            }
        }
        json.deserialize_any(Reader)
    }
}

/// `POST /api/rerank` and `POST /v1/rerank`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct RerankRequest {
    /// The model.
    #[serde(deserialize_with = "or_default")]
    pub model: String,
    /// What is looked for.
    #[serde(deserialize_with = "or_default")]
    pub query: String,
    /// What to rank.
    #[serde(deserialize_with = "or_default")]
    pub documents: Vec<Document>,
    /// How many of the best to tell; 0: all.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_zero_u32")]
    pub top_n: u32,
    /// Whether the documents' texts come back.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub return_documents: bool,
    /// How long the model stays loaded afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
    /// See [`Options`](super::Options).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<Map<String, Value>>,
}

/// The reply of `POST /api/rerank`: best first.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct RerankResponse {
    /// The model, as it was asked for.
    pub model: String,
    /// The documents, best first.
    pub results: Vec<Ranked>,
    /// Nanoseconds of all.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub total_duration: u64,
    /// Nanoseconds until the model was ready.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub load_duration: u64,
    /// Tokens of all documents with the query.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub prompt_eval_count: u64,
    /// What in the request was not understood or not done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A document and its score.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Ranked {
    /// Its place in the request.
    pub index: usize,
    /// How well it fits the query.
    pub relevance_score: f32,
    /// Its text, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // The signature is serde's.
fn is_zero_u32(value: &u32) -> bool {
    *value == 0
}
