//! Requests of OpenAI's API: chat completions, completions, embeddings.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::body::or_default;
use super::inference::Texts;
use super::keep_alive::KeepAlive;
use super::options::with_fields;

/// Adds the fields that chat completions and completions have in common. (Flattening a struct into another
/// would lose the names of fields in errors.)
macro_rules! completion_request {
    ($(#[$outer:meta])* $type:ident { $($(#[$inner:meta])* $name:ident: $kind:ty,)* }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Default, Deserialize, Serialize)]
        #[serde(default)]
        pub struct $type {
            $($(#[$inner])* pub $name: $kind,)*
            /// The model.
            #[serde(deserialize_with = "or_default")]
            pub model: String,
            /// Whether the answer comes in pieces.
            #[serde(deserialize_with = "or_default")]
            pub stream: bool,
            /// What the stream tells beside the answer.
            pub stream_options: Option<StreamOptions>,
            /// Tokens of the answer at most.
            pub max_tokens: Option<i64>,
            /// How many answers.
            pub n: Option<i64>,
            /// Seed of the random numbers.
            pub seed: Option<Value>,
            /// Texts that end the answer.
            pub stop: Option<Value>,
            /// Temperature; 1 if not given.
            pub temperature: Option<Value>,
            /// The share of probability that is drawn from; 1 if not given.
            pub top_p: Option<Value>,
            /// See [`Options`](super::Options).
            pub frequency_penalty: Option<Value>,
            /// See [`Options`](super::Options).
            pub presence_penalty: Option<Value>,
            /// Added to the logits of tokens.
            pub logit_bias: Option<Map<String, Value>>,
            /// Not in OpenAI's API, see [`Options`](super::Options).
            pub num_ctx: Option<Value>,
            /// Not in OpenAI's API, see [`Options`](super::Options).
            pub top_k: Option<Value>,
            /// Not in OpenAI's API, see [`Options`](super::Options).
            pub min_p: Option<Value>,
            /// Not in OpenAI's API, see [`Options`](super::Options).
            pub repeat_penalty: Option<Value>,
            /// Not in OpenAI's API, see [`Options`](super::Options).
            pub ignore_eos: Option<Value>,
            /// Not in OpenAI's API: all of Ollama's options, which the fields above win over.
            pub options: Option<Map<String, Value>>,
            /// Not in OpenAI's API: how long the model stays loaded.
            pub keep_alive: Option<KeepAlive>,
            /// Not in OpenAI's API: whether whole messages may be dropped when the prompt is too long.
            pub truncate: Option<bool>,
            /// Whether the prompt is shown and not answered.
            #[serde(rename = "_debug_render_only", deserialize_with = "or_default")]
            pub debug_render_only: bool,
            /// Who asks: it changes nothing.
            pub user: Option<Value>,
            /// What the client wants to find again: it changes nothing.
            pub metadata: Option<Value>,
            /// Whether to keep the answer: it changes nothing.
            pub store: Option<Value>,
            /// Which machines to use: it changes nothing.
            pub service_tier: Option<Value>,
            /// What the cache may share: it changes nothing.
            pub prompt_cache_key: Option<Value>,
            /// Who asks: it changes nothing.
            pub safety_identifier: Option<Value>,
        }


        impl $type {
            /// The options that its fields stand for.
            pub(crate) fn option_values(&self) -> Map<String, Value> {
                let mut values = with_fields(self.options.as_ref(), [
                    ("num_predict", self.max_tokens.map(Value::from)),
                    ("seed", self.seed.clone()),
                    ("stop", self.stop.clone()),
                    ("temperature", self.temperature.clone()),
                    ("top_p", self.top_p.clone()),
                    ("frequency_penalty", self.frequency_penalty.clone()),
                    ("presence_penalty", self.presence_penalty.clone()),
                    ("num_ctx", self.num_ctx.clone()),
                    ("top_k", self.top_k.clone()),
                    ("min_p", self.min_p.clone()),
                    ("repeat_penalty", self.repeat_penalty.clone()),
                    ("ignore_eos", self.ignore_eos.clone()),
                ]);
                for name in ["temperature", "top_p"] {
                    values.entry(name).or_insert_with(|| Value::from(1.0));
                }
                values
            }
        }
    };
}

completion_request! {
    /// `POST /v1/chat/completions`
    ChatCompletionRequest {
        /// The conversation.
        #[serde(deserialize_with = "or_default")]
        messages: Vec<ChatMessage>,
        /// What may be called.
        #[serde(deserialize_with = "or_default")]
        tools: Vec<Value>,
        /// Whether and what must be called.
        tool_choice: Option<Value>,
        /// Whether several calls may be made at once.
        parallel_tool_calls: Option<bool>,
        /// What the answer must be.
        response_format: Option<ResponseFormat>,
        /// How much to think.
        reasoning: Option<Reasoning>,
        /// The same.
        reasoning_effort: Option<String>,
        /// Whether to tell log-probabilities.
        #[serde(deserialize_with = "or_default")]
        logprobs: bool,
        /// Of how many tokens at each place.
        #[serde(deserialize_with = "or_default")]
        top_logprobs: i64,
        /// Tokens of the answer at most.
        max_completion_tokens: Option<i64>,
    }
}

completion_request! {
    /// `POST /v1/completions`
    CompletionRequest {
        /// What to continue.
        #[serde(deserialize_with = "or_default")]
        prompt: Texts,
        /// The text after the gap.
        #[serde(deserialize_with = "or_default")]
        suffix: String,
        /// Whether the answer begins with the prompt.
        #[serde(deserialize_with = "or_default")]
        echo: bool,
        /// How many log-probabilities to tell at each place.
        logprobs: Option<i64>,
    }
}

/// A message of a chat completion.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ChatMessage {
    /// Who speaks.
    #[serde(deserialize_with = "or_default")]
    pub role: String,
    /// What is said: a text, or a list of parts.
    pub content: Option<Value>,
    /// What was thought.
    pub reasoning: Option<String>,
    /// The same, as other servers write it.
    pub reasoning_content: Option<String>,
    /// What is called.
    #[serde(deserialize_with = "or_default")]
    pub tool_calls: Vec<ChatToolCall>,
    /// Of a tool's message: which tool.
    pub name: Option<String>,
    /// Of a tool's message: the call that it answers.
    pub tool_call_id: Option<String>,
    /// In answers that are sent back: it changes nothing.
    pub refusal: Option<Value>,
    /// In answers that are sent back: it changes nothing.
    pub annotations: Option<Value>,
    /// In answers that are sent back: it changes nothing.
    pub audio: Option<Value>,
    /// In answers that are sent back: it changes nothing.
    pub function_call: Option<Value>,
}

/// A call in a message.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ChatToolCall {
    /// Tells calls apart.
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    /// Its place, in answers that are sent back.
    pub index: Option<Value>,
    /// Always `function`.
    #[serde(rename = "type")]
    pub kind: Option<Value>,
    /// What is called.
    pub function: ChatFunction,
}

/// The function of a call.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ChatFunction {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Its arguments: a text that holds a JSON object.
    #[serde(deserialize_with = "or_default")]
    pub arguments: String,
}

