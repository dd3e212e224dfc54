//! Looks for markers while nothing is being called.

use super::{AnswerParser, MAX_SPACE};
use crate::chat::parse::block::Block;
use crate::chat::parse::program::Place;
use crate::chat::parse::text::{Action, Mode};

/// What is at the beginning of the held text.
enum Seen {
    /// What may still become a marker.
    Part,
    /// The marker of this number.
    Marker(usize),
    Plain,
}

impl AnswerParser {
    /// Looks for markers in the held text.
    pub(super) fn look(&mut self, end: bool) {
        while !self.state.held.is_empty() {
            let space = self.state.held.len() - self.state.held.trim_start().len();
            if self.state.skip_space && space > 0 {
                let text = self.state.held.drain(..space).collect();
                self.markup(text);
                continue;
            }
            let space = if self.holds_space() { space } else { 0 };
            if space == self.state.held.len() {
                if end || space > MAX_SPACE {
                    let text = std::mem::take(&mut self.state.held);
                    self.text(text);
                }
                return;
            }
            match self.see(space, end) {
                Seen::Part => return,
                Seen::Marker(number) => {
                    self.marker(number, space);
                    return;
                }
                Seen::Plain => {
                    let rest = self.state.held.get(space..).unwrap_or("");
                    let first = rest.chars().next().map_or(0, char::len_utf8);
                    let text = self.state.held.drain(..space + first).collect();
                    self.text(text);
                }
            }
        }
    }

    /// Whether whitespace may turn out to be before a marker that drops it.
    fn holds_space(&self) -> bool {
        let program = &self.syntax.program;
        self.state.mode == Mode::Content
            && ((self.syntax.thinks && !self.state.said)
                || (self.calls_on() && !program.entries.is_empty())
                || !program.dropped.is_empty())
    }

    fn calls_on(&self) -> bool {
        let tools = self.known.tools.as_ref();
        tools.is_none_or(|tools| !tools.is_empty()) || self.known.accept_unknown
    }

    fn see(&self, space: usize, end: bool) -> Seen {
        let rest = self.state.held.get(space..).unwrap_or("");
        for (number, watch) in self.syntax.watches.iter().enumerate() {
            if !self.counts(watch.action, space) {
                continue;
            }
            if rest.starts_with(&*watch.text) {
                return Seen::Marker(number);
            }
            if !end && watch.text.starts_with(rest) {
                return Seen::Part;
            }
        }
        Seen::Plain
    }

    /// Whether a marker that does this counts here, behind so much whitespace.
    fn counts(&self, action: Action, space: usize) -> bool {
        let state = &self.state;
        let content = state.mode == Mode::Content;
        match action {
            Action::Open { anywhere } if content => anywhere || !state.said,
            Action::Open { .. } => state.begun_thinking,
            Action::Close => !content,
            Action::Enter(_, place) if self.calls_on() => match place {
                Place::Anywhere => true,
                Place::Start => content && !state.said,
                Place::Line => {
                    let before = state.held.get(..space).unwrap_or("");
                    content && (state.fresh_line || before.contains('\n'))
                }
            },
            Action::Enter(..) => false,
            Action::Nothing => content,
            Action::Closer => state.after_broken,
        }
    }

    fn marker(&mut self, number: usize, space: usize) {
        let Some(watch) = self.syntax.watches.get(number) else {
            return;
        };
        let (action, length) = (watch.action, watch.text.len());
        let mut held = std::mem::take(&mut self.state.held);
        let rest = held.split_off(space + length);
        self.again(&rest);
        match action {
            Action::Enter(entry, _) => {
                held.truncate(space);
                self.state.lead = held;
                let program = &self.syntax.program;
                let entry = program.entries.get(entry);
                self.state.block = entry.map(|entry| Block::new(program, entry));
                return;
            }
            Action::Open { .. } => self.state.mode = Mode::Thinking,
            Action::Close => self.state.mode = Mode::Content,
            Action::Nothing | Action::Closer => {}
        }
        self.markup(held);
        self.state.begun_thinking = false;
        self.state.skip_space = true;
    }
}
