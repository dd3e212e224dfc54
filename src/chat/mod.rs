//! From messages to the text of a prompt, and from the text of an answer back to messages: chat
//! templates (Jinja as in model files, Go as in Ollama's), tool calls, thinking. Pure Rust; knows no
//! model, only texts.

mod conversation;
mod go;
pub(crate) mod jinja;
mod message;
mod parse;
mod template;

pub use conversation::{Clock, Conversation, Thinking, ThinkingLevel};
pub use go::GoTemplate;
pub use message::{Message, Tool, ToolCall};
pub use parse::{
    AnswerFormat, AnswerParser, AnswerPart, CallError, CallFormat, ThinkingTags, ToolChoice,
};
pub use template::{Capabilities, ChatTemplate, Fitted, SpecialTexts, TemplateLanguage};
