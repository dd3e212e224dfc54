//! What an answer consists of.

use std::fmt;

use crate::chat::message::{Message, ToolCall};

/// A piece of an answer, in the order of the text.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AnswerPart {
    /// What is said.
    Content(String),
    /// What is thought before.
    Thinking(String),
    /// A tool to be called.
    ToolCall(ToolCall),
    /// What was to be a call and cannot be made.
    Malformed {
        /// The text as the model wrote it.
        text: String,
        /// What is wrong with it.
        error: CallError,
    },
    /// Text that is none of the above: markers, the whitespace around them, and the text of a call
    /// just before its [`AnswerPart::ToolCall`]. Given out only after
    /// [`AnswerParser::keep_markup`](super::AnswerParser::keep_markup).
    Markup(String),
}

impl AnswerPart {
    /// The piece of the answer's text that the part stands for; of a call, whose text is markup,
    /// none.
    ///
    /// With markup kept, these texts one after the other are the answer.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Content(text) | Self::Thinking(text) | Self::Markup(text) => text,
            Self::Malformed { text, .. } => text,
            Self::ToolCall(_) => "",
        }
    }

    /// Adds a part to a list: to its last part where both are content, thinking or markup.
    ///
    /// Parts that were added one by one are equal however the text was cut into pieces.
    pub fn merge(parts: &mut Vec<Self>, part: Self) {
        match (parts.last_mut(), &part) {
            (Some(Self::Content(last)), Self::Content(text))
            | (Some(Self::Thinking(last)), Self::Thinking(text))
            | (Some(Self::Markup(last)), Self::Markup(text)) => last.push_str(text),
            _ => parts.push(part),
        }
    }

    /// The assistant's message that these parts are.
    ///
    /// Content and thinking are joined; the text of malformed calls goes to the content, so that
    /// nothing the model wrote is lost.
    #[must_use]
    pub fn message(parts: &[Self]) -> Message {
        let mut message = Message::assistant("");
        let mut thinking = String::new();
        for part in parts {
            match part {
                Self::Content(text) | Self::Malformed { text, .. } => message.content += text,
                Self::Thinking(text) => thinking += text,
                Self::ToolCall(call) => message.tool_calls.push(call.clone()),
                Self::Markup(_) => {}
            }
        }
        message.thinking = (!thinking.is_empty()).then_some(thinking);
        message
    }
}

/// Why a call cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The answer ended within it.
    Unfinished,
    /// It names no tool that was offered.
    UnknownTool(String),
    /// It is longer than [`AnswerParser::max_call_bytes`](super::AnswerParser::max_call_bytes).
    TooLong,
    /// Its text is not what the format wants; this says where.
    Invalid(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished => f.write_str("the answer ended within a tool call"),
            Self::UnknownTool(name) => write!(f, "the answer calls `{name}`, which is no tool"),
            Self::TooLong => f.write_str("a tool call is too long"),
            Self::Invalid(what) => write!(f, "a tool call cannot be read: {what}"),
        }
    }
}

impl std::error::Error for CallError {}
