//! The messages of gpt-oss: each has a header, which says what its text is.

use super::calls::{self, Known};
use super::json::{Scan, Step};
use super::part::{AnswerPart, CallError};
use super::text::Mode;

const START: &str = "<|start|>";
const CHANNEL: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";
const CONSTRAIN: &str = "<|constrain|>";

/// All that the format consists of.
pub(super) const MARKERS: [&str; 7] = [
    START,
    CHANNEL,
    MESSAGE,
    CONSTRAIN,
    "<|end|>",
    "<|return|>",
    "<|call|>",
];

/// What ends a message's text.
const ENDS: [&str; 5] = ["<|end|>", "<|return|>", "<|call|>", START, CHANNEL];

const MAX_HEADER: usize = 512;

/// Where in the answer the next character is.
#[derive(Debug, Clone)]
enum Place {
    Header,
    Text(Mode),
    Call(Call),
}

/// A call whose arguments are being read.
#[derive(Debug, Clone)]
struct Call {
    name: String,
    /// Where in the held text they begin.
    from: usize,
    /// Where they are in JSON, as long as they are: a marker in a string is part of it.
    scan: Option<Scan>,
}

/// Reads harmony's messages.
#[derive(Debug, Clone)]
pub(super) struct Harmony {
    place: Place,
    held: String,
    /// Of the first header: what the prompt holds of it.
    begun: String,
}

/// The message that a prompt has begun: all from its start on.
pub(super) fn begun(prompt: &str) -> String {
    let start = prompt.rfind(START).unwrap_or(prompt.len());
    let message = prompt.get(start..).unwrap_or("");
    let ended = ENDS[..3].iter().any(|end| message.contains(end));
    if ended {
        String::new()
    } else {
        message.to_owned()
    }
}

impl Harmony {
    pub(super) fn new(begun: &str) -> Self {
        let place = match begun.split_once(MESSAGE) {
            Some((header, _)) => Header::read(header).place(0),
            None => Place::Header,
        };
        let begun = match place {
            Place::Header => begun.to_owned(),
            _ => String::new(),
        };
        Self {
            place,
            held: String::new(),
            begun,
        }
    }

    pub(super) fn take(
        &mut self,
        c: char,
        known: &Known,
        max_call_bytes: usize,
        (again, out): (&mut Vec<char>, &mut Vec<AnswerPart>),
    ) {
        self.held.push(c);
        match self.place.kind() {
            Kind::Header => self.header(again, out),
            Kind::Text(mode) => self.text(mode, out),
            Kind::Call => {
                self.call(c, known, out);
                if self.held.len() > max_call_bytes && matches!(self.place, Place::Call(..)) {
                    self.malformed(CallError::TooLong, out);
                }
            }
        }
    }

    /// Ends the answer.
    pub(super) fn end(&mut self, known: &Known, out: &mut Vec<AnswerPart>) {
        let held = std::mem::take(&mut self.held);
        match std::mem::replace(&mut self.place, Place::Text(Mode::Content)) {
            Place::Text(mode) => give(mode, held, out),
            Place::Call(call) => call.make(&held, false, known, out),
            Place::Header => {
                let header = Header::read(&held);
                if header.recipient.is_some() {
                    let error = CallError::Unfinished;
                    out.push(AnswerPart::Malformed { text: held, error });
                } else if MARKERS.iter().any(|marker| held.contains(marker)) {
                    markup(held, out);
                } else {
                    give(Mode::Content, held, out);
                }
            }
        }
    }

    fn header(&mut self, again: &mut Vec<char>, out: &mut Vec<AnswerPart>) {
        if let Some(header) = self.held.strip_suffix(MESSAGE) {
            let header = format!("{}{header}", std::mem::take(&mut self.begun));
            self.place = Header::read(&header).place(self.held.len());
            if !matches!(self.place, Place::Call(..)) {
                markup(std::mem::take(&mut self.held), out);
            }
        } else if !plausible(&self.held) || self.held.len() > MAX_HEADER {
            self.begun.clear();
            self.place = Place::Text(Mode::Content);
            let held = std::mem::take(&mut self.held);
            // A marker that began it is none here; what follows it may hold others.
            let marker = MARKERS.iter().find(|marker| held.starts_with(**marker));
            let first = held.chars().next().map_or(0, char::len_utf8);
            let (text, rest) = held.split_at(marker.map_or(first, |marker| marker.len()));
            give(Mode::Content, text.to_owned(), out);
            again.extend(rest.chars().rev());
        }
    }

