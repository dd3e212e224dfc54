//! From a conversation to a prompt: which data a template gets, and how often it is executed.

use serde_json::Value as Json;

use super::ast::{Node, Tree};
use super::collate::{self, Collated};
use super::exec::Exec;
use super::failure::{Failure, Outcome};
use super::functions::Today;
use super::text::{Author, Text};
use super::value::{Entries, Map, MapKind, Value};
use super::{clock, cut, limits, tools};
use crate::chat::{Conversation, Thinking, ThinkingLevel};
use crate::segments::Segment;

pub(super) fn render(
    tree: &Tree,
    takes_messages: bool,
    conversation: &Conversation,
) -> Outcome<Vec<Segment>> {
    let data = Data::new(conversation)?;
    let collated = collate::messages(conversation);
    let ending = cut::before_response(&tree.root);
    let mut exec = Exec::new(
        tree,
        Today {
            date: clock::date(conversation.clock, 0),
            yesterday: clock::date(conversation.clock, -1),
        },
    );
    if let Some((prompt, suffix)) = gap(conversation, &collated) {
        let fields = [
            ("Prompt", prompt),
            ("Suffix", suffix),
            ("Response", Value::text("")),
        ];
        exec.run(&tree.root, &data.with(fields))?;
        return Ok(exec.out.into_segments());
    }
    if takes_messages {
        let tools = tools::tools(&conversation.tools).map_err(Failure::nowhere)?;
        let messages = collate::list(&collated).map_err(Failure::nowhere)?;
        let fields = [
            ("System", Value::Text(collate::system(conversation))),
            ("Messages", messages),
            ("Tools", tools),
            ("Response", Value::text("")),
        ];
        exec.run(&tree.root, &data.with(fields))?;
    } else {
        turns(&mut exec, &tree.root, &ending, &data, &collated)?;
    }
    if conversation.continue_last_message
        && let Some(last) = conversation.messages.last()
        && last.role == "assistant"
        && !last.content.is_empty()
    {
        let index = conversation.messages.len() - 1;
        if !exec.out.end_after(Author::Message(index as u32)) {
            let cause = "it does not write the last message, which is to be continued";
            return Err(Failure::nowhere(cause));
        }
    }
    Ok(exec.out.into_segments())
}

/// What every execution gets.
struct Data {
    common: Entries,
    extra: Entries,
}

impl Data {
    fn new(conversation: &Conversation) -> Outcome<Self> {
        let (think, level) = match conversation.thinking {
            Thinking::Default | Thinking::Off => (false, ""),
            // Ollama's level of thinking without one.
            Thinking::On => (true, ThinkingLevel::Medium.name()),
            Thinking::Level(level) => (true, level.name()),
        };
        let common = [
            ("Think", Value::Bool(think)),
            ("ThinkLevel", Value::text(level)),
            (
                "IsThinkSet",
                Value::Bool(conversation.thinking != Thinking::Default),
            ),
        ];
        let extra = tools::map(
            &conversation.extra,
            MapKind::Any,
            Author::Caller,
            limits::JSON_DEPTH,
        );
        let extra = extra.map_err(|cause| Failure::nowhere(format!("variables: {cause}")))?;
        Ok(Self {
            common: common.map(named).into(),
            extra: extra.entries().to_vec(),
        })
    }

    /// With further fields, which the caller's variables win over.
    fn with<const N: usize>(&self, fields: [(&str, Value); N]) -> Value {
        let mut entries = self.common.clone();
        entries.extend(fields.map(named));
        entries.extend_from_slice(&self.extra);
        Value::Map(Map::new(MapKind::Any, entries))
    }
}

fn named((name, value): (&str, Value)) -> (Text, Value) {
    (Text::new(name, Author::Template), value)
}

/// The text before and after the gap, where code is to be filled in.
fn gap(conversation: &Conversation, collated: &[Collated<'_>]) -> Option<(Value, Value)> {
    let given = |name| match conversation.extra.get(name) {
        Some(Json::String(text)) if !text.is_empty() => Some(Text::new(text, Author::Caller)),
        _ => None,
    };
    let suffix = given("Suffix")?;
    let said = || {
        let users = collated.iter().rev().find(|one| one.message.role == "user");
        users.map(|one| one.content.clone())
    };
    let prompt = given("Prompt").or_else(said)?;
    (!prompt.is_empty()).then_some((Value::Text(prompt), Value::Text(suffix)))
}

/// What the system, the user and the assistant say in turn.
#[derive(Clone)]
struct Turn {
    system: Text,
    prompt: Text,
    response: Text,
    /// The group of its text, unless the system speaks in it.
    group: Option<u32>,
}

impl Turn {
    fn new() -> Self {
        let nothing = Text::new("", Author::Template);
        Self {
            system: nothing.clone(),
            prompt: nothing.clone(),
            response: nothing,
            group: None,
        }
    }
}

/// Executes the template for each turn, for the last one up to the response.
fn turns<'t>(
    exec: &mut Exec<'t>,
    whole: &'t [Node],
    ending: &'t [Node],
    data: &Data,
    collated: &[Collated<'_>],
) -> Outcome<()> {
    let mut run = |nodes: &'t [Node], turn: Turn, group: Option<u32>| {
        let fields = [
            ("System", Value::Text(turn.system)),
            ("Prompt", Value::Text(turn.prompt)),
            ("Response", Value::Text(turn.response)),
        ];
        exec.out.group = group;
        exec.run(nodes, &data.with(fields))
    };
    let mut turn = Turn::new();
    for one in collated {
        let ends = match one.message.role.as_str() {
            "system" => !turn.prompt.is_empty() || !turn.response.is_empty(),
            "user" => !turn.response.is_empty(),
            "assistant" => false,
            _ => continue,
        };
        if ends {
            let turn = std::mem::replace(&mut turn, Turn::new());
            let group = turn.group.filter(|_| turn.system.is_empty());
            run(whole, turn, group)?;
        }
        turn.group = turn.group.or(one.group);
        match one.message.role.as_str() {
            "system" => turn.system = one.content.clone(),
            "user" => turn.prompt = one.content.clone(),
            _ => turn.response = one.content.clone(),
        }
    }
    run(ending, turn, None)
}
