//! Answers that are begun already: the text ends where the last message does.
//!
//! The rule is that of transformers' `continue_final_message`: something that occurs nowhere else, and a
//! space, are put behind the message's content; the text is cut there. Where the space got lost, the
//! template strips the content, and so is the text.

use crate::chat::Conversation;
use crate::error::{Error, Result};

use super::{Rendering, Template, text_methods};

/// Refuses a conversation that can't be continued.
pub(super) fn check(conversation: &Conversation, template: &Template) -> Result<()> {
    if !conversation.continue_last_message {
        return Ok(());
    }
    let refused = match conversation.messages.last() {
        None => "there is no message to continue",
        Some(last) if last.role != "assistant" => {
            "only a message of the assistant can be continued"
        }
        Some(last) if !last.tool_calls.is_empty() => {
            "a message that calls tools is complete and can't be continued"
        }
        Some(_) if !template.source.contains("content") => {
            "the template prints no message's content, so that none can be continued"
        }
        Some(_) => return Ok(()),
    };
    Err(Error::argument(refused))
}

/// What is put behind the last message.
pub(super) fn tail(rendering: &Rendering) -> Result<String> {
    if !rendering.conversation.continue_last_message {
        return Ok(String::new());
    }
    Ok(format!("{} ", rendering.survey.mark()?))
}

/// The text up to that.
pub(super) fn cut(rendering: &Rendering, mut text: String, tail: &str) -> Result<String> {
    if !rendering.conversation.continue_last_message {
        return Ok(text);
    }
    let mark = tail.trim_end();
    let Some(at) = text.rfind(mark) else {
        return Err(missing());
    };
    let spaced = text[at..].starts_with(tail);
    text.truncate(at);
    if !spaced {
        text = text_methods::strip(&text, None, false, true).to_owned();
    }
    if text.contains(mark) {
        return Err(Error::argument(
            "the template prints the last message several times, so that it can't be continued",
        ));
    }
    Ok(text)
}

/// Refuses a text without the message that it must end with.
pub(super) fn check_rendered(conversation: &Conversation, text: &str) -> Result<()> {
    let last = conversation.messages.last();
    let last = last.filter(|_| conversation.continue_last_message);
    match last {
        Some(last) if !text.contains(last.content.trim()) => Err(missing()),
        _ => Ok(()),
    }
}

fn missing() -> Error {
    Error::argument(
        "the template does not print the last message as it is, so that it can't be continued",
    )
}
