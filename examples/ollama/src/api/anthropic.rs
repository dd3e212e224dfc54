//! Requests of Anthropic's API: messages, and how many tokens they have.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::body::or_default;
use super::keep_alive::KeepAlive;
use super::options::with_fields;

/// `POST /v1/messages` and `POST /v1/messages/count_tokens`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct MessagesRequest {
    /// The model.
    #[serde(deserialize_with = "or_default")]
    pub model: String,
    /// Tokens of the answer at most.
    pub max_tokens: Option<i64>,
    /// The conversation.
    #[serde(deserialize_with = "or_default")]
    pub messages: Vec<MessageParam>,
    /// What the model is told before: a text, or a list of blocks.
    pub system: Option<Value>,
    /// Whether the answer comes in pieces.
    #[serde(deserialize_with = "or_default")]
    pub stream: bool,
    /// Temperature.
    pub temperature: Option<Value>,
    /// The share of probability that is drawn from.
    pub top_p: Option<Value>,
    /// How many of the most probable tokens are drawn from.
    pub top_k: Option<Value>,
    /// Texts that end the answer.
    pub stop_sequences: Option<Value>,
    /// What may be called.
    #[serde(deserialize_with = "or_default")]
    pub tools: Vec<ToolParam>,
    /// Whether and what must be called.
    pub tool_choice: Option<ToolChoiceParam>,
    /// Whether to think.
    pub thinking: Option<ThinkingParam>,
    /// How much to think.
    pub output_config: Option<OutputConfig>,
    /// It changes nothing.
    pub metadata: Option<Value>,
    /// It changes nothing.
    pub service_tier: Option<Value>,
    /// Where a prefix ends that may be cached: it changes nothing, all are.
    pub cache_control: Option<Value>,
    /// It changes nothing.
    pub betas: Option<Value>,
    /// Not in Anthropic's API, see [`Options`](super::Options).
    pub num_ctx: Option<Value>,
    /// Not in Anthropic's API, see [`Options`](super::Options).
    pub options: Option<Map<String, Value>>,
    /// Not in Anthropic's API: how long the model stays loaded.
    pub keep_alive: Option<KeepAlive>,
    /// Not in Anthropic's API: whether whole messages may be dropped when the prompt is too long.
    pub truncate: Option<bool>,
}

impl MessagesRequest {
    /// The options that its fields stand for.
    pub(crate) fn option_values(&self) -> Map<String, Value> {
        let fields = [
            ("num_predict", self.max_tokens.map(Value::from)),
            ("stop", self.stop_sequences.clone()),
            ("temperature", self.temperature.clone()),
            ("top_p", self.top_p.clone()),
            ("top_k", self.top_k.clone()),
            ("num_ctx", self.num_ctx.clone()),
        ];
        with_fields(self.options.as_ref(), fields)
    }
}

/// A message.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct MessageParam {
    /// `user` or `assistant`.
    #[serde(deserialize_with = "or_default")]
    pub role: String,
    /// What is said: a text, or a list of blocks.
    pub content: Value,
}

/// A tool.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ToolParam {
    /// `custom`, or a tool of the service's own.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// The JSON Schema of its arguments.
    pub input_schema: Option<Value>,
    /// It changes nothing.
    pub cache_control: Option<Value>,
    /// It changes nothing: required arguments are obeyed strictly.
    pub strict: Option<Value>,
    /// Of tools of the service's own.
    pub max_uses: Option<Value>,
}

/// Whether and what must be called.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ToolChoiceParam {
    /// `auto`, `any`, `tool` or `none`.
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    /// The tool.
    pub name: Option<String>,
    /// Whether only one call may be made.
    #[serde(deserialize_with = "or_default")]
    pub disable_parallel_tool_use: bool,
}

/// Whether to think.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ThinkingParam {
    /// `enabled`, `adaptive` or `disabled`.
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    /// It changes nothing: `max_tokens` bounds thoughts and answer together.
    pub budget_tokens: Option<Value>,
    /// It changes nothing: thoughts are told whole.
    pub display: Option<Value>,
}

/// How much to think.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct OutputConfig {
    /// `low`, `medium`, `high`, `xhigh` or `max`.
    pub effort: Option<String>,
    /// What the answer must be.
    pub format: Option<Value>,
}
