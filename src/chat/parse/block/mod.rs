//! Runs a format's program over the text of a call, character by character.

mod head;
mod make;

use std::ops::Range;

use serde_json::{Map, Value};

use super::calls::{self, Known, invalid};
use super::json::{Scan, Step};
use super::loose::is_word;
use super::part::{AnswerPart, CallError};
use super::program::{Entry, Op, Otherwise, Program, Register, Typed};
use super::python;
use super::schema::Types;

/// How long the names of tools and arguments may be.
const MAX_NAME: usize = 256;

/// What a step of the program led to.
#[derive(Debug)]
enum Next {
    /// The next operation.
    On,
    /// That one.
    To(u8),
    /// More text must come.
    More,
    End,
    /// The text does not fit.
    Fail(CallError),
}

/// What became of the text so far.
#[derive(Debug)]
pub(super) enum Run {
    /// It may go on.
    More,
    /// The calls are complete; what is left in [`Block::raw`] is behind them.
    End,
    /// The text was no call.
    Text,
    /// It began as a call and is none.
    Broken(CallError),
}

/// A call that is being read.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// The text from the marker on that was not given out yet.
    pub(super) raw: String,
    /// How long what began it is.
    pub(super) marker: usize,
    /// How much of it the program has read.
    pos: usize,
    /// How much of what follows was looked at already.
    looked: usize,
    at: usize,
    json: Scan,
    python: python::Scan,
    name: String,
    id: String,
    key: String,
    value: Range<usize>,
    /// Whether an argument is anything but JSON.
    plain: bool,
    arguments: Map<String, Value>,
    committed: bool,
    /// Whether a call was complete before.
    pub(super) made: bool,
    pub(super) bare: bool,
}

impl Block {
    /// A call that begins with the entry's text.
    pub(super) fn new(program: &Program, entry: &Entry) -> Self {
        // A bracket is part of the JSON that it begins.
        let bracket = entry.bare && entry.text.len() == 1;
        Self {
            raw: entry.text.to_string(),
            marker: entry.text.len(),
            pos: if bracket { 0 } else { entry.text.len() },
            looked: 0,
            at: program.find(entry.label),
            json: Scan::default(),
            python: python::Scan::default(),
            name: String::new(),
            id: String::new(),
            key: String::new(),
            value: 0..0,
            plain: false,
            arguments: Map::new(),
            committed: false,
            made: false,
            bare: entry.bare,
        }
    }

    /// Goes on with the text that was added to [`Block::raw`]; `end`: nothing follows.
    pub(super) fn run(
        &mut self,
        program: &Program,
        known: &Known,
        end: bool,
        out: &mut Vec<AnswerPart>,
    ) -> Run {
        loop {
            let Some(op) = program.ops.get(self.at) else {
                return Run::End;
            };
            match self.step(op, known, end, out) {
                Next::On => self.go(self.at + 1),
                Next::To(label) => self.go(program.find(label)),
                Next::More if !end => return Run::More,
                Next::More if !self.committed && self.bare => return Run::Text,
                Next::More if !self.committed && self.made => return Run::End,
                Next::More => return Run::Broken(CallError::Unfinished),
                Next::End => {
                    let rest = self.raw.split_off(self.pos);
                    give(out, std::mem::replace(&mut self.raw, rest));
                    return Run::End;
                }
                Next::Fail(_) if !self.committed && self.made => return Run::End,
                Next::Fail(_) if !self.committed => return Run::Text,
                Next::Fail(error) => return Run::Broken(error),
            }
        }
    }

    fn go(&mut self, at: usize) {
        self.at = at;
        self.looked = self.pos;
    }

