//! Goes on with a call until it is complete, or until it is known what else it is.

use super::AnswerParser;
use crate::chat::parse::block::{Block, Run};
use crate::chat::parse::part::{AnswerPart, CallError};
use crate::chat::parse::program::Place;

impl AnswerParser {
    /// Goes on with the call that is being read.
    pub(super) fn read(&mut self, end: bool) {
        let Some(mut block) = self.state.block.take() else {
            return;
        };
        let mut out = Vec::new();
        let run = block.run(&self.syntax.program, &self.known, end, &mut out);
        if !out.is_empty() {
            let lead = std::mem::take(&mut self.state.lead);
            self.markup(lead);
            self.state.out.append(&mut out);
        }
        match run {
            Run::More if block.raw.len() > self.max_call_bytes => {
                self.fail(block, CallError::TooLong);
                self.malformed();
            }
            Run::More => self.state.block = Some(block),
            Run::Text => self.reject(&block),
            Run::Broken(error) => {
                self.fail(block, error);
                if end {
                    self.malformed();
                } else {
                    self.mend();
                }
            }
            Run::End => {
                self.state.lead.clear();
                self.state.skip_space = true;
                self.again(&block.raw);
            }
        }
    }

    fn fail(&mut self, block: Block, error: CallError) {
        let lead = std::mem::take(&mut self.state.lead);
        self.markup(lead);
        self.state.broken = Some((block.raw, error));
    }

    /// Gives the marker of what was no call out as text; the rest is read again.
    fn reject(&mut self, block: &Block) {
        let mut text = std::mem::take(&mut self.state.lead);
        let (marker, rest) = block.raw.split_at(block.marker);
        text.push_str(marker);
        self.text(text);
        self.again(rest);
    }

    /// Looks for the end of a call that could not be read.
    pub(super) fn mend(&mut self) {
        let Some((text, _)) = &self.state.broken else {
            return;
        };
        let program = &self.syntax.program;
        if program.closers.iter().any(|end| text.ends_with(&**end)) {
            self.state.after_broken = true;
            self.malformed();
            return;
        }
        let entries = program.entries.iter().filter(|entry| !entry.bare);
        let next = entries
            .filter(|entry| entry.place == Place::Anywhere && text.ends_with(&*entry.text))
            .map(|entry| entry.text.len())
            .max();
        if let Some(length) = next.filter(|&length| length < text.len()) {
            if let Some((text, _)) = &mut self.state.broken {
                let marker = text.split_off(text.len() - length);
                self.again(&marker);
            }
            self.malformed();
        } else if text.len() > self.max_call_bytes {
            self.malformed();
        }
    }

    /// Gives out the call that could not be read.
    fn malformed(&mut self) {
        if let Some((text, error)) = self.state.broken.take() {
            self.state.out.push(AnswerPart::Malformed { text, error });
            self.state.skip_space = true;
        }
    }
}
