//! `POST /v1/chat/completions` and `POST /v1/completions`

mod chat;
mod completions;
mod conversation;
mod fields;
mod reply;
mod stream;

pub(crate) use chat::chat;
pub(crate) use completions::completions;
pub(super) use fields::{arguments, effort, format_of, tool_choice};