    fn step(&mut self, op: &Op, known: &Known, end: bool, out: &mut Vec<AnswerPart>) -> Next {
        let rest = self.raw.get(self.pos..).unwrap_or("");
        match op {
            Op::Label(_) => Next::On,
            Op::Goto(label) => Next::To(*label),
            Op::Begin => {
                self.name.clear();
                self.id.clear();
                self.arguments = Map::new();
                self.json = Scan::default();
                self.python = python::Scan::default();
                self.committed = false;
                Next::On
            }
            Op::Commit => {
                self.committed = true;
                Next::On
            }
            Op::Space => {
                self.pos += rest.len() - rest.trim_start().len();
                self.more_unless(self.pos < self.raw.len() || end)
            }
            Op::Literal(text) => match meet(rest, text, end) {
                Meet::All => self.skip(text.len()),
                Meet::Part => Next::More,
                Meet::None => fail(&format!("`{text}` is missing")),
            },
            Op::Optional(text) => match meet(rest, text, end) {
                Meet::All => self.skip(text.len()),
                Meet::Part => Next::More,
                Meet::None => Next::On,
            },
            Op::Switch(choices, otherwise) => {
                for (text, label) in choices {
                    match meet(rest, text, end) {
                        Meet::All => {
                            self.pos += text.len();
                            return Next::To(*label);
                        }
                        Meet::Part => return Next::More,
                        Meet::None => {}
                    }
                }
                match otherwise {
                    Otherwise::Next => Next::On,
                    Otherwise::End => Next::End,
                    Otherwise::Fail if end && rest.is_empty() => Next::More,
                    Otherwise::Fail => fail(&unexpected(rest)),
                }
            }
            Op::Peek(chars) => match rest.chars().next() {
                None => Next::More,
                Some(c) if chars.contains(c) => Next::On,
                Some(_) => fail(&unexpected(rest)),
            },
            Op::If(wanted, label) => match rest.chars().next() {
                None if end => Next::On,
                None => Next::More,
                Some(c) if c == *wanted => Next::To(*label),
                Some(_) => Next::On,
            },
            Op::Word(register) => {
                // Kimi's and Harmony's names have colons.
                let length = rest
                    .find(|c| !(is_word(c) || c == ':'))
                    .unwrap_or(rest.len());
                if length > MAX_NAME {
                    return fail("a name is too long");
                }
                if length == rest.len() {
                    return Next::More;
                }
                if length == 0 {
                    return fail(&unexpected(rest));
                }
                let word = rest.get(..length).unwrap_or("").to_owned();
                self.set(*register, word);
                self.skip(length)
            }
            Op::Ending(ending) if self.name.ends_with(ending) => Next::On,
            Op::Ending(ending) => fail(&format!("a name does not end in `{ending}`")),
            Op::Until(register, text) => self.until(*register, text),
            Op::Json => self.scan(|block, c| block.json.step(c)),
            Op::Python => self.scan(|block, c| block.python.step(c)),
            Op::Lines(close) => self.lines(close, end),
            Op::Quoted(quote) => self.quoted(quote),
            Op::Head => self.head(known),
            Op::PythonHead => self.python_head(known),
            Op::Argument(close, typed) => self.argument(close, *typed, known),
            Op::Make(make) => self.make(*make, known, out),
            Op::End => Next::End,
        }
    }

    fn more_unless(&self, on: bool) -> Next {
        if on { Next::On } else { Next::More }
    }

    fn skip(&mut self, length: usize) -> Next {
        self.pos += length;
        Next::On
    }

    fn set(&mut self, register: Register, text: String) {
        match register {
            Register::Name => self.name = text,
            Register::Id => self.id = text,
            Register::Key => self.key = text,
        }
    }

    fn until(&mut self, register: Register, text: &str) -> Next {
        // An occurrence may begin in what was looked at and end in what is new.
        let mut from = self.looked.max(self.pos + text.len()) - text.len();
        while !self.raw.is_char_boundary(from) {
            from -= 1;
        }
        let found = self.raw.get(from..).unwrap_or("").find(text);
        let end = found.map_or(self.raw.len(), |at| from + at);
        self.looked = self.raw.len();
        let inner = self.raw.get(self.pos..end).unwrap_or("");
        if inner.len() > MAX_NAME || inner.contains('\n') {
            return fail("a name does not end");
        }
        if found.is_none() {
            return Next::More;
        }
        if inner.trim().is_empty() {
            return fail("a name is empty");
        }
        let inner = inner.to_owned();
        self.set(register, inner);
        self.pos = end + text.len();
        Next::On
    }

