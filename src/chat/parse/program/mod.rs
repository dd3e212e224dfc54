//! How calls are written, as small programs that `block` runs over the text.

mod formats;
mod tags;

use std::borrow::Cow;

use super::calls::Shape;

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
}

fn text(text: &'static str) -> Text {
    text.into()
}
