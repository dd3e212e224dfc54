//! Messages, tools and calls of tools, as Ollama's API writes them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::body::or_default;

/// A message of a conversation, or of an answer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant` or `tool`.
    #[serde(deserialize_with = "or_default")]
    pub role: String,
    /// What is said.
    #[serde(deserialize_with = "or_default")]
    pub content: String,
    /// What was thought before it was said.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub thinking: String,
    /// Images in base64.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// What is called.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Of a tool's message: which tool.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub tool_name: String,
    /// Of a tool's message: the call that it answers.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub tool_call_id: String,
}

impl Message {
    /// A message of this role.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
            ..Self::default()
        }
    }
}

/// A call of a tool.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct ToolCall {
    /// Tells calls apart.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub id: String,
    /// What is called.
    pub function: CalledFunction,
    /// Clients of other APIs write `function` here; it means nothing.
    #[serde(rename = "type", skip_serializing)]
    pub kind: Option<Value>,
}

/// The function of a call.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct CalledFunction {
    /// The call's place among those of the answer.
    #[serde(deserialize_with = "or_default")]
    pub index: u32,
    /// The tool's name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Its arguments.
    #[serde(deserialize_with = "or_default")]
    pub arguments: Map<String, Value>,
    /// Written by some clients; it means nothing.
    #[serde(skip_serializing)]
    pub description: Option<Value>,
}

impl CalledFunction {
    /// Its arguments as JSON in a text, as other APIs have them.
    pub(crate) fn arguments_text(&self) -> String {
        serde_json::to_string(&self.arguments).unwrap_or_default()
    }
}

/// A token of an answer and how probable it was.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
pub struct Logprob {
    /// Its text.
    pub token: String,
    /// The natural logarithm of its probability.
    pub logprob: f64,
    /// Its bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bytes: Vec<u8>,
    /// The most probable tokens of that place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top_logprobs: Vec<TopLogprob>,
}

/// One of the most probable tokens.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
pub struct TopLogprob {
    /// Its text.
    pub token: String,
    /// The natural logarithm of its probability.
    pub logprob: f64,
    /// Its bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bytes: Vec<u8>,
}

/// Whether and how much to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Think {
    /// Yes or no.
    Switch(bool),
    /// This much.
    Level(ThinkLevel),
}

/// How much to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ThinkLevel {
    /// `low`
    Low,
    /// `medium`
    Medium,
    /// `high`
    High,
    /// `max`
    Max,
}

impl Think {
    /// Whether thinking is asked for.
    #[must_use]
    pub fn is_on(self) -> bool {
        self != Self::Switch(false)
    }
}

impl<'de> Deserialize<'de> for Think {
    fn deserialize<D: serde::Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Reader;
        impl serde::de::Visitor<'_> for Reader {
            type Value = Think;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("true, false, \"low\", \"medium\", \"high\" or \"max\"")
            }

            fn visit_bool<E: serde::de::Error>(self, on: bool) -> Result<Think, E> {
                Ok(Think::Switch(on))
            }

            fn visit_str<E: serde::de::Error>(self, level: &str) -> Result<Think, E> {
                Ok(Think::Level(match level {
                    "low" => ThinkLevel::Low,
                    "medium" => ThinkLevel::Medium,
                    "high" => ThinkLevel::High,
                    "max" => ThinkLevel::Max,
                    // What the original's command line sends for its flag.
                    "true" => return Ok(Think::Switch(true)),
                    "false" => return Ok(Think::Switch(false)),
                    other => {
                        return Err(E::invalid_value(serde::de::Unexpected::Str(other), &self));
                    }
                }))
            }
        }
        json.deserialize_any(Reader)
    }
}

impl Serialize for Think {
    fn serialize<S: serde::Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Switch(on) => json.serialize_bool(*on),
            Self::Level(level) => level.serialize(json),
        }
    }
}