    /// Reads the value of an argument. Where it must be JSON, what ends it is no end in a string.
    fn argument(&mut self, close: &str, typed: Typed, known: &Known) -> Next {
        let types = match typed {
            Typed::Text => Types::default(),
            Typed::Json | Typed::Schema | Typed::Lines => known
                .tool(self.name.trim())
                .map(|tool| Types::of(tool.parameters(), self.key.trim()))
                .unwrap_or_default(),
        };
        if self.looked == self.pos {
            self.json = Scan::default();
            self.plain = typed != Typed::Json && types.text();
        }
        while let Some(rest) = self.raw.get(self.looked..).filter(|rest| !rest.is_empty()) {
            if self.plain || !self.json.quoted() {
                match meet(rest, close, false) {
                    Meet::All => {
                        let text = self.raw.get(self.pos..self.looked).unwrap_or("");
                        let value = match typed {
                            Typed::Text => Ok(Value::String(text.to_owned())),
                            Typed::Json => calls::value(text),
                            Typed::Schema => Ok(types.read(text)),
                            Typed::Lines => {
                                let text = text.strip_prefix('\n').unwrap_or(text);
                                Ok(types.read(text.strip_suffix('\n').unwrap_or(text)))
                            }
                        };
                        self.pos = self.looked + close.len();
                        return match value {
                            Ok(value) => {
                                self.arguments.insert(self.key.clone(), value);
                                Next::On
                            }
                            Err(error) => Next::Fail(error),
                        };
                    }
                    Meet::Part => return Next::More,
                    Meet::None => {}
                }
            }
            let Some(c) = rest.chars().next() else { break };
            self.looked += c.len_utf8();
            self.plain |= self.json.step(c) != Step::More;
        }
        Next::More
    }

    /// Reads a value in brackets.
    fn scan(&mut self, step: impl Fn(&mut Self, char) -> Step) -> Next {
        while let Some(c) = self.raw.get(self.looked..).and_then(|r| r.chars().next()) {
            self.looked += c.len_utf8();
            match step(self, c) {
                Step::More => {}
                Step::Done => {
                    self.value = self.pos..self.looked;
                    self.pos = self.looked;
                    return Next::On;
                }
                Step::Broken(why) => return fail(why),
            }
        }
        Next::More
    }

    /// Reads calls as in Python, up to a text that is in none of their strings.
    fn lines(&mut self, close: &str, end: bool) -> Next {
        while let Some(rest) = self.raw.get(self.looked..).filter(|rest| !rest.is_empty()) {
            if !self.python.quoted() {
                match meet(rest, close, end) {
                    Meet::All => {
                        self.value = self.pos..self.looked;
                        self.pos = self.looked + close.len();
                        return Next::On;
                    }
                    Meet::Part => return Next::More,
                    Meet::None => {}
                }
            }
            let Some(c) = rest.chars().next() else { break };
            self.looked += c.len_utf8();
            if let Step::Broken(why) = self.python.step(c) {
                return fail(why);
            }
        }
        Next::More
    }

    /// Reads an object whose strings are between `quote`s, or usual ones.
    fn quoted(&mut self, quote: &str) -> Next {
        while let Some(rest) = self.raw.get(self.looked..).filter(|rest| !rest.is_empty()) {
            if !self.python.quoted() {
                match meet(rest, quote, false) {
                    Meet::All => {
                        self.python.special = !self.python.special;
                        self.looked += quote.len();
                        continue;
                    }
                    Meet::Part => return Next::More,
                    Meet::None => {}
                }
            }
            let Some(c) = rest.chars().next() else { break };
            self.looked += c.len_utf8();
            if self.python.special {
                continue;
            }
            match self.python.step(c) {
                Step::More => {}
                Step::Done => {
                    self.value = self.pos..self.looked;
                    self.pos = self.looked;
                    return Next::On;
                }
                Step::Broken(why) => return fail(why),
            }
        }
        Next::More
    }
}

/// How the text meets another one.
enum Meet {
    All,
    /// It is a beginning of it and may still become it.
    Part,
    None,
}

fn meet(text: &str, wanted: &str, end: bool) -> Meet {
    if text.starts_with(wanted) {
        Meet::All
    } else if !end && wanted.starts_with(text) {
        Meet::Part
    } else {
        Meet::None
    }
}

fn fail(why: &str) -> Next {
    Next::Fail(invalid(why))
}

fn unexpected(rest: &str) -> String {
    let found: String = rest.chars().take(20).collect();
    format!("`{found}` is not expected there")
}

fn give(out: &mut Vec<AnswerPart>, text: String) {
    if !text.is_empty() {
        AnswerPart::merge(out, AnswerPart::Markup(text));
    }
}
