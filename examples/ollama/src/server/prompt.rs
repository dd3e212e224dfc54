//! From a request to a prompt in segments, and how its answer is to be read.

use llamakit::chat::{
    AnswerFormat, CallFormat, ChatTemplate, Conversation, Message as ChatMessage, Thinking,
    ThinkingLevel, Tool, ToolCall,
};
use llamakit::{Origin, Segment};

use super::error::ApiError;
use super::model::Model;
use crate::api::{Message, Think, ThinkLevel};
use crate::runner::wire::{Piece, Prompt};
use crate::show::fills;

/// A prompt, and how its answer is read.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    pub prompt: Prompt,
    /// `None`: as it comes.
    pub format: Option<AnswerFormat>,
    /// The roles of the messages, to tell how many were dropped with a group.
    pub roles: Vec<String>,
    /// What stands behind all that the template wrote.
    pub tail: Option<Piece>,
}

impl Rendered {
    /// Its text.
    pub(crate) fn text(&self) -> String {
        match &self.prompt {
            Prompt::Text(text) => text.clone(),
            Prompt::Segments(pieces) => pieces.iter().map(|piece| piece.t.as_str()).collect(),
        }
    }

    /// How many messages went with these groups: each message, and the results of tools behind it.
    pub(crate) fn messages_in(&self, groups: &[u32]) -> u64 {
        let behind = |group: &u32| {
            let after = self.roles.iter().skip(*group as usize + 1);
            1 + after.take_while(|role| *role == "tool").count() as u64
        };
        groups.iter().map(behind).sum()
    }
}

/// Renders a conversation. `begin_thinking`: where the model thinks before it answers, the prompt begins the
/// thoughts.
pub(crate) fn chat(
    model: &Model,
    template: &ChatTemplate,
    messages: &[Message],
    tools: &[Tool],
    think: Option<Think>,
    begin_thinking: bool,
) -> Result<Rendered, ApiError> {
    let conversation = conversation(messages, tools, think);
    let segments = template
        .render_in_groups(&conversation)
        .map_err(|error| ApiError::bad(format!("template: {}", error.message())))?;
    let mut rendered = Rendered {
        prompt: Prompt::Segments(pieces(segments)),
        format: None,
        roles: messages
            .iter()
            .map(|message| message.role.clone())
            .collect(),
        tail: None,
    };
    let format = match template.source() == model.source() {
        true => model.format.clone(),
        false => AnswerFormat::detect(template.source()),
    };
    rendered.format = Some(read_answers(&mut rendered, format, think, begin_thinking));
    Ok(rendered)
}

fn read_answers(
    rendered: &mut Rendered,
    format: AnswerFormat,
    think: Option<Think>,
    begin_thinking: bool,
) -> AnswerFormat {
    let text = rendered.text();
    let end: String = {
        let skip = text.chars().count().saturating_sub(4096);
        text.chars().skip(skip).collect()
    };
    let thinks = think.is_some_and(Think::is_on);
    let mut format = format.after_prompt(&end);
    if !begin_thinking || !thinks {
        return format;
    }
    let harmony = *format.calls() == CallFormat::Harmony;
    let open = match format.thinking_tags().first() {
        Some(tags) if !end.trim_end().ends_with(&tags.open) => tags.open.clone(),
        None if harmony => "<|channel|>analysis<|message|>".to_owned(),
        _ => return format,
    };
    let tail = Piece {
        t: open,
        m: false,
        g: None,
    };
    if let Prompt::Segments(pieces) = &mut rendered.prompt {
        pieces.push(tail.clone());
    }
    rendered.tail = Some(tail);
    format = format.begin_in_thinking(true);
    format
}

