//! The programs of the formats.

use super::{Make, Op, Otherwise, Place, Program, Register, Text, Typed, tags, text};
use crate::chat::parse::calls::Shape;
use crate::chat::parse::format::CallFormat;

impl Program {
    /// The program of a format; none for harmony, which is more than calls.
    pub(in crate::chat::parse) fn of(format: &CallFormat) -> Self {
        match format {
            CallFormat::None | CallFormat::Harmony => Self::default(),
            CallFormat::Hermes => tagged("<tool_call>", "</tool_call>", false),
            CallFormat::Tagged { open, close } => tagged(open.clone(), close.clone(), false),
            CallFormat::Granite => tagged("<|tool_call|>", "</tool_call>", false)
                .enter("<tool_call>", 0)
                .drop(&["<response>", "</response>"]),
            CallFormat::Apertus => {
                let mut program = tagged("<|tools_prefix|>", "<|tools_suffix|>", false);
                for op in &mut program.ops {
                    if let Op::Make(make) = op {
                        *make = Make::Json(Shape::Keyed);
                    }
                }
                program
            }
            CallFormat::Lfm2 => tagged("<|tool_call_start|>", "<|tool_call_end|>", true),
            CallFormat::Olmo => olmo(),
            CallFormat::Qwen3Coder => tags::QWEN3_CODER.program(),
            CallFormat::Seed => tags::SEED.program(),
            CallFormat::MiniMax => tags::MINIMAX.program(),
            CallFormat::DeepSeekV32 => tags::DEEPSEEK_V32.program(),
            CallFormat::Glm => glm(),
            CallFormat::Mistral | CallFormat::MistralArgs => mistral(),
            CallFormat::CommandR => command_r(),
            CallFormat::CommandR7b => tagged("<|START_ACTION|>", "<|END_ACTION|>", false).drop(&[
                "<|START_RESPONSE|>",
                "<|END_RESPONSE|>",
                "<|START_TEXT|>",
                "<|END_TEXT|>",
            ]),
            CallFormat::DeepSeekV3 | CallFormat::DeepSeekV31 => deepseek(),
            CallFormat::Kimi => kimi(),
            CallFormat::Functools => functools(),
            CallFormat::Functionary => functionary(),
            CallFormat::Llama => llama(),
            CallFormat::LlamaPythonic => pythonic(),
            CallFormat::Gemma4 => {
                gemma("<|tool_call>", "<tool_call|>", "<|\"|>").drop(&["<|tool_response>"])
            }
            CallFormat::FunctionGemma => {
                gemma("<start_function_call>", "<end_function_call>", "<escape>")
            }
            CallFormat::Json => json(),
        }
    }
}

const CALL: Op = Op::Make(Make::Json(Shape::Named));

/// JSON between two markers, of which the second may be missing: a call, several, or a list.
fn tagged(open: impl Into<Text>, close: impl Into<Text>, python: bool) -> Program {
    let close = close.into();
    let mut ops = vec![
        Op::Label(0),
        Op::Begin,
        Op::Space,
        Op::Peek("{["),
        Op::If('{', 1),
    ];
    if python {
        // One scanner finds the end of a list of calls and of one of JSON objects.
        ops.extend([
            Op::Commit,
            Op::Python,
            Op::Space,
            Op::Optional(close.clone()),
            Op::Make(Make::Python),
            Op::End,
        ]);
    }
    ops.extend([
        Op::Label(1),
        Op::Commit,
        Op::Json,
        Op::Space,
        Op::Switch(vec![(close.clone(), 2)], Otherwise::Next),
        CALL,
        Op::If('{', 3),
        Op::End,
        Op::Label(2),
        CALL,
        Op::End,
        Op::Label(3),
        Op::Begin,
        Op::Goto(1),
    ]);
    Program::new(ops).enter(open, 0).close(close)
}

fn glm() -> Program {
    Program::new(vec![
        Op::Label(0),
        Op::Begin,
        Op::Space,
        Op::Word(Register::Name),
        Op::Space,
        Op::Switch(
            vec![(text("<arg_key>"), 2), (text("</tool_call>"), 3)],
            Otherwise::Fail,
        ),
        Op::Label(1),
        Op::Space,
        Op::Switch(
            vec![(text("<arg_key>"), 2), (text("</tool_call>"), 3)],
            Otherwise::Fail,
        ),
        Op::Label(2),
        Op::Commit,
        Op::Until(Register::Key, text("</arg_key>")),
        Op::Space,
        Op::Literal(text("<arg_value>")),
        Op::Argument(text("</arg_value>"), Typed::Schema),
        Op::Goto(1),
        Op::Label(3),
        Op::Commit,
        Op::Make(Make::Arguments),
        Op::End,
    ])
    .enter("<tool_call>", 0)
    .close("</tool_call>")
    .inner(&["<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"])
}