/// What a stream tells beside the answer.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct StreamOptions {
    /// Whether a last piece tells the tokens.
    #[serde(deserialize_with = "or_default")]
    pub include_usage: bool,
    /// Against guesses by length: it changes nothing.
    pub include_obfuscation: Option<Value>,
}

/// What an answer must be.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ResponseFormat {
    /// `text`, `json_object` or `json_schema`.
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    /// The schema.
    pub json_schema: Option<JsonSchema>,
}

/// A named schema.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct JsonSchema {
    /// The schema.
    pub schema: Option<Value>,
    /// It changes nothing.
    pub name: Option<Value>,
    /// It changes nothing.
    pub description: Option<Value>,
    /// It changes nothing: every schema is obeyed strictly.
    pub strict: Option<Value>,
}

/// How much to think.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Reasoning {
    /// `none`, `minimal`, `low`, `medium`, `high` and so on.
    pub effort: Option<String>,
    /// It changes nothing: thoughts are told whole.
    pub summary: Option<Value>,
    /// It changes nothing: thoughts are told whole.
    pub generate_summary: Option<Value>,
}

/// `POST /v1/embeddings`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct EmbeddingRequest {
    /// The model.
    #[serde(deserialize_with = "or_default")]
    pub model: String,
    /// What to embed.
    #[serde(deserialize_with = "or_default")]
    pub input: Texts,
    /// The first so many numbers of each vector.
    #[serde(deserialize_with = "or_default")]
    pub dimensions: u32,
    /// `float` or `base64`.
    pub encoding_format: Option<String>,
    /// Not in OpenAI's API: whether inputs that are too long are cut.
    pub truncate: Option<bool>,
    /// Not in OpenAI's API: how long the model stays loaded.
    pub keep_alive: Option<KeepAlive>,
    /// Not in OpenAI's API, see [`Options`](super::Options).
    pub options: Option<Map<String, Value>>,
    /// Who asks: it changes nothing.
    pub user: Option<Value>,
}
