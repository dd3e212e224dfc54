//! What an answer tells while it comes.

use serde::{Deserialize, Serialize};

use super::Failure;

/// What an answer tells, one a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Event {
    /// Text, and the tokens it is of where log-probabilities were asked for.
    #[serde(rename = "t")]
    Text(String),
    #[serde(rename = "l")]
    Token(Box<Token>),
    #[serde(rename = "f")]
    Finished(Box<Finished>),
    #[serde(rename = "e")]
    Failed(Failure),
}

/// A token with its log-probability.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Token {
    /// Text that is certain with it.
    pub text: String,
    pub this: Scored,
    pub top: Vec<Scored>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scored {
    pub bytes: Vec<u8>,
    pub logprob: f32,
}

/// Why an answer ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// The model ended it.
    #[default]
    End,
    /// The value that was asked for is whole.
    Complete,
    /// This text would have come next.
    Stop(String),
    /// As many tokens as were asked for.
    Limit,
    /// The window is full.
    Full,
}

/// The end of an answer. Times are in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Finished {
    pub reason: Reason,
    /// Whether the text is a whole value of the constraint.
    pub complete: Option<bool>,
    pub prompt_tokens: u64,
    pub submitted_tokens: u64,
    pub cached_tokens: u64,
    pub generated_tokens: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped_groups: Vec<u32>,
    pub dropped_tokens: u64,
    pub seed: u64,
    pub drafted_tokens: u64,
    pub accepted_tokens: u64,
    pub queued: u64,
    pub prompt: u64,
    pub generation: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<i32>,
}
