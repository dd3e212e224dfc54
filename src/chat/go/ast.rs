//! What a template is made of once it is parsed.

use std::collections::HashMap;

use super::text::{Author, Text};

/// A template and those that it defines.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub(super) root: Vec<Node>,
    pub(super) defined: HashMap<String, Vec<Node>>,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If(Branches),
    With(Branches),
    Range {
        pipe: Pipe,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Template {
        at: u32,
        name: String,
        pipe: Option<Pipe>,
    },
    Break,
    Continue,
}

/// `if`, or `with`, and its `else`s.
#[derive(Debug, Clone)]
pub(super) struct Branches {
    /// Conditions and what they lead to, in order.
    pub(super) arms: Vec<(Pipe, Vec<Node>)>,
    pub(super) otherwise: Vec<Node>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Pipe {
    pub(super) at: u32,
    /// The variables that get its value.
    pub(super) variables: Vec<String>,
    /// Whether these exist already.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
}

/// A value or a call: never empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Command {
    pub(super) words: Vec<Word>,
}

#[derive(Debug, Clone)]
pub(super) struct Word {
    /// Where it is in the source.
    pub(super) at: u32,
    pub(super) term: Term,
}

#[derive(Debug, Clone)]
pub(super) enum Term {
    Dot,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Quoted),
    /// Of dot.
    Fields(Vec<String>),
    Variable(String, Vec<String>),
    Function(String),
    Pipe(Box<Pipe>),
    /// Fields of what is in parentheses or of a function's result.
    Chain(Box<Word>, Vec<String>),
}

/// A constant text: bytes, since Go's escapes can make any.
#[derive(Debug, Clone)]
pub(super) struct Quoted(pub(super) Vec<u8>);

impl Quoted {
    pub(super) fn to_text(&self) -> Text {
        Text::from_bytes(&self.0, Author::Template)
    }
}
