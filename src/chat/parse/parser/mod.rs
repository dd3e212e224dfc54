//! Reads an answer piece by piece.

mod calls;
mod markers;

use std::sync::Arc;

use super::block::Block;
use super::calls::Known;
use super::format::{AnswerFormat, CallFormat};
use super::harmony::Harmony;
use super::part::{AnswerPart, CallError};
use super::text::{Mode, Syntax};
use crate::chat::message::Tool;

/// How much whitespace is held back because a call may follow.
const MAX_SPACE: usize = 4096;

const MAX_CALL_BYTES: usize = 1 << 20;

/// Reads an answer as it comes.
///
/// The text must contain the markers of the format ([`AnswerFormat::markers`]), those that are
/// control tokens included.
///
/// # What is what
///
/// - **Thinking** begins with its tag, where nothing but whitespace, thoughts and calls came before,
///   and ends with its other tag or the answer. Tags that are control tokens (`<|…`, `[THINK]`)
///   count anywhere. As in Ollama, whitespace before the first tag and behind both is dropped; that
///   before the second is part of the thoughts.
/// - **Calls** begin with their marker, also within thoughts. Whitespace around calls is dropped.
///   Formats without marker ([`CallFormat::Json`], [`CallFormat::Llama`],
///   [`CallFormat::LlamaPythonic`]) know a call by its beginning, where nothing was said before.
/// - **What only looks like a call** is text: a marker behind which no call follows, JSON that is
///   none.
/// - **What began as a call and is none** is [`AnswerPart::Malformed`], with its text, up to the
///   marker that ends or begins a call, or to the end of the answer. So is a call that the answer's
///   end cuts.
/// - Calls that come together are independent: what is wrong with one does not matter for others,
///   except in Python's notation.
/// - Arguments are an object, or a text that holds one; if there are none, the object is empty.
///   Where a format writes them without quotes ([`CallFormat::Qwen3Coder`], [`CallFormat::Glm`] and
///   the like) the tool's schema says what they are; without a schema, what is JSON is what it is
///   and everything else text.
///
/// # Promises
///
/// However the answer is cut into pieces, its parts are the same once they are joined by
/// [`AnswerPart::merge`]. With [`keep_markup`](Self::keep_markup) the parts' texts are the whole
/// answer. Only what may still become a marker, whitespace before it, and calls that are not complete
/// are held back. Time is linear in the answer's length; memory is bounded by
/// [`max_call_bytes`](Self::max_call_bytes).
#[derive(Debug, Clone)]
pub struct AnswerParser {
    syntax: Arc<Syntax>,
    known: Known,
    keep_markup: bool,
    max_call_bytes: usize,
    start: Start,
    state: State,
}

/// How the answer begins.
#[derive(Debug, Clone)]
struct Start {
    in_thinking: bool,
    /// Of harmony: the message that the prompt began.
    begun: Option<String>,
}

#[derive(Debug, Clone)]
struct State {
    mode: Mode,
    /// Text that is not given out yet.
    held: String,
    /// Whether whitespace that comes next is dropped.
    skip_space: bool,
    /// Whether something was said.
    said: bool,
    fresh_line: bool,
    /// Whether the thoughts that the prompt began are still empty: some models begin them again.
    begun_thinking: bool,
    after_broken: bool,
    block: Option<Block>,
    /// The whitespace before the block.
    lead: String,
    /// A call that could not be read, whose end is looked for.
    broken: Option<(String, CallError)>,
    harmony: Option<Harmony>,
    /// Characters to be read again, the next last.
    again: Vec<char>,
    out: Vec<AnswerPart>,
}

impl State {
    fn new(start: &Start) -> Self {
        Self {
            mode: if start.in_thinking {
                Mode::Thinking
            } else {
                Mode::Content
            },
            held: String::new(),
            skip_space: start.in_thinking,
            said: false,
            fresh_line: true,
            begun_thinking: start.in_thinking,
            after_broken: false,
            block: None,
            lead: String::new(),
            broken: None,
            harmony: start.begun.as_deref().map(Harmony::new),
            again: Vec::new(),
            out: Vec::new(),
        }
    }
}

impl AnswerParser {
    /// A parser of answers in this format, in which any tool may be called.
    #[must_use]
    pub fn new(format: &AnswerFormat) -> Self {
        let start = Start {
            in_thinking: format.in_thinking,
            begun: (format.calls == CallFormat::Harmony).then(|| format.begun.clone()),
        };
        Self {
            syntax: Arc::new(Syntax::new(format)),
            known: Known::default(),
            keep_markup: false,
            max_call_bytes: MAX_CALL_BYTES,
            state: State::new(&start),
            start,
        }
    }