/// What a template is given.
pub(crate) fn conversation(
    messages: &[Message],
    tools: &[Tool],
    think: Option<Think>,
) -> Conversation {
    let continues = messages.last().is_some_and(|last| {
        last.role == "assistant" && last.tool_calls.is_empty() && !last.content.is_empty()
    });
    let messages: Vec<ChatMessage> = messages.iter().map(message).collect();
    let mut conversation =
        Conversation::new(messages)
            .tools(tools.to_vec())
            .thinking(match think {
                None => Thinking::Default,
                Some(Think::Switch(false)) => Thinking::Off,
                Some(Think::Switch(true)) => Thinking::On,
                Some(Think::Level(level)) => Thinking::Level(match level {
                    ThinkLevel::Low => ThinkingLevel::Low,
                    ThinkLevel::Medium => ThinkingLevel::Medium,
                    ThinkLevel::High => ThinkingLevel::High,
                    ThinkLevel::Max => ThinkingLevel::Max,
                }),
            });
    if continues {
        conversation.continue_last_message = true;
        conversation.add_generation_prompt = false;
    }
    conversation
}

fn message(message: &Message) -> ChatMessage {
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    let mut out = ChatMessage::new(message.role.clone(), message.content.clone());
    out.thinking = text(&message.thinking);
    out.tool_name = text(&message.tool_name);
    out.tool_call_id = text(&message.tool_call_id);
    out.tool_calls = message
        .tool_calls
        .iter()
        .map(|call| {
            let mut out =
                ToolCall::new(call.function.name.clone(), call.function.arguments.clone());
            out.id = text(&call.id);
            out
        })
        .collect();
    out
}

/// Segments as they travel: neighbours of the same origin and group as one.
pub(crate) fn pieces(segments: Vec<Segment>) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for segment in segments {
        if segment.text.is_empty() {
            continue;
        }
        let from_message = segment.origin == Origin::Message;
        match pieces.last_mut() {
            // Of messages, each text stays its own.
            Some(last) if !from_message && !last.m && last.g == segment.group => {
                last.t.push_str(&segment.text);
            }
            _ => pieces.push(Piece {
                t: segment.text,
                m: from_message,
                g: segment.group,
            }),
        }
    }
    pieces
}

/// A gap to be filled, by the template if it knows how, else by the tokens of the vocabulary.
pub(crate) fn fill(
    model: &Model,
    template: &ChatTemplate,
    prefix: &str,
    suffix: &str,
) -> Result<Rendered, ApiError> {
    let prompt = if fills(template) {
        let mut conversation = Conversation::new([ChatMessage::user(prefix)]);
        conversation
            .extra
            .insert("Prompt".to_owned(), prefix.into());
        conversation
            .extra
            .insert("Suffix".to_owned(), suffix.into());
        let segments = template.render(&conversation);
        pieces(segments.map_err(|error| ApiError::bad(format!("template: {}", error.message())))?)
    } else if let Some(fill) = &model.fill {
        let of_model = |text: &str| Piece {
            t: text.to_owned(),
            m: false,
            g: None,
        };
        let of_request = |text: &str| Piece {
            t: text.to_owned(),
            m: true,
            g: None,
        };
        vec![
            of_model(&fill.prefix),
            of_request(prefix),
            of_model(&fill.suffix),
            of_request(suffix),
            of_model(&fill.middle),
        ]
    } else {
        return Err(ApiError::bad(format!(
            "suffix: {} does not support insert",
            model.name
        )));
    };
    Ok(Rendered {
        prompt: Prompt::Segments(prompt),
        format: None,
        roles: Vec::new(),
        tail: None,
    })
}

/// A prompt as it came.
pub(crate) fn raw(text: &str) -> Rendered {
    Rendered {
        prompt: Prompt::Text(text.to_owned()),
        format: None,
        roles: Vec::new(),
        tail: None,
    }
}

/// The tools of a request.
pub(crate) fn tools(definitions: &[serde_json::Value]) -> Result<Vec<Tool>, ApiError> {
    let definitions = definitions.iter().enumerate();
    definitions
        .map(|(at, definition)| {
            Tool::from_json(definition.clone())
                .map_err(|error| ApiError::bad(format!("tools[{at}]: {}", error.message())))
        })
        .collect()
}