fn mistral() -> Program {
    Program::new(vec![
        Op::Label(0),
        Op::Begin,
        Op::Space,
        Op::If('[', 1),
        Op::If('{', 1),
        Op::Word(Register::Name),
        Op::Space,
        Op::Switch(
            vec![(text("[CALL_ID]"), 2), (text("[ARGS]"), 3)],
            Otherwise::Next,
        ),
        Op::Peek("{"),
        Op::Goto(3),
        Op::Label(2),
        Op::Commit,
        Op::Space,
        Op::Word(Register::Id),
        Op::Space,
        Op::Literal(text("[ARGS]")),
        Op::Label(3),
        Op::Commit,
        Op::Space,
        Op::Peek("{"),
        Op::Json,
        Op::Make(Make::Header),
        Op::End,
        Op::Label(1),
        Op::Commit,
        Op::Json,
        CALL,
        Op::End,
    ])
    .enter("[TOOL_CALLS]", 0)
    .inner(&["[CALL_ID]", "[ARGS]"])
}

fn command_r() -> Program {
    Program::new(vec![
        Op::Label(0),
        Op::Begin,
        Op::Space,
        Op::Literal(text("```json")),
        Op::Space,
        Op::Peek("[{"),
        Op::Commit,
        Op::Json,
        Op::Space,
        Op::Optional(text("```")),
        CALL,
        Op::End,
    ])
    .enter("Action:", 0)
    .at(Place::Line)
    .close("```")
}

const DEEPSEEK_BEGIN: &str = "<｜tool▁call▁begin｜>";
const DEEPSEEK_END: &str = "<｜tool▁call▁end｜>";
const DEEPSEEK_ALL_END: &str = "<｜tool▁calls▁end｜>";
const DEEPSEEK_SEPARATOR: &str = "<｜tool▁sep｜>";

/// V3 and R1: `function`, a separator, the name, and JSON in a fence; V3.1: the name, a separator,
/// and JSON.
fn deepseek() -> Program {
    let mut program = Program::new(vec![
        Op::Label(0),
        Op::Space,
        Op::Optional(text(DEEPSEEK_BEGIN)),
        Op::Label(1),
        Op::Begin,
        Op::Space,
        Op::Until(Register::Name, text(DEEPSEEK_SEPARATOR)),
        Op::Commit,
        Op::Space,
        Op::If('{', 2),
        // What was read is the kind of the tool, its name follows.
        Op::Until(Register::Name, text("\n")),
        Op::Space,
        Op::Optional(text("```json")),
        Op::Space,
        Op::Peek("{"),
        Op::Label(2),
        Op::Json,
        Op::Space,
        Op::Optional(text("```")),
        Op::Space,
        Op::Optional(text(DEEPSEEK_END)),
        Op::Make(Make::Header),
        Op::Space,
        Op::Switch(
            vec![(text(DEEPSEEK_BEGIN), 1), (text(DEEPSEEK_ALL_END), 3)],
            Otherwise::End,
        ),
        Op::Label(3),
        Op::End,
    ]);
    // The first is right; models also write the others.
    for open in [
        "<｜tool▁calls▁begin｜>",
        "<｜tool_calls_begin｜>",
        "<｜tool calls begin｜>",
        "<｜tool\\_calls\\_begin｜>",
        "<｜tool▁calls｜>",
    ] {
        program = program.enter(open, 0);
    }
    program
        .enter(DEEPSEEK_BEGIN, 1)
        .close(DEEPSEEK_END)
        .close(DEEPSEEK_ALL_END)
        .inner(&[DEEPSEEK_SEPARATOR])
}

fn kimi() -> Program {
    Program::new(vec![
        Op::Label(0),
        Op::Space,
        Op::Literal(text("<|tool_call_begin|>")),
        Op::Label(1),
        Op::Begin,
        Op::Space,
        Op::Until(Register::Name, text("<|tool_call_argument_begin|>")),
        Op::Commit,
        Op::Space,
        Op::Peek("{"),
        Op::Json,
        Op::Space,
        Op::Optional(text("<|tool_call_end|>")),
        Op::Make(Make::Kimi),
        Op::Space,
        Op::Switch(
            vec![
                (text("<|tool_call_begin|>"), 1),
                (text("<|tool_calls_section_end|>"), 2),
            ],
            Otherwise::End,
        ),
        Op::Label(2),
        Op::End,
    ])
    .enter("<|tool_calls_section_begin|>", 0)
    .enter("<|tool_call_begin|>", 1)
    .close("<|tool_call_end|>")
    .close("<|tool_calls_section_end|>")
    .inner(&["<|tool_call_argument_begin|>"])
}