    /// Sets which tools there are. The call of any other is [`AnswerPart::Malformed`] or, in a
    /// format without marker, text; with an empty list, markers of calls are text as well (except
    /// harmony's).
    #[must_use]
    pub fn tools(mut self, tools: &[Tool]) -> Self {
        self.known.tools = Some(tools.to_vec());
        self
    }

    /// Whether calls of tools that are not in the list are given out as calls. Default: false.
    #[must_use]
    pub fn accept_unknown(mut self, accept: bool) -> Self {
        self.known.accept_unknown = accept;
        self
    }

    /// Whether markers and the texts of calls are given out as [`AnswerPart::Markup`]. Default:
    /// false.
    #[must_use]
    pub fn keep_markup(mut self, keep: bool) -> Self {
        self.keep_markup = keep;
        self
    }

    /// How long the text of a call may be. What is longer is [`AnswerPart::Malformed`] up to there,
    /// and text from there on. Default: 1 MiB.
    #[must_use]
    pub fn max_call_bytes(mut self, bytes: usize) -> Self {
        self.max_call_bytes = bytes;
        self
    }

    /// Takes the next piece of the answer and gives out what is certain by now.
    pub fn push(&mut self, text: &str) -> Vec<AnswerPart> {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let plain = if self.idle() {
                self.syntax.plain(rest).len()
            } else {
                0
            };
            let (taken, left) = rest.split_at(if plain > 0 { plain } else { c.len_utf8() });
            rest = left;
            if plain > 0 {
                self.text(taken.to_owned());
            } else {
                self.take(c);
            }
        }
        self.given()
    }

    /// Ends the answer and gives out the rest. Everything is as at the beginning then.
    pub fn finish(&mut self) -> Vec<AnswerPart> {
        loop {
            if self.state.block.is_some() {
                self.read(true);
            } else if let Some((text, error)) = self.state.broken.take() {
                self.state.out.push(AnswerPart::Malformed { text, error });
            } else if let Some(mut harmony) = self.state.harmony.take() {
                harmony.end(&self.known, &mut self.state.out);
            } else if !self.state.held.is_empty() {
                self.look(true);
            }
            let Some(c) = self.state.again.pop() else {
                if self.state.block.is_none() && self.state.held.is_empty() {
                    break;
                }
                continue;
            };
            self.take(c);
        }
        let parts = self.given();
        self.state = State::new(&self.start);
        parts
    }

    /// The parts of a whole answer, joined as by [`AnswerPart::merge`]. What was pushed and not
    /// finished is its beginning.
    #[must_use]
    pub fn parse_all(mut self, text: &str) -> Vec<AnswerPart> {
        let mut parts = self.push(text);
        for part in self.finish() {
            AnswerPart::merge(&mut parts, part);
        }
        parts
    }

    fn given(&mut self) -> Vec<AnswerPart> {
        let parts = std::mem::take(&mut self.state.out);
        let mut merged = Vec::new();
        for part in parts {
            if self.keep_markup || !matches!(part, AnswerPart::Markup(_)) {
                AnswerPart::merge(&mut merged, part);
            }
        }
        merged
    }

    /// Whether text means nothing but itself up to the next marker.
    fn idle(&self) -> bool {
        let state = &self.state;
        state.block.is_none()
            && state.broken.is_none()
            && state.harmony.is_none()
            && state.held.is_empty()
    }

    /// Takes a character, and what must be read again because of it.
    fn take(&mut self, c: char) {
        self.state.again.push(c);
        while let Some(c) = self.state.again.pop() {
            if let Some((text, _)) = &mut self.state.broken {
                text.push(c);
                self.mend();
            } else if let Some(block) = &mut self.state.block {
                block.raw.push(c);
                self.read(false);
            } else if let Some(harmony) = &mut self.state.harmony {
                let state = (&mut self.state.again, &mut self.state.out);
                harmony.take(c, &self.known, self.max_call_bytes, state);
            } else {
                self.state.held.push(c);
                self.look(false);
            }
        }
    }

    fn again(&mut self, text: &str) {
        self.state.again.extend(text.chars().rev());
    }

    fn markup(&mut self, text: String) {
        if !text.is_empty() {
            AnswerPart::merge(&mut self.state.out, AnswerPart::Markup(text));
        }
    }

    /// Gives out text as what it is at this place.
    fn text(&mut self, text: String) {
        let state = &mut self.state;
        state.skip_space = false;
        state.after_broken = false;
        state.begun_thinking = false;
        let part = if state.mode == Mode::Content {
            state.said |= !text.trim_start().is_empty();
            state.fresh_line = text.ends_with('\n');
            AnswerPart::Content(text)
        } else {
            AnswerPart::Thinking(text)
        };
        AnswerPart::merge(&mut state.out, part);
    }
}
