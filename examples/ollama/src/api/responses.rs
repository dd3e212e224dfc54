//! Requests of OpenAI's Responses API.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::body::or_default;
use super::keep_alive::KeepAlive;
use super::openai::Reasoning;
use super::options::with_fields;

/// `POST /v1/responses`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ResponsesRequest {
    /// The model.
    #[serde(deserialize_with = "or_default")]
    pub model: String,
    /// What is said: a text, or a list of items.
    pub input: Value,
    /// What the model is told before.
    pub instructions: Option<String>,
    /// Tokens of the answer at most.
    pub max_output_tokens: Option<i64>,
    /// How much to think.
    pub reasoning: Option<Reasoning>,
    /// Temperature; 1 if not given.
    pub temperature: Option<Value>,
    /// The share of probability that is drawn from.
    pub top_p: Option<Value>,
    /// What the answer must be.
    pub text: Option<TextFormat>,
    /// `disabled` or `auto`: whether whole messages may be dropped when the conversation is too long.
    pub truncation: Option<String>,
    /// What may be called.
    #[serde(deserialize_with = "or_default")]
    pub tools: Vec<Value>,
    /// Whether and what must be called.
    pub tool_choice: Option<Value>,
    /// Whether several calls may be made at once.
    pub parallel_tool_calls: Option<bool>,
    /// Whether the answer comes in pieces.
    #[serde(deserialize_with = "or_default")]
    pub stream: bool,
    /// Of how many tokens at each place log-probabilities are told.
    #[serde(deserialize_with = "or_default")]
    pub top_logprobs: i64,
    /// An earlier response to go on from: refused, none is kept.
    pub previous_response_id: Option<String>,
    /// A kept conversation: refused, none is kept.
    pub conversation: Option<Value>,
    /// Whether to answer later: refused.
    #[serde(deserialize_with = "or_default")]
    pub background: bool,
    /// What further to tell: log-probabilities, and nothing else that is here.
    pub include: Option<Value>,
    /// Whether to keep the answer: it changes nothing, none is kept.
    pub store: Option<Value>,
    /// Comes back in the reply.
    pub metadata: Option<Map<String, Value>>,
    /// Who asks: it changes nothing.
    pub user: Option<Value>,
    /// Who asks: it changes nothing.
    pub safety_identifier: Option<Value>,
    /// What the cache may share: it changes nothing.
    pub prompt_cache_key: Option<Value>,
    /// Which machines to use: it changes nothing.
    pub service_tier: Option<Value>,
    /// What the stream tells beside the answer: it changes nothing.
    pub stream_options: Option<Value>,
    /// What clients know about themselves: it changes nothing.
    pub client_metadata: Option<Value>,
    /// Not in OpenAI's API, see [`Options`](super::Options).
    pub options: Option<Map<String, Value>>,
    /// Not in OpenAI's API, see [`Options`](super::Options).
    pub num_ctx: Option<Value>,
    /// Not in OpenAI's API: how long the model stays loaded.
    pub keep_alive: Option<KeepAlive>,
}

impl ResponsesRequest {
    /// The options that its fields stand for.
    pub(crate) fn option_values(&self) -> Map<String, Value> {
        let fields = [
            ("num_predict", self.max_output_tokens.map(Value::from)),
            ("temperature", self.temperature.clone()),
            ("top_p", self.top_p.clone()),
            ("num_ctx", self.num_ctx.clone()),
        ];
        let mut values = with_fields(self.options.as_ref(), fields);
        values
            .entry("temperature")
            .or_insert_with(|| Value::from(1.0));
        values
    }
}

/// What the answer must be.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct TextFormat {
    /// Its format.
    pub format: Option<NamedFormat>,
    /// How long it should be: it changes nothing.
    pub verbosity: Option<Value>,
}

/// A format.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct NamedFormat {
    /// `text`, `json_object` or `json_schema`.
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// It changes nothing: every schema is obeyed strictly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}
