//! Reads an answer as it comes: what is said, what is thought, what is called.

mod block;
mod calls;
mod detect;
mod format;
mod grammar;
mod harmony;
mod json;
mod loose;
mod parser;
mod part;
mod program;
mod python;
mod schema;
mod text;

pub use format::{AnswerFormat, CallFormat, ThinkingTags};
pub use grammar::ToolChoice;
pub use parser::AnswerParser;
pub use part::{AnswerPart, CallError};
