//! A request to generate text.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request to generate text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Completion {
    /// Tokens before the prompt, of an earlier answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<i32>,
    pub prompt: Prompt,
    pub sampling: Sampling,
    pub num_ctx: Option<u32>,
    pub max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    pub ignore_eos: bool,
    /// Tell log-probabilities, and of so many tokens at each place.
    pub logprobs: Option<u32>,
    pub overflow: Overflow,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraint: Option<Constraint>,
    /// Control tokens whose names are written into the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub special_texts: Vec<String>,
    /// Who asks: prefixes are shared only within a namespace.
    pub namespace: String,
    pub speculate: bool,
    /// Tell the tokens of prompt and answer at the end.
    pub want_tokens: bool,
}

/// What to continue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Prompt {
    /// Text in which names of control tokens become these.
    Text(String),
    Segments(Vec<Piece>),
}

impl Default for Prompt {
    fn default() -> Self {
        Self::Segments(Vec::new())
    }
}

/// A segment of a prompt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Piece {
    /// Its text.
    pub t: String,
    /// Whether a message wrote it, and not the template.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub m: bool,
    /// The group that it is dropped with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub g: Option<u32>,
}

/// What to do with a prompt that is too long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Overflow {
    #[default]
    Refuse,
    /// Drop whole groups, oldest first.
    DropGroups,
    /// As before for the prompt; when the answer fills the window, keep so many tokens at the start and drop
    /// the older half of the rest.
    Shift { keep: u32 },
}

/// How tokens are drawn. What is not given is Ollama's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Sampling {
    pub seed: Option<u64>,
    pub temperature: Option<f32>,
    pub top_k: Option<u32>,
    pub top_p: Option<f32>,
    pub min_p: Option<f32>,
    pub typical_p: Option<f32>,
    /// Tokens looked back at; below 0: the whole context.
    pub repeat_last_n: Option<i32>,
    pub repeat_penalty: Option<f32>,
    pub presence_penalty: Option<f32>,
    pub frequency_penalty: Option<f32>,
    pub mirostat: Option<u8>,
    pub mirostat_tau: Option<f32>,
    pub mirostat_eta: Option<f32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logit_bias: Vec<(i32, f32)>,
}

/// What the answer must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Constraint {
    pub kind: ConstraintKind,
    /// It holds only behind this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConstraintKind {
    JsonObject,
    JsonSchema(Value),
    Lark(String),
}
