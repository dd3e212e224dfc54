//! What a template is given: messages, tools, documents and variables, under the names that templates
//! of transformers and llama.cpp look for.

use minijinja::Value;
use serde_json::Value as Json;

use crate::chat::{Conversation, Message};
use crate::error::{Error, Result};

use super::Template;
use super::alphabet::{Alphabet, PlanesUsed};
use super::data::{self, List, record};
use super::engine::Limits;
use super::strftime::strftime;
use super::thinking;
use super::traits::Shape;

/// Roles that templates know. They are no message's text: `'<|' + role + '|>'` is a template's token.
const ROLES: [&str; 9] = [
    "system",
    "user",
    "assistant",
    "tool",
    "developer",
    "function",
    "ipython",
    "model",
    "context",
];

/// How the text of one place in the input is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// With stand-ins.
    All,
    /// With stand-ins where it reads like a control token.
    Controls,
    /// As it is.
    Plain,
}

/// Places of the input, in the order in which they are come across.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The spelling of each; `All` of those that are missing.
    pub(super) spellings: Vec<Spelling>,
    /// Their names, collected on the way.
    pub(super) names: Vec<String>,
}

impl Places {
    pub(super) fn with(spellings: Vec<Spelling>) -> Self {
        Self {
            spellings,
            names: Vec::new(),
        }
    }
}

/// Sizes of a conversation and the characters in it, looked at once.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Survey {
    bytes: usize,
    items: usize,
    pub(super) planes: PlanesUsed,
    /// The marks that occur, bit by bit; see [`Survey::mark`].
    marks: u32,
}

/// The first of 32 code points that are no characters.
const FIRST_MARK: u32 = 0xFDD0;

impl Survey {
    pub(super) fn new(conversation: &Conversation) -> Result<Self> {
        let mut survey = Self {
            items: conversation.messages.len()
                + conversation.tools.len()
                + conversation.documents.len(),
            ..Self::default()
        };
        each_text(conversation, &mut |text| survey.look(text))?;
        Ok(survey)
    }

    fn look(&mut self, text: &str) {
        self.bytes = self.bytes.saturating_add(text.len() + 8);
        self.planes.look(text);
        for char in text.chars() {
            if let Some(at) = u32::from(char)
                .checked_sub(FIRST_MARK)
                .filter(|at| *at < 32)
            {
                self.marks |= 1 << at;
            }
        }
    }

    /// A character that does not occur.
    pub(super) fn mark(&self) -> Result<char> {
        let free = (0..32).find(|at| self.marks & (1 << at) == 0);
        free.and_then(|at| char::from_u32(FIRST_MARK + at))
            .ok_or_else(|| {
                Error::argument("the messages use all characters that could mark their end")
            })
    }

    pub(super) fn limits(&self, time: std::time::Duration) -> Limits {
        Limits::for_input(self.bytes, self.items, time)
    }
}

/// Calls `see` for every text of a conversation.
pub(super) fn each_text<'c>(
    conversation: &'c Conversation,
    see: &mut dyn FnMut(&'c str),
) -> Result<()> {
    let object = |entries: &'c serde_json::Map<String, Json>, see: &mut dyn FnMut(&'c str)| {
        for (key, value) in entries {
            see(key);
            data::texts(value, see)?;
        }
        Ok::<(), Error>(())
    };
    for message in &conversation.messages {
        see(&message.role);
        see(&message.content);
        let optional = [&message.thinking, &message.tool_name, &message.tool_call_id];
        optional.into_iter().flatten().for_each(|text| see(text));
        for call in &message.tool_calls {
            see(&call.name);
            call.id.iter().for_each(|id| see(id));
            object(&call.arguments, see)?;
        }
        object(&message.extra, see)?;
    }
    for tool in &conversation.tools {
        data::texts(tool.definition(), see)?;
    }
    for document in &conversation.documents {
        data::texts(document, see)?;
    }
    object(&conversation.extra, see)
}

/// Builds inputs for a template.
pub(super) struct Builder<'b> {
    template: &'b Template,
    alphabet: Option<&'b mut Alphabet>,
    places: &'b mut Places,
    spelling: Spelling,
}

impl<'b> Builder<'b> {
    /// With an alphabet, text of messages is spelled with stand-ins.
    pub(super) fn new(
        template: &'b Template,
        alphabet: Option<&'b mut Alphabet>,
        places: &'b mut Places,
    ) -> Self {
        places.names.clear();
        Self {
            template,
            alphabet,
            places,
            spelling: Spelling::All,
        }
    }

    /// The input for a conversation whose messages are as `shape` wants them. The last message is
    /// followed by `tail`.
    pub(super) fn build(mut self, conversation: &Conversation, shape: Shape, tail: &str) -> Value {
        let last = conversation.messages.len().saturating_sub(1);
        let messages = conversation
            .messages
            .iter()
            .enumerate()
            .map(|(at, message)| {
                let tail = if at == last { tail } else { "" };
                self.message(message, at, shape, tail)
            });
        let messages = Value::from_object(List::new(messages.collect()));
        let tools = conversation.tools.iter().enumerate().map(|(at, tool)| {
            self.enter(|| format!("tools[{at}]"));
            self.json(tool.definition())
        });
        let tools: Vec<Value> = tools.collect();
        let documents = conversation
            .documents
            .iter()
            .enumerate()
            .map(|(at, document)| {
                self.enter(|| format!("documents[{at}]"));
                self.json(document)
            });
        let documents: Vec<Value> = documents.collect();
        let optional = |list: Vec<Value>| {
            if list.is_empty() {
                Value::from(())
            } else {
                Value::from_object(List::new(list))
            }
        };
        let prefill = conversation.continue_last_message;
        let clock = conversation.clock;
        let mut fields = vec![
            ("messages".to_owned(), messages),
            ("tools".to_owned(), optional(tools)),
            ("documents".to_owned(), optional(documents)),
            (
                "add_generation_prompt".to_owned(),
                Value::from(conversation.add_generation_prompt && !prefill),
            ),
            (
                "strftime_now".to_owned(),
                Value::from_function(move |format: &str| {
                    strftime(clock.unwrap_or_else(now), format)
                }),
            ),
        ];
        fields.extend(self.template.texts.variables());
        fields.extend(thinking::variables(conversation.thinking, self.template));
        for (name, value) in &conversation.extra {
            self.enter(|| name.clone());
            let value = self.json(value);
            fields.push((name.clone(), value));
        }
        let mut context = Vec::<(Value, Value)>::with_capacity(fields.len());
        for (name, value) in fields {
            // The last of a name wins.
            context.retain(|(key, _)| key.as_str() != Some(&name));
            context.push((Value::from(name), value));
        }
        Value::from_pairs(context)
    }

