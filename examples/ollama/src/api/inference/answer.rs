//! Requests for answers, and what comes back.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{is_false, is_zero_u64};
use crate::api::body::or_default;
use crate::api::keep_alive::KeepAlive;
use crate::api::message::{Logprob, Message, Think, ToolCall};

/// Adds the fields that requests for answers have in common. (Flattening a struct into another would lose the
/// names of fields in errors.)
macro_rules! answer_request {
    ($(#[$outer:meta])* $type:ident { $($(#[$inner:meta])* $name:ident: $kind:ty,)* }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Default, Deserialize, Serialize)]
        #[serde(default)]
        pub struct $type {
            /// The model.
            #[serde(deserialize_with = "or_default")]
            pub model: String,
            $($(#[$inner])* pub $name: $kind,)*
            /// Whether the answer comes in pieces. Default: true.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub stream: Option<bool>,
            /// `"json"` or a JSON Schema.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub format: Option<Value>,
            /// How long the model stays loaded afterwards.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub keep_alive: Option<KeepAlive>,
            /// See [`Options`](crate::api::Options).
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

    };
}

answer_request! {
    /// `POST /api/generate`
    GenerateRequest {
        /// What to continue or to answer; empty loads or unloads the model.
        #[serde(deserialize_with = "or_default")]
        prompt: String,
        /// The text after the gap that is to be filled.
        #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
        suffix: String,
        /// What the model is told before, instead of what its Modelfile says.
        #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
        system: String,
        /// A Go template instead of the model's.
        #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
        template: String,
        /// The tokens of an earlier reply, to go on with.
        #[serde(skip_serializing_if = "Option::is_none")]
        context: Option<Vec<i32>>,
        /// Whether the prompt goes to the model as it is.
        #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
        raw: bool,
        /// Images in base64.
        #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
        images: Vec<String>,
    }
}

answer_request! {
    /// `POST /api/chat`
    ChatRequest {
        /// The conversation; none loads or unloads the model.
        #[serde(deserialize_with = "or_default")]
        messages: Vec<Message>,
        /// What may be called.
        #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
        tools: Vec<Value>,
    }
}

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

#[allow(clippy::trivially_copy_pass_by_ref)] // The signature is serde's.
fn is_zero(value: &i64) -> bool {
    *value == 0
}
