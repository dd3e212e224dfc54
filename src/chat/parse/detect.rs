//! Which format a template's own text speaks of.

use super::format::{AnswerFormat, CallFormat, ThinkingTags};

/// What the source of a template for a format contains, all of it. The first that fits counts.
const CALLS: [(&[&str], CallFormat); 28] = [
    (&["<|channel|>", "<|message|>"], CallFormat::Harmony),
    (&["<|tool_call>", "<tool_call|>"], CallFormat::Gemma4),
    (&["<start_function_call>"], CallFormat::FunctionGemma),
    (&["｜DSML｜"], CallFormat::DeepSeekV32),
    (
        &["<｜tool▁call▁begin｜>", "```json"],
        CallFormat::DeepSeekV3,
    ),
    (&["<｜tool▁call▁begin｜>"], CallFormat::DeepSeekV31),
    (&["<|tool_call_begin|>"], CallFormat::Kimi),
    (&["<minimax:tool_call>"], CallFormat::MiniMax),
    (&["<seed:tool_call>"], CallFormat::Seed),
    (&["<arg_key>"], CallFormat::Glm),
    (&["<function=", "<parameter="], CallFormat::Qwen3Coder),
    (&["<|START_ACTION|>"], CallFormat::CommandR7b),
    (&["Action:", "```json", "tool_name"], CallFormat::CommandR),
    (&["[TOOL_CALLS]", "[ARGS]"], CallFormat::MistralArgs),
    (&["[TOOL_CALLS]"], CallFormat::Mistral),
    (&["<|tools_prefix|>"], CallFormat::Apertus),
    (&["<|tool_call_start|>"], CallFormat::Lfm2),
    (&["<|tool_list_start|>"], CallFormat::Lfm2),
    (&["functools["], CallFormat::Functools),
    (&["<|tool_call|>", "<|/tool_call|>"], CallFormat::Functools),
    (&["<|tool_call|>"], CallFormat::Granite),
    (&["<tool_call>"], CallFormat::Hermes),
    (&["<function="], CallFormat::Functionary),
    (&["<function_calls>"], CallFormat::Olmo),
    (&["<|python_start|>"], CallFormat::LlamaPythonic),
    (&["[func_name1("], CallFormat::LlamaPythonic),
    (&["<|python_tag|>"], CallFormat::Llama),
    (
        &["<|start_header_id|>", "\"parameters\":"],
        CallFormat::Llama,
    ),
];

/// Markers that have JSON between them.
const TAGGED: [(&str, &str); 4] = [
    ("<TOOLCALL>", "</TOOLCALL>"),
    ("<tool_calls>", "</tool_calls>"),
    ("<|action_start|><|plugin|>", "<|action_end|>"),
    ("<function_call>", "</function_call>"),
];

/// What is around thoughts. The first of which the source has the second tag counts.
const THINKING: [(&str, &str); 9] = [
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
    ("<|channel>", "<channel|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning>"),
    ("<thought>", "</thought>"),
];

/// Granite 3.2 begins and ends its thoughts with sentences, which it does not always write alike.
const SENTENCES: [(&str, &str); 2] = [
    ("Here is my thought process:", "Here is my response:"),
    ("Here's my thought process:", "Here's my response:"),
];

impl AnswerFormat {
    /// The format that the source of a template (Jinja or Go) speaks of.
    ///
    /// Only what the template says counts, not the name of a model. A template without tools means
    /// [`CallFormat::None`]; one whose calls have no marker that is known [`CallFormat::Json`], in
    /// Go [`CallFormat::Tagged`] by the text before the call.
    #[must_use]
    pub fn detect(source: &str) -> Self {
        let mut format = Self::new(calls(source));
        if format.calls != CallFormat::Harmony {
            format.thinking = thinking(source);
        }
        format
    }
}

fn calls(source: &str) -> CallFormat {
    let tagged = || TAGGED.iter().find(|(open, _)| source.contains(open));
    let known = CALLS
        .iter()
        .find(|(texts, _)| texts.iter().all(|text| source.contains(text)))
        .map(|(_, format)| format);
    match known {
        // Nemotron's and others' templates speak of Python or Hermes as well.
        Some(CallFormat::Hermes | CallFormat::Llama | CallFormat::LlamaPythonic) | None => {
            if let Some((open, close)) = tagged() {
                return CallFormat::tagged(*open, *close);
            }
        }
        Some(_) => {}
    }
    if let Some(format) = known {
        return format.clone();
    }
    if source.contains(".ToolCalls") {
        return go_tag(source).unwrap_or(CallFormat::Json);
    }
    if ["tool_calls", "tools", ".Tools"]
        .iter()
        .any(|word| source.contains(word))
    {
        CallFormat::Json
    } else {
        CallFormat::None
    }
}

/// The text that a Go template writes before calls: the first behind the `if` or `range` over
/// `.ToolCalls`, without the JSON that it begins.
fn go_tag(source: &str) -> Option<CallFormat> {
    let (_, rest) = source.split_once(".ToolCalls")?;
    let open = rest
        .split("{{")
        // The text must come before the call's name is printed.
        .take_while(|piece| !piece.contains(".Function") && !piece.contains(".Name"))
        .filter_map(|piece| piece.split_once("}}"))
        .map(|(_, text)| text.split('{').next().unwrap_or("").trim())
        .find(|text| !text.is_empty())?;
    let open = open.strip_suffix('[').map_or(open, str::trim_end);
    if open.len() < 3 || open.contains(['"', '\n']) {
        return None;
    }
    let close = open
        .get(1..)
        .map(|name| format!("{}/{name}", if open.starts_with('[') { '[' } else { '<' }))
        .filter(|close| source.contains(close));
    Some(CallFormat::tagged(open, close.unwrap_or_default()))
}

fn thinking(source: &str) -> Vec<ThinkingTags> {
    let found = THINKING.iter().find(|(_, close)| source.contains(close));
    match found {
        // The channel's name is no thought.
        Some((open, close)) if *open == "<|channel>" => ["<|channel>thought", open]
            .map(|open| ThinkingTags::new(open, *close))
            .to_vec(),
        Some((open, close)) => vec![ThinkingTags::new(*open, *close)],
        None if source.contains("thought process") => SENTENCES
            .map(|(open, close)| ThinkingTags::new(open, close))
            .to_vec(),
        None => go_thinking(source).into_iter().collect(),
    }
}

/// What a Go template has directly around `.Thinking`.
fn go_thinking(source: &str) -> Option<ThinkingTags> {
    let at = source.match_indices("{{").find_map(|(at, _)| {
        let (action, rest) = source.get(at + 2..)?.split_once("}}")?;
        let action = action.trim_matches(|c: char| c == '-' || c.is_whitespace());
        action.ends_with(".Thinking").then_some((action, at, rest))
    });
    let (action, at, after) = at?;
    // `{{ if .Thinking }}` comes before the one that prints it.
    if action.contains(' ') {
        return go_thinking(after);
    }
    let before = source.get(..at)?;
    let open = before.rsplit("}}").next()?.trim();
    let close = after.split("{{").next()?.trim();
    (!open.is_empty() && !close.is_empty()).then(|| ThinkingTags::new(open, close))
}