fn functools() -> Program {
    Program::new(vec![
        Op::Label(0),
        Op::Begin,
        Op::Space,
        Op::Peek("["),
        Op::Commit,
        Op::Json,
        Op::Space,
        Op::Optional(text("<|/tool_call|>")),
        CALL,
        Op::End,
    ])
    .enter("functools", 0)
    .enter("<|tool_call|>", 0)
    .close("<|/tool_call|>")
}

/// Functionary 3.1: `<function=NAME>{…}</function>`.
fn functionary() -> Program {
    Program::new(vec![
        Op::Label(0),
        Op::Begin,
        Op::Until(Register::Name, text(">")),
        Op::Space,
        Op::Peek("{"),
        Op::Commit,
        Op::Json,
        Op::Space,
        Op::Optional(text("</function>")),
        Op::Make(Make::Header),
        Op::End,
    ])
    .enter("<function=", 0)
    .close("</function>")
}

/// A JSON object, or several with semicolons between, with or without the marker; built-in tools
/// have it always.
fn llama() -> Program {
    Program::new(vec![
        Op::Label(0),
        Op::Begin,
        Op::Space,
        Op::If('{', 1),
        Op::Word(Register::Name),
        Op::Ending(".call"),
        Op::Peek("("),
        Op::Commit,
        Op::Python,
        Op::Make(Make::Builtin),
        Op::End,
        Op::Label(1),
        Op::Commit,
        Op::Goto(3),
        Op::Label(2),
        Op::Begin,
        Op::Head,
        Op::Label(3),
        Op::Json,
        CALL,
        Op::Space,
        Op::Switch(vec![(text(";"), 4)], Otherwise::End),
        Op::Label(4),
        Op::Begin,
        Op::Space,
        Op::Peek("{"),
        Op::Commit,
        Op::Goto(3),
    ])
    .enter("<|python_tag|>", 0)
    .bare("{", 2)
}

/// Llama 3.2 and 4: a list of calls as in Python, alone or between markers.
fn pythonic() -> Program {
    Program::new(vec![
        Op::Label(0),
        Op::Begin,
        Op::Space,
        Op::Peek("["),
        Op::Commit,
        Op::Python,
        Op::Space,
        Op::Optional(text("<|python_end|>")),
        Op::Make(Make::Python),
        Op::End,
        Op::Label(1),
        Op::Begin,
        Op::PythonHead,
        Op::Python,
        Op::Make(Make::Python),
        Op::End,
    ])
    .enter("<|python_start|>", 0)
    .enter("<|python_tag|>", 0)
    .close("<|python_end|>")
    .bare("[", 1)
}

/// Calls as in Python, each on a line of its own.
fn olmo() -> Program {
    Program::new(vec![
        Op::Label(0),
        Op::Begin,
        Op::Space,
        Op::PythonHead,
        Op::Commit,
        Op::Lines("</function_calls>"),
        Op::Make(Make::Python),
        Op::End,
    ])
    .enter("<function_calls>", 0)
    .close("</function_calls>")
}

fn gemma(open: &'static str, close: &'static str, quote: &'static str) -> Program {
    Program::new(vec![
        Op::Label(0),
        Op::Begin,
        Op::Space,
        Op::Literal(text("call:")),
        Op::Word(Register::Name),
        Op::Peek("{"),
        Op::Commit,
        Op::Quoted(quote),
        Op::Space,
        Op::Optional(text(close)),
        Op::Make(Make::Quoted(quote)),
        Op::End,
    ])
    .enter(open, 0)
    .close(close)
    .inner(&[quote])
}

/// JSON and nothing around it but, at most, a fence.
fn json() -> Program {
    Program::new(vec![
        Op::Label(0),
        Op::Begin,
        Op::Head,
        Op::Json,
        CALL,
        Op::End,
        Op::Label(1),
        Op::Begin,
        Op::Space,
        Op::Peek("{["),
        Op::Head,
        Op::Json,
        Op::Space,
        Op::Optional(text("```")),
        CALL,
        Op::End,
    ])
    .bare("{", 0)
    .bare("[", 0)
    .bare("```json", 1)
}
