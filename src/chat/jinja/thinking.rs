//! The variables by which templates are told whether and how much to think.

use minijinja::Value;

use crate::chat::{Thinking, ThinkingLevel};

use super::Template;

/// Only variables that the template reads are set: each family has its own.
pub(super) fn variables(thinking: Thinking, template: &Template) -> Vec<(String, Value)> {
    let (on, level) = match thinking {
        Thinking::Default => return Vec::new(),
        Thinking::Off => (false, None),
        Thinking::On => (true, None),
        Thinking::Level(level) => (true, Some(level)),
    };
    let says = |text: &str| template.literals.contains(text);
    let effort = match level {
        // A level that the template does not name would just be printed.
        Some(ThinkingLevel::Max) if !says("max") => Some("high"),
        Some(level) => Some(level.name()),
        None if !on && says("none") => Some("none"),
        None => None,
    };
    let budget = match level {
        None if on => None,
        None => Some(0),
        Some(ThinkingLevel::Low) => Some(1024),
        Some(ThinkingLevel::Medium) => Some(4096),
        Some(ThinkingLevel::High) => Some(16_384),
        Some(ThinkingLevel::Max) => None,
    };
    let mut variables = Vec::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value.filter(|_| template.reads(name)) {
            variables.push((name.to_owned(), value));
        }
    };
    for name in super::traits::SWITCHES {
        set(name, Some(Value::from(on)));
    }
    set(
        "thinking_option",
        Some(Value::from(if on { "on" } else { "off" })),
    );
    set(
        "thinking_mode",
        Some(Value::from(if on { "thinking" } else { "chat" })),
    );
    set("reasoning_effort", effort.map(Value::from));
    set("thinking_budget", budget.map(Value::from));
    variables
}
