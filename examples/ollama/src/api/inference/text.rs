//! Requests about texts and tokens, and what comes back.

use serde::{Deserialize, Serialize};

use crate::api::body::or_default;
use crate::api::keep_alive::KeepAlive;

/// `POST /api/tokenize`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
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
#[serde(default)]
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
