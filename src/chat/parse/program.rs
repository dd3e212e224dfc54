//! How calls are written, as small programs that `block.rs` runs over the text: one for each format.

use std::borrow::Cow;

use super::calls::Shape;
use super::format::CallFormat;

/// A text that an answer is compared with.
pub(super) type Text = Cow<'static, str>;

/// A place in a program.
pub(super) type Label = u8;

/// Where text goes that a program reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Register {
    Name,
    Id,
    Key,
}

/// What becomes of the value of a named argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Typed {
    /// What the tool's schema says.
    Schema,
    /// The same, on lines of its own.
    Lines,
    Text,
    Json,
}

/// What a call is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Make {
    /// The value, which is JSON and names the tool.
    Json(Shape),
    /// The name and the value, the object of its arguments.
    Header,
    /// Kimi's name, `functions.NAME:NUMBER`, which is also the id, and the value.
    Kimi,
    /// The name and the arguments read so far.
    Arguments,
    /// The value, calls as in Python.
    Python,
    /// The name, which ends in `.call`, and the value, its arguments in brackets as in Python.
    Builtin,
    /// The name and the value, an object with these quotes.
    Quoted(&'static str),
}

/// One step. What does not fit ends the program: before [`Op::Commit`] the text was no call, after
/// it, it is a malformed one.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Label(Label),
    Goto(Label),
    /// A call begins.
    Begin,
    Commit,
    /// As much whitespace as there is.
    Space,
    Literal(Text),
    /// The text, if it is there.
    Optional(Text),
    /// Goes on where the first text says that is there.
    Switch(Vec<(Text, Label)>, Otherwise),
    /// The next character, which stays, must be one of these.
    Peek(&'static str),
    /// Goes on at the label if the next character is this one.
    If(char, Label),
    /// Letters, digits and what else names have.
    Word(Register),
    /// The name that was read must end so.
    Ending(&'static str),
    /// Text up to this one; it is short and on one line.
    Until(Register, Text),
    /// A JSON value in brackets.
    Json,
    /// The same with Python's quotes.
    Python,
    /// Calls as in Python, up to and with this text.
    Lines(&'static str),
    /// An object, up to its last brace, whose strings have these quotes.
    Quoted(&'static str),
    /// Goes on only if the text, which stays, begins as a call in JSON does.
    Head,
    /// The same for calls as in Python.
    PythonHead,
    /// The value of an argument, up to and with this text.
    Argument(Text, Typed),
    Make(Make),
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Otherwise {
    Fail,
    Next,
    End,
}

/// Where in an answer a call may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Anywhere,
    /// At the beginning of a line.
    Line,
    /// Before anything is said.
    Start,
}

/// A text that begins a call.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) text: Text,
    pub(super) place: Place,
    pub(super) label: Label,
    /// Whether the text is part of the call itself, so that it is no marker.
    pub(super) bare: bool,
}

/// All that is to be known about a way to write calls.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    pub(super) ops: Vec<Op>,
    pub(super) entries: Vec<Entry>,
    /// What ends a call that could not be read.
    pub(super) closers: Vec<Text>,
    /// Markers that say nothing wherever they stand.
    pub(super) dropped: Vec<Text>,
    /// Markers within calls.
    pub(super) inner: Vec<Text>,
}

impl Program {
    pub(super) fn find(&self, label: Label) -> usize {
        let found = |op: &Op| matches!(op, Op::Label(l) if *l == label);
        self.ops.iter().position(found).unwrap_or(self.ops.len())
    }

    fn new(ops: Vec<Op>) -> Self {
        Self {
            ops,
            ..Self::default()
        }
    }

    fn enter(mut self, text: impl Into<Text>, label: Label) -> Self {
        self.entries.push(Entry {
            text: text.into(),
            place: Place::Anywhere,
            label,
            bare: false,
        });
        self
    }

    fn at(mut self, place: Place) -> Self {
        if let Some(entry) = self.entries.last_mut() {
            entry.place = place;
        }
        self
    }

    /// A call that begins without a marker.
    fn bare(mut self, text: &'static str, label: Label) -> Self {
        self = self.enter(text, label).at(Place::Start);
        if let Some(entry) = self.entries.last_mut() {
            entry.bare = true;
        }
        self
    }

    fn close(mut self, text: impl Into<Text>) -> Self {
        self.closers.push(text.into());
        self.closers.retain(|text| !text.is_empty());
        self
    }

    fn drop(mut self, texts: &[&'static str]) -> Self {
        self.dropped.extend(texts.iter().map(|&text| text.into()));
        self
    }

    fn inner(mut self, texts: &[&'static str]) -> Self {
        self.inner.extend(texts.iter().map(|&text| text.into()));
        self
    }

    /// The program of a format; none for harmony, which is more than calls.
    pub(super) fn of(format: &CallFormat) -> Self {
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
            CallFormat::Qwen3Coder => Tags {
                outer: &[("<tool_call>", "</tool_call>")],
                ..FUNCTION
            }
            .program(),
            CallFormat::Seed => Tags {
                outer: &[("<seed:tool_call>", "</seed:tool_call>")],
                ..FUNCTION
            }
            .program(),
            CallFormat::MiniMax => Tags {
                outer: &[("<minimax:tool_call>", "</minimax:tool_call>")],
                ..INVOKE
            }
            .program(),
            CallFormat::DeepSeekV32 => DSML.program(),
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

fn text(text: &'static str) -> Text {
    text.into()
}

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

/// Calls as elements: a name, then its arguments one by one.
struct Tags {
    /// What is around one call or several.
    outer: &'static [(&'static str, &'static str)],
    /// Whether a call may stand without it.
    alone: bool,
    call: (&'static str, &'static str, &'static str),
    key: &'static str,
    /// What may be between a key and its value, and the type that it says.
    value: &'static [(&'static str, Typed)],
    end: &'static str,
}

const FUNCTION: Tags = Tags {
    outer: &[],
    alone: true,
    call: ("<function=", ">", "</function>"),
    key: "<parameter=",
    value: &[(">", Typed::Lines)],
    end: "</parameter>",
};

const INVOKE: Tags = Tags {
    outer: &[],
    alone: false,
    call: ("<invoke name=\"", "\">", "</invoke>"),
    key: "<parameter name=\"",
    value: &[("\">", Typed::Schema)],
    end: "</parameter>",
};

const DSML: Tags = Tags {
    outer: &[
        ("<｜DSML｜function_calls>", "</｜DSML｜function_calls>"),
        ("<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>"),
    ],
    alone: false,
    call: ("<｜DSML｜invoke name=\"", "\">", "</｜DSML｜invoke>"),
    key: "<｜DSML｜parameter name=\"",
    value: &[
        ("\" string=\"true\">", Typed::Text),
        ("\" string=\"false\">", Typed::Json),
        ("\">", Typed::Schema),
    ],
    end: "</｜DSML｜parameter>",
};

impl Tags {
    fn program(&self) -> Program {
        const CALL: Label = 1;
        const ARGUMENTS: Label = 2;
        const KEY: Label = 3;
        const MADE: Label = 4;
        const END: Label = 5;
        const VALUES: Label = 10;
        let mut ops = vec![
            Op::Label(0),
            Op::Space,
            Op::Literal(text(self.call.0)),
            Op::Label(CALL),
            Op::Begin,
            Op::Until(Register::Name, text(self.call.1)),
            Op::Commit,
            Op::Label(ARGUMENTS),
            Op::Space,
            Op::Switch(
                vec![(text(self.key), KEY), (text(self.call.2), MADE)],
                Otherwise::Fail,
            ),
            Op::Label(KEY),
        ];
        // The key ends where the first quote or bracket is; what follows it says the type.
        let (first, _) = self.value[0];
        let stop = &first[..1];
        ops.push(Op::Until(Register::Key, text(stop)));
        if first.len() > 1 || self.value.len() > 1 {
            let choices = self.value.iter().zip(VALUES..);
            ops.push(Op::Switch(
                choices.map(|((t, _), l)| (text(&t[1..]), l)).collect(),
                Otherwise::Fail,
            ));
        }
        for ((_, typed), label) in self.value.iter().zip(VALUES..) {
            ops.extend([
                Op::Label(label),
                Op::Argument(text(self.end), *typed),
                Op::Goto(ARGUMENTS),
            ]);
        }
        let mut next = vec![(text(self.call.0), CALL)];
        next.extend(self.outer.iter().map(|(_, close)| (text(close), END)));
        ops.extend([
            Op::Label(MADE),
            Op::Make(Make::Arguments),
            Op::Space,
            Op::Switch(next, Otherwise::End),
            Op::Label(END),
            Op::End,
        ]);
        let mut program = Program::new(ops).inner(&[self.key, self.end]);
        for (open, close) in self.outer {
            program = program.enter(*open, 0).close(*close);
        }
        if self.alone {
            program = program.enter(self.call.0, CALL);
        } else {
            program = program.inner(&[self.call.0]);
        }
        program.close(self.call.2)
    }
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
