//! What is around and between the calls of each format, and how one is written.

use super::arguments::{Style, list};
use super::lark::{Lark, literal};
use super::{parameters, unsupported};
use crate::chat::message::Tool;
use crate::chat::parse::format::CallFormat;
use crate::chat::parse::loose::is_word;
use crate::error::Result;

/// The texts of a format around calls.
#[derive(Debug, Default)]
pub(super) struct Form {
    /// What begins a call in an answer; empty in formats without marker.
    pub(super) trigger: String,
    /// What follows it before the first call.
    pub(super) first: String,
    pub(super) between: String,
    pub(super) close: String,
}

impl Form {
    fn new(trigger: &str, first: &str, between: &str, close: &str) -> Self {
        Self {
            trigger: trigger.to_owned(),
            first: first.to_owned(),
            between: between.to_owned(),
            close: close.to_owned(),
        }
    }

    pub(super) fn of(format: &CallFormat, parallel: bool) -> Self {
        match format {
            CallFormat::None | CallFormat::Harmony => Self::default(),
            CallFormat::Hermes => Self::new(
                "<tool_call>",
                "\n",
                "\n</tool_call>\n<tool_call>\n",
                "\n</tool_call>",
            ),
            CallFormat::Qwen3Coder => Self::new(
                "<tool_call>",
                "\n",
                "\n</tool_call>\n<tool_call>\n",
                "\n</tool_call>",
            ),
            CallFormat::Seed => Self::new(
                "<seed:tool_call>",
                "\n",
                "\n</seed:tool_call>\n<seed:tool_call>\n",
                "\n</seed:tool_call>",
            ),
            CallFormat::MiniMax => {
                Self::new("<minimax:tool_call>", "\n", "\n", "\n</minimax:tool_call>")
            }
            CallFormat::DeepSeekV32 => Self::new(
                "<｜DSML｜function_calls>",
                "\n",
                "\n",
                "\n</｜DSML｜function_calls>",
            ),
            CallFormat::Glm => Self::new("<tool_call>", "", "\n<tool_call>", ""),
            CallFormat::DeepSeekV3 => Self::new(
                "<｜tool▁calls▁begin｜>",
                "<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
                "<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
                "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            ),
            CallFormat::DeepSeekV31 => Self::new(
                "<｜tool▁calls▁begin｜>",
                "<｜tool▁call▁begin｜>",
                "<｜tool▁call▁end｜><｜tool▁call▁begin｜>",
                "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            ),
            CallFormat::Kimi => Self::new(
                "<|tool_calls_section_begin|>",
                "<|tool_call_begin|>functions.",
                "<|tool_call_end|><|tool_call_begin|>functions.",
                "<|tool_call_end|><|tool_calls_section_end|>",
            ),
            CallFormat::Mistral => Self::new("[TOOL_CALLS]", "[", ", ", "]"),
            CallFormat::MistralArgs => Self::new("[TOOL_CALLS]", "", "[TOOL_CALLS]", ""),
            CallFormat::CommandR => Self::new("Action:", " ```json\n[\n", ",\n", "\n]\n```"),
            CallFormat::CommandR7b => Self::new(
                "<|START_ACTION|>",
                "[\n    ",
                ",\n    ",
                "\n]<|END_ACTION|>",
            ),
            CallFormat::Granite => Self::new("<|tool_call|>", "[", ", ", "]"),
            CallFormat::Llama => Self::new("", "", "; ", ""),
            CallFormat::LlamaPythonic => Self::new("", "[", ", ", "]"),
            CallFormat::Functools => Self::new("functools", "[", ", ", "]"),
            CallFormat::Functionary => Self::new("<function=", "", "<function=", ""),
            CallFormat::Apertus => Self::new("<|tools_prefix|>", "[", ", ", "]<|tools_suffix|>"),
            CallFormat::Lfm2 => Self::new("<|tool_call_start|>", "[", ", ", "]<|tool_call_end|>"),
            CallFormat::Olmo => Self::new("<function_calls>", "", "\n", "</function_calls>"),
            CallFormat::Gemma4 => Self::new(
                "<|tool_call>",
                "call:",
                "<tool_call|><|tool_call>call:",
                "<tool_call|>",
            ),
            CallFormat::FunctionGemma => Self::new(
                "<start_function_call>",
                "call:",
                "<end_function_call><start_function_call>call:",
                "<end_function_call>",
            ),
            CallFormat::Json if parallel => Self::new("", "[", ", ", "]"),
            CallFormat::Json => Self::default(),
            CallFormat::Tagged { open, close } => Self::new(open, "[", ", ", &format!("]{close}")),
        }
    }
}

/// One call of a tool, without what is around it.
pub(super) fn body(format: &CallFormat, lark: &mut Lark, tool: &Tool) -> Result<String> {
    let name = tool.name();
    let style = match format {
        CallFormat::Qwen3Coder | CallFormat::Seed => Style::FUNCTION,
        CallFormat::MiniMax => Style::INVOKE,
        CallFormat::DeepSeekV32 => Style::DSML,
        CallFormat::Glm => Style::GLM,
        CallFormat::LlamaPythonic | CallFormat::Lfm2 | CallFormat::Olmo => Style::PYTHON,
        CallFormat::Gemma4 => Style::GEMMA4,
        CallFormat::FunctionGemma => Style::FUNCTION_GEMMA,
        _ => return json_body(format, lark, tool),
    };
    plain_name(name, style.name_ends)?;
    list(lark, tool, &style)
}

fn json_body(format: &CallFormat, lark: &mut Lark, tool: &Tool) -> Result<String> {
    let arguments = lark.json(&parameters(tool)?);
    let name = tool.name();
    let quoted = literal(name);
    let around =
        |before: &str, after: &str| format!("{} {arguments} {}", literal(before), literal(after));
    Ok(match format {
        CallFormat::DeepSeekV3 => {
            plain_name(name, "<\n{`")?;
            around(&format!("{name}\n```json\n"), "\n```")
        }
        CallFormat::DeepSeekV31 => {
            plain_name(name, "<\n")?;
            format!(
                "{} {arguments}",
                lark.text(&format!("{name}<｜tool▁sep｜>"))
            )
        }
        CallFormat::Kimi => {
            plain_name(name, "<\n:")?;
            let number = lark.terminal("/[0-9]{1,3}/");
            let begin = literal(&format!("{name}:"));
            let argument = lark.text("<|tool_call_argument_begin|>");
            format!("{begin} {number} {argument} {arguments}")
        }
        CallFormat::MistralArgs => {
            if !name.chars().all(|c| is_word(c) || c == ':') {
                return Err(unnamed(name));
            }
            format!("{} {arguments}", lark.text(&format!("{name}[ARGS]")))
        }
        CallFormat::Mistral => {
            let id = lark.terminal("/[a-zA-Z0-9]{9}/");
            let begin = literal(&format!("{{\"name\": {quoted}, \"arguments\": "));
            let before = literal(", \"id\": \"");
            let (quote, end) = (literal("\""), literal("}"));
            format!("{begin} {arguments} ({before} {id} {quote})? {end}")
        }
        CallFormat::CommandR => {
            around(&format!("{{\"tool_name\": {quoted}, \"parameters\": "), "}")
        }
        CallFormat::CommandR7b => {
            let number = lark.terminal("/[0-9]{1,3}/");
            let begin = literal("{\"tool_call_id\": \"");
            let rest = around(
                &format!("\", \"tool_name\": {quoted}, \"parameters\": "),
                "}",
            );
            format!("{begin} {number} {rest}")
        }
        CallFormat::Llama => around(&format!("{{\"name\": {quoted}, \"parameters\": "), "}"),
        CallFormat::Functionary => {
            plain_name(name, ">\n")?;
            around(&format!("{name}>"), "</function>")
        }
        CallFormat::Apertus => around(&format!("{{{quoted}: "), "}"),
        _ => around(&format!("{{\"name\": {quoted}, \"arguments\": "), "}"),
    })
}

/// Whether a name that is written as it is can be told from what follows it.
fn plain_name(name: &str, ends: &str) -> Result<()> {
    let fits = if ends.is_empty() {
        name.chars().all(is_word)
    } else {
        !name.contains(|c| ends.contains(c)) && name.trim() == name
    };
    if fits && name.len() <= 200 {
        Ok(())
    } else {
        Err(unnamed(name))
    }
}

fn unnamed(name: &str) -> crate::error::Error {
    unsupported(format!("this model's tool calls cannot name `{name}`"))
}
