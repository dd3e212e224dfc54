//! What is answered whole: embeddings, scores, tokens.

use serde::{Deserialize, Serialize};

use super::Prompt;

/// Texts to embed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Embed {
    pub inputs: Vec<String>,
    pub truncate: bool,
    pub normalize: bool,
    pub namespace: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Embedded {
    pub vectors: Vec<Vec<f32>>,
    pub tokens: Vec<u64>,
    pub truncated: Vec<usize>,
}

/// Documents to score.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Rerank {
    pub query: String,
    pub documents: Vec<String>,
    pub namespace: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Reranked {
    pub scores: Vec<f32>,
    pub tokens: Vec<u64>,
}

/// Text to tokenize: a prompt with what the model puts around it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Tokenize {
    pub prompt: Prompt,
    pub add_special: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Tokenized {
    pub tokens: Vec<i32>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Detokenize {
    pub tokens: Vec<i32>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Detokenized {
    pub text: String,
}
