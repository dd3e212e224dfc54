//! From messages to the text of a prompt, and from the text of an answer back to messages: chat
//! templates (Jinja as in model files, Go as in Ollama's), tool calls, thinking. Pure Rust; knows no
//! model, only texts.

mod conversation;
pub(crate) mod go;
pub(crate) mod jinja;
mod message;
mod parse;
mod template;

pub use conversation::{Clock, Conversation, Thinking, ThinkingLevel};
pub use message::{Message, Tool, ToolCall};
pub use template::{Capabilities, ChatTemplate, Fitted, SpecialTexts, TemplateLanguage};
