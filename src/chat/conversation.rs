//! All that a template is given.

use serde_json::{Map, Value};

use super::message::{Message, Tool};

/// Whether the model should think before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Thinking {
    /// What the template does when nothing is said about it.
    #[default]
    Default,
    /// Answer at once.
    Off,
    /// Think first.
    On,
    /// Think first, this much.
    Level(ThinkingLevel),
}

/// How much a model should think, where its template knows degrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ThinkingLevel {
    /// `low`
    Low,
    /// `medium`
    Medium,
    /// `high`
    High,
    /// `max`
    Max,
}

impl ThinkingLevel {
    /// The name in templates and in Ollama's API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Max => "max",
        }
    }
}

/// The time that a template sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Seconds since 1970-01-01 00:00:00 UTC.
    pub unix_seconds: i64,
    /// Seconds that the local clock is ahead of UTC.
    pub utc_offset: i32,
}

/// A conversation to be rendered, and how.
///
/// ```
/// use llamakit::chat::{Conversation, Message};
///
/// let conversation = Conversation::new([
///     Message::system("Answer in one word."),
///     Message::user("What color is the sky?"),
/// ]);
/// assert!(conversation.add_generation_prompt);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Conversation {
    /// What was said, oldest first.
    pub messages: Vec<Message>,
    /// What may be called.
    pub tools: Vec<Tool>,
    /// Documents to answer from, for templates that know them.
    pub documents: Vec<Value>,
    /// Whether to think first.
    pub thinking: Thinking,
    /// Whether the text ends where the assistant begins to answer. Default: true.
    pub add_generation_prompt: bool,
    /// Whether the last message, the assistant's, is the beginning of the answer: the text then ends
    /// with its content and nothing ends its turn. Default: false.
    pub continue_last_message: bool,
    /// What the template is told the time is; `None` is now, in UTC.
    pub clock: Option<Clock>,
    /// Further variables of the template; they win over those of the same name.
    pub extra: Map<String, Value>,
}

impl Conversation {
    /// A conversation with the defaults.
    #[must_use]
    pub fn new(messages: impl Into<Vec<Message>>) -> Self {
        Self {
            messages: messages.into(),
            tools: Vec::new(),
            documents: Vec::new(),
            thinking: Thinking::Default,
            add_generation_prompt: true,
            continue_last_message: false,
            clock: None,
            extra: Map::new(),
        }
    }

    /// Sets what may be called.
    #[must_use]
    pub fn tools(mut self, tools: impl Into<Vec<Tool>>) -> Self {
        self.tools = tools.into();
        self
    }

    /// Sets whether to think first.
    #[must_use]
    pub fn thinking(mut self, thinking: Thinking) -> Self {
        self.thinking = thinking;
        self
    }
}
