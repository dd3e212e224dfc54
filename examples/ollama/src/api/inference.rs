//! Requests for answers and embeddings, and what comes back.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::body::{from_object, or_default};
use super::keep_alive::KeepAlive;
use super::message::{Logprob, Message, Think, ToolCall};

/// `POST /api/generate`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(remote = "Self", default)]
pub struct GenerateRequest {
    /// The model.
    #[serde(deserialize_with = "or_default")]
    pub model: String,
    /// What to continue or to answer; empty loads or unloads the model.
    #[serde(deserialize_with = "or_default")]
    pub prompt: String,
    /// The text after the gap that is to be filled.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub suffix: String,
    /// What the model is told before, instead of what its Modelfile says.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub system: String,
    /// A Go template instead of the model's.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub template: String,
    /// The tokens of an earlier reply, to go on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Vec<i32>>,
    /// Whether the answer comes in pieces. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Whether the prompt goes to the model as it is.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub raw: bool,
    /// `"json"` or a JSON Schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Value>,
    /// How long the model stays loaded afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
    /// Images in base64.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// See [`Options`](super::Options).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<Map<String, Value>>,
    /// Whether to think first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub think: Option<Think>,
    /// Whether whole messages may be dropped when the prompt is too long. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncate: Option<bool>,
    /// Whether the window moves on when the answer fills it. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shift: Option<bool>,
    /// Whether to tell log-probabilities.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub logprobs: bool,
    /// Of how many tokens at each place.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub top_logprobs: i64,
    /// Whether the prompt is shown and not answered.
    #[serde(
        rename = "_debug_render_only",
        deserialize_with = "or_default",
        skip_serializing_if = "is_false"
    )]
    pub debug_render_only: bool,
}

/// `POST /api/chat`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(remote = "Self", default)]
pub struct ChatRequest {
    /// The model.
    #[serde(deserialize_with = "or_default")]
    pub model: String,
    /// The conversation; none loads or unloads the model.
    #[serde(deserialize_with = "or_default")]
    pub messages: Vec<Message>,
    /// What may be called.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Value>,
    /// Whether the answer comes in pieces. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// `"json"` or a JSON Schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Value>,
    /// How long the model stays loaded afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
    /// See [`Options`](super::Options).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<Map<String, Value>>,
    /// Whether to think first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub think: Option<Think>,
    /// Whether whole messages may be dropped when the prompt is too long. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncate: Option<bool>,
    /// Whether the window moves on when the answer fills it. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shift: Option<bool>,
    /// Whether to tell log-probabilities.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub logprobs: bool,
    /// Of how many tokens at each place.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub top_logprobs: i64,
    /// Whether the prompt is shown and not answered.
    #[serde(
        rename = "_debug_render_only",
        deserialize_with = "or_default",
        skip_serializing_if = "is_false"
    )]
    pub debug_render_only: bool,
}

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
#[serde(remote = "Self", default)]
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
#[serde(remote = "Self", default)]
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

/// `POST /api/tokenize`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(remote = "Self", default)]
pub struct TokenizeRequest {
    /// The model.
    #[serde(deserialize_with = "or_default")]
    pub model: String,
    /// The text.
    #[serde(deserialize_with = "or_default")]
    pub content: String,
    /// Whether the tokens that the model puts around a prompt are added. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_special: Option<bool>,
    /// Whether names of control tokens in the text become these. Default: false.
    #[serde(deserialize_with = "or_default")]
    pub parse_special: bool,
    /// How long the model stays loaded afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
}

/// `POST /api/detokenize`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(remote = "Self", default)]
pub struct DetokenizeRequest {
    /// The model.
    #[serde(deserialize_with = "or_default")]
    pub model: String,
    /// The tokens.
    #[serde(deserialize_with = "or_default")]
    pub tokens: Vec<i32>,
    /// How long the model stays loaded afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
}

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
#[serde(remote = "Self", default)]
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

from_object!(
    GenerateRequest,
    ChatRequest,
    EmbedRequest,
    EmbeddingsRequest,
    TokenizeRequest,
    DetokenizeRequest,
    RerankRequest,
);

/// What an answer took. Times are in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Metrics {
    /// From the request to its end.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub total_duration: u64,
    /// Until the model was ready.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub load_duration: u64,
    /// Tokens of the prompt.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub prompt_eval_count: u64,
    /// Of these, those that had been computed before.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub prompt_cached_count: u64,
    /// Until the first token.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub prompt_eval_duration: u64,
    /// Tokens of the answer.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub eval_count: u64,
    /// From the first token to the end.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub eval_duration: u64,
}

/// What happened to a request that its sender should know. Not in Ollama's replies.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Notes {
    /// What in the request was not understood or not done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Messages that were dropped because the conversation was too long.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub dropped_messages: u64,
    /// Tokens of the prompt before they were dropped.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub prompt_tokens_before: u64,
    /// The seed that tokens were drawn with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// What the prompt was.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct DebugInfo {
    /// Its text.
    pub rendered_template: String,
    /// How many images were in it.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub image_count: u64,
}

/// A piece of the answer of `POST /api/generate`, or all of it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct GenerateResponse {
    /// The model, as it was asked for.
    pub model: String,
    /// When the piece was made.
    pub created_at: String,
    /// What is said.
    pub response: String,
    /// What is thought.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub thinking: String,
    /// Whether it is the last piece.
    pub done: bool,
    /// Why the answer ended.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub done_reason: String,
    /// The tokens of prompt and answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<i32>,
    /// What it took.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// What is called.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// What the prompt was.
    #[serde(rename = "_debug_info", skip_serializing_if = "Option::is_none")]
    pub debug_info: Option<DebugInfo>,
    /// The tokens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<Logprob>,
    /// What the sender should know.
    #[serde(flatten)]
    pub notes: Notes,
}

/// A piece of the answer of `POST /api/chat`, or all of it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct ChatResponse {
    /// The model, as it was asked for.
    pub model: String,
    /// When the piece was made.
    pub created_at: String,
    /// What is said.
    pub message: Message,
    /// Whether it is the last piece.
    pub done: bool,
    /// Why the answer ended.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub done_reason: String,
    /// What the prompt was.
    #[serde(rename = "_debug_info", skip_serializing_if = "Option::is_none")]
    pub debug_info: Option<DebugInfo>,
    /// The tokens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<Logprob>,
    /// What it took.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// What the sender should know.
    #[serde(flatten)]
    pub notes: Notes,
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

/// The reply of `POST /api/tokenize`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct TokenizeResponse {
    /// The model, as it was asked for.
    pub model: String,
    /// The tokens.
    pub tokens: Vec<i32>,
    /// How many there are.
    pub count: usize,
}

/// The reply of `POST /api/detokenize`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct DetokenizeResponse {
    /// The model, as it was asked for.
    pub model: String,
    /// The text.
    pub content: String,
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
pub(super) fn is_false(value: &bool) -> bool {
    !*value
}

#[allow(clippy::trivially_copy_pass_by_ref)] // The signature is serde's.
fn is_zero(value: &i64) -> bool {
    *value == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // The signature is serde's.
fn is_zero_u32(value: &u32) -> bool {
    *value == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // The signature is serde's.
pub(super) fn is_zero_u64(value: &u64) -> bool {
    *value == 0
}
