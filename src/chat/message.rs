//! What is said in a conversation: messages, the calls in them, and the tools that may be called.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, `tool`, or another name that the template knows.
    pub role: String,
    /// What is said; it may be empty.
    pub content: String,
    /// What the assistant thought before it said it.
    pub thinking: Option<String>,
    /// What the assistant calls, in order.
    pub tool_calls: Vec<ToolCall>,
    /// Of a tool's message: which tool.
    pub tool_name: Option<String>,
    /// Of a tool's message: the [`ToolCall::id`] that it answers.
    pub tool_call_id: Option<String>,
    /// Further fields, for templates that look for them.
    pub extra: Map<String, Value>,
}

impl Message {
    /// A message of any role.
    #[must_use]
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
            ..Self::default()
        }
    }

    /// What the model is told before the conversation.
    #[must_use]
    pub fn system(content: impl Into<String>) -> Self {
        Self::new("system", content)
    }

    /// What the user says.
    #[must_use]
    pub fn user(content: impl Into<String>) -> Self {
        Self::new("user", content)
    }

    /// What the model said.
    #[must_use]
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new("assistant", content)
    }

    /// What a tool answered.
    #[must_use]
    pub fn tool(name: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            tool_name: Some(name.into()),
            ..Self::new("tool", content)
        }
    }
}

/// A call of a tool, as the model wrote it.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ToolCall {
    /// Tells calls of one conversation apart, where the API or the model has it.
    pub id: Option<String>,
    /// The tool's name.
    pub name: String,
    /// Its arguments by name, in the order in which they were written.
    pub arguments: Map<String, Value>,
}

impl ToolCall {
    /// A call without an id.
    #[must_use]
    pub fn new(name: impl Into<String>, arguments: Map<String, Value>) -> Self {
        Self {
            id: None,
            name: name.into(),
            arguments,
        }
    }
}

/// A tool that the model may call: the JSON object that OpenAI's and Ollama's APIs take,
/// `{"type": "function", "function": {"name": …, "description": …, "parameters": {…}}}`.
///
/// The object is kept as it came, in the order of its keys, because templates print it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    definition: Value,
}

impl Tool {
    /// A function with the JSON Schema of its arguments.
    #[must_use]
    pub fn function(name: &str, description: &str, parameters: Value) -> Self {
        Self {
            definition: serde_json::json!({
                "type": "function",
                "function": {"name": name, "description": description, "parameters": parameters},
            }),
        }
    }

    /// Takes a definition as it is.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) if it has no `function.name`, a text that is
    /// not empty.
    pub fn from_json(definition: Value) -> Result<Self> {
        match definition["function"]["name"].as_str() {
            Some(name) if !name.is_empty() => Ok(Self { definition }),
            _ => Err(Error::argument(
                "a tool must have a text as its function.name",
            )),
        }
    }

    /// The whole definition.
    #[must_use]
    pub fn definition(&self) -> &Value {
        &self.definition
    }

    /// The function's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.definition["function"]["name"].as_str().unwrap_or("")
    }

    /// The JSON Schema of the function's arguments; `Null` where the definition has none.
    #[must_use]
    pub fn parameters(&self) -> &Value {
        &self.definition["function"]["parameters"]
    }
}