    /// The next place of the input.
    fn enter(&mut self, name: impl FnOnce() -> String) {
        let at = self.places.names.len();
        self.places.names.push(name());
        self.spelling = self
            .places
            .spellings
            .get(at)
            .copied()
            .unwrap_or(Spelling::All);
    }

    fn text(&mut self, text: &str) -> Value {
        Value::from(self.spell(text, None))
    }

    fn spell(&mut self, text: &str, message: Option<usize>) -> String {
        let message = message.and_then(|message| u32::try_from(message).ok());
        match (&mut self.alphabet, self.spelling) {
            (Some(alphabet), Spelling::All) => match message {
                Some(message) => alphabet.spell_owned(text, message),
                None => alphabet.spell(text),
            },
            (Some(alphabet), Spelling::Controls) => {
                let mut spelled = String::with_capacity(text.len());
                let mut from = 0;
                for control in self.template.texts.find(text) {
                    spelled.push_str(&text[from..control.start]);
                    spelled.push_str(&alphabet.spell(&text[control.clone()]));
                    from = control.end;
                }
                spelled + &text[from..]
            }
            _ => text.to_owned(),
        }
    }

    fn json(&mut self, json: &Json) -> Value {
        data::from_json(json, &mut |text| self.spell(text, None))
    }

    fn message(&mut self, message: &Message, at: usize, shape: Shape, tail: &str) -> Value {
        let mut fields = Vec::with_capacity(8);
        self.enter(|| format!("messages[{at}].role"));
        let known = ROLES.contains(&message.role.as_str())
            || self.template.literals.contains(&message.role)
                && message.role.chars().all(|char| char.is_ascii_alphabetic());
        let role = if known {
            Value::from(&message.role)
        } else {
            self.text(&message.role)
        };
        fields.push(("role", role));
        self.enter(|| format!("messages[{at}].content"));
        let content = Value::from(self.spell(&message.content, Some(at)) + tail);
        fields.push((
            "content",
            if shape.typed_content {
                let part = record(vec![("type", Value::from("text")), ("text", content)]);
                Value::from_object(List::new(vec![part]))
            } else {
                content
            },
        ));
        if let Some(thinking) = &message.thinking {
            self.enter(|| format!("messages[{at}].thinking"));
            let thinking = Value::from(self.spell(thinking, Some(at)));
            fields.push(("reasoning_content", thinking.clone()));
            fields.push(("thinking", thinking));
        }
        if !message.tool_calls.is_empty() {
            self.enter(|| format!("messages[{at}].tool_calls"));
            let calls = message.tool_calls.iter().map(|call| {
                let arguments = if shape.text_arguments {
                    let json = Json::Object(call.arguments.clone());
                    Value::from(self.spell(&json_text(&json), None))
                } else {
                    self.json(&Json::Object(call.arguments.clone()))
                };
                let name = Value::from(self.spell(&call.name, Some(at)));
                let function = record(vec![("name", name), ("arguments", arguments)]);
                let mut fields = vec![("type", Value::from("function")), ("function", function)];
                if let Some(id) = &call.id {
                    fields.insert(0, ("id", self.text(id)));
                }
                record(fields)
            });
            let calls = Value::from_object(List::new(calls.collect()));
            fields.push(("tool_calls", calls));
        }
        self.enter(|| format!("messages[{at}].tool_name"));
        if let Some(name) = &message.tool_name {
            fields.push(("name", self.text(name)));
        }
        if let Some(id) = &message.tool_call_id {
            fields.push(("tool_call_id", self.text(id)));
        }
        self.enter(|| format!("messages[{at}].extra"));
        let mut entries: Vec<data::Entry> = fields
            .into_iter()
            .filter(|(name, _)| !message.extra.contains_key(*name))
            .map(|(name, value)| data::Entry::new(name, Value::from(name), value))
            .collect();
        for (name, value) in &message.extra {
            let (key, value) = (self.text(name), self.json(value));
            entries.push(data::Entry::new(name, key, value));
        }
        Value::from_object(data::Dict::new(entries))
    }
}

/// JSON as Python writes it.
fn json_text(json: &Json) -> String {
    match json {
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(json_text).collect();
            format!("[{}]", items.join(", "))
        }
        Json::Object(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", Json::String(key.clone()), json_text(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        Json::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(number) => super::python::float(number),
            None => number.to_string(),
        },
        other => other.to_string(),
    }
}

fn now() -> crate::chat::Clock {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    crate::chat::Clock {
        unix_seconds: since.map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        }),
        utc_offset: 0,
    }
}
