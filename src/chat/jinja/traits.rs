//! What a template can do and how it wants its messages, found out by rendering small conversations.

use std::time::Duration;

use serde_json::{Map, json};

use crate::chat::{Clock, Conversation, Message, Thinking, ThinkingLevel, Tool, ToolCall};

use super::Template;
use super::context::{Builder, Places, Survey};

/// Variables that switch thinking on and off.
pub(super) const SWITCHES: [&str; 4] = [
    "enable_thinking",
    "thinking",
    "reasoning",
    "enable_reasoning",
];

/// How messages must be given to a template.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Content is a list of parts with a type.
    pub(crate) typed_content: bool,
    /// Arguments of calls are a text, their JSON.
    pub(crate) text_arguments: bool,
    /// The template prints no system message; it goes into the first message of the user.
    pub(crate) merge_system: bool,
}

/// What is known about a template.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traits {
    pub(crate) shape: Shape,
    pub(crate) system: bool,
    pub(crate) tools: bool,
    pub(crate) tool_calls: bool,
    pub(crate) documents: bool,
    pub(crate) thinking_switch: bool,
    pub(crate) thinking_levels: bool,
}

/// Texts that no template has.
const SAID: &str = "Zq7said";
const TOLD: &str = "Zq7told";
const TOOL: &str = "zq7_tool";
const NAMED: &str = "zq7_name";
const VALUE: &str = "zq7_value";
const SOURCE: &str = "Zq7source";

const TIME: Duration = Duration::from_secs(2);

/// On a stack of its own only.
pub(super) fn find(template: &Template) -> Traits {
    let mut shape = Shape::default();
    let says = |conversation: &Conversation, shape: Shape, wanted: &str| {
        render(template, conversation, shape).is_some_and(|text| text.contains(wanted))
    };
    let user = Conversation::new([Message::user(SAID)]);
    let typed = Shape {
        typed_content: true,
        ..shape
    };
    if !says(&user, shape, SAID) && says(&user, typed, SAID) {
        shape = typed;
    }
    let told = Conversation::new([Message::system(TOLD), Message::user(SAID)]);
    let system = says(&told, shape, TOLD);
    let tooled = user.clone().tools([tool()]);
    let tools = says(&tooled, shape, TOOL);
    let called = called();
    shape.text_arguments = wants_text(template, &called, shape);
    let tool_calls = says(&called, shape, TOOL) && says(&called, shape, VALUE);
    let mut sourced = user.clone();
    sourced.documents = vec![json!({"title": SOURCE, "text": SOURCE, "contents": SOURCE})];
    let differs = |a: Thinking, b: Thinking| {
        let render = |thinking| render(template, &user.clone().thinking(thinking), shape);
        matches!((render(a), render(b)), (Some(a), Some(b)) if a != b)
    };
    let (low, high) = (ThinkingLevel::Low, ThinkingLevel::High);
    Traits {
        shape: Shape {
            merge_system: !system,
            ..shape
        },
        system,
        tools,
        tool_calls,
        documents: says(&sourced, shape, SOURCE),
        thinking_switch: differs(Thinking::Off, Thinking::On)
            || differs(Thinking::Off, Thinking::Default),
        thinking_levels: differs(Thinking::Level(low), Thinking::Level(high)),
    }
}

fn tool() -> Tool {
    let parameters = json!({
        "type": "object",
        "properties": {NAMED: {"type": "string", "description": "A name."}},
        "required": [NAMED],
    });
    Tool::function(TOOL, "Finds something.", parameters)
}

/// A call and its result. Mistral's templates want ids of nine letters and digits.
fn called() -> Conversation {
    let mut arguments = Map::new();
    arguments.insert(NAMED.to_owned(), VALUE.into());
    let id = Some("zq7call01".to_owned());
    let mut call = ToolCall::new(TOOL, arguments);
    call.id.clone_from(&id);
    let mut calls = Message::assistant("");
    calls.tool_calls.push(call);
    let mut result = Message::tool(TOOL, "42");
    result.tool_call_id = id;
    Conversation::new([
        Message::user(SAID),
        calls,
        result,
        Message::assistant("So."),
        Message::user("And?"),
    ])
    .tools([tool()])
}

/// Whether arguments must be a text: as an object the template refuses them, or prints them as Python
/// prints a dictionary, which no model has learned.
fn wants_text(template: &Template, called: &Conversation, shape: Shape) -> bool {
    let texts = Shape {
        text_arguments: true,
        ..shape
    };
    let python = format!("{{'{NAMED}'");
    let escaped = format!("\\\"{NAMED}\\\"");
    let object = render(template, called, shape);
    if object
        .is_some_and(|text| text.contains(NAMED) && text.contains(VALUE) && !text.contains(&python))
    {
        return false;
    }
    let text = render(template, called, texts);
    text.is_some_and(|text| text.contains(VALUE) && !text.contains(&escaped))
}

fn render(template: &Template, conversation: &Conversation, shape: Shape) -> Option<String> {
    let mut conversation = conversation.clone();
    conversation.clock = Some(Clock {
        unix_seconds: 0,
        utc_offset: 0,
    });
    let limits = Survey::new(&conversation).ok()?.limits(TIME);
    let mut places = Places::default();
    let builder = Builder::new(template, None, &mut places);
    let context = builder.build(&conversation, shape, "");
    template.engine.render(context, limits).ok()
}