    fn text(&mut self, mode: Mode, out: &mut Vec<AnswerPart>) {
        loop {
            let held = &self.held;
            if let Some(marker) = ENDS.iter().find(|marker| held.as_str() == **marker) {
                if matches!(*marker, START | CHANNEL) {
                    self.place = Place::Header;
                } else {
                    markup(std::mem::take(&mut self.held), out);
                    self.place = Place::Text(Mode::Content);
                }
                return;
            }
            if held.is_empty() || ENDS.iter().any(|marker| marker.starts_with(held.as_str())) {
                return;
            }
            let first = held.chars().next().map_or(0, char::len_utf8);
            give(mode, self.held.drain(..first).collect(), out);
        }
    }

    fn call(&mut self, c: char, known: &Known, out: &mut Vec<AnswerPart>) {
        let Place::Call(call) = &mut self.place else {
            return;
        };
        if let Some(scan) = &mut call.scan {
            if scan.step(c) != Step::More {
                call.scan = None;
            } else if scan.quoted() {
                return;
            }
        }
        let Some(marker) = ENDS.iter().find(|marker| self.held.ends_with(**marker)) else {
            return;
        };
        let rest = self.held.split_off(self.held.len() - marker.len());
        let text = std::mem::replace(&mut self.held, rest);
        let after = Place::Text(Mode::Content);
        if let Place::Call(call) = std::mem::replace(&mut self.place, after) {
            call.make(&text, true, known, out);
        }
        self.text(Mode::Content, out);
    }

    fn malformed(&mut self, error: CallError, out: &mut Vec<AnswerPart>) {
        let text = std::mem::take(&mut self.held);
        out.push(AnswerPart::Malformed { text, error });
        self.place = Place::Text(Mode::Content);
    }
}

impl Place {
    fn kind(&self) -> Kind {
        match self {
            Self::Header => Kind::Header,
            Self::Text(mode) => Kind::Text(*mode),
            Self::Call(..) => Kind::Call,
        }
    }
}

/// A [`Place`] without the call's name.
enum Kind {
    Header,
    Text(Mode),
    Call,
}

/// What a header says.
#[derive(Debug, Default)]
struct Header<'a> {
    channel: &'a str,
    recipient: Option<&'a str>,
}

impl<'a> Header<'a> {
    fn read(text: &'a str) -> Self {
        let word = |text: &'a str| {
            let end = text.find(|c: char| c.is_whitespace() || c == '<');
            text.get(..end.unwrap_or(text.len())).unwrap_or("")
        };
        let channel = text.rsplit_once(CHANNEL).map_or("", |(_, rest)| word(rest));
        let recipient = text.split_once("to=").map(|(_, rest)| word(rest));
        Self {
            channel,
            recipient: recipient.filter(|name| !matches!(*name, "" | "assistant" | "user" | "all")),
        }
    }

    /// Where its text begins, behind this many bytes of header.
    fn place(&self, length: usize) -> Place {
        match self.recipient {
            Some(name) => {
                let name = name.strip_prefix("functions.").unwrap_or(name);
                Place::Call(Call {
                    name: name.to_owned(),
                    from: length,
                    scan: Some(Scan::default()),
                })
            }
            None if self.channel == "analysis" => Place::Text(Mode::Thinking),
            None => Place::Text(Mode::Content),
        }
    }
}

/// Whether a text may be the beginning of a header.
fn plausible(text: &str) -> bool {
    let text = text.trim_start();
    let begins = [START, CHANNEL, MESSAGE, CONSTRAIN, "to="];
    begins
        .iter()
        .any(|begin| text.starts_with(begin) || begin.starts_with(text))
        && ENDS[..3].iter().all(|end| !text.contains(end))
        && [START, CHANNEL].iter().all(|m| text.matches(m).count() < 2)
}

impl Call {
    /// Makes the call of a message; whether something ended it tells why it may be wrong.
    fn make(self, text: &str, complete: bool, known: &Known, out: &mut Vec<AnswerPart>) {
        let body = text.get(self.from..).unwrap_or("");
        let call = calls::value(body)
            .and_then(calls::object)
            .and_then(|arguments| known.call(None, &self.name, arguments));
        match call {
            Ok(call) => {
                markup(text.to_owned(), out);
                out.push(AnswerPart::ToolCall(call));
            }
            Err(error) => out.push(AnswerPart::Malformed {
                text: text.to_owned(),
                error: match error {
                    CallError::Invalid(_) if !complete => CallError::Unfinished,
                    error => error,
                },
            }),
        }
    }
}

fn give(mode: Mode, text: String, out: &mut Vec<AnswerPart>) {
    if !text.is_empty() {
        let part = match mode {
            Mode::Content => AnswerPart::Content(text),
            Mode::Thinking => AnswerPart::Thinking(text),
        };
        AnswerPart::merge(out, part);
    }
}

fn markup(text: String, out: &mut Vec<AnswerPart>) {
    if !text.is_empty() {
        AnswerPart::merge(out, AnswerPart::Markup(text));
    }
}
