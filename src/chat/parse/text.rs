//! The texts that mean something while nothing is being called.

use super::format::{AnswerFormat, ThinkingTags};
use super::program::{Place, Program, Text};

/// Whether the text is thought or said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Content,
    Thinking,
}

/// What a marker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Thoughts begin.
    Open {
        anywhere: bool,
    },
    /// Thoughts end.
    Close,
    /// A call begins: which of the program's entries.
    Enter(usize, Place),
    Nothing,
    /// The end of a call: nothing directly behind one that could not be read.
    Closer,
}

#[derive(Debug)]
pub(super) struct Watch {
    pub(super) text: Text,
    pub(super) action: Action,
}

/// A format, ready to be looked for.
#[derive(Debug)]
pub(super) struct Syntax {
    pub(super) program: Program,
    /// Of two that begin alike the longer first.
    pub(super) watches: Vec<Watch>,
    pub(super) thinks: bool,
    /// The characters that markers begin with.
    first: Vec<char>,
}

impl Syntax {
    pub(super) fn new(format: &AnswerFormat) -> Self {
        let program = Program::of(&format.calls);
        let mut watches = Vec::new();
        let mut add = |text: &Text, action| {
            if !text.is_empty() {
                let text = text.clone();
                watches.push(Watch { text, action });
            }
        };
        for tags in &format.thinking {
            let anywhere = ThinkingTags::anywhere(tags);
            add(&tags.open.clone().into(), Action::Open { anywhere });
            add(&tags.close.clone().into(), Action::Close);
        }
        for (i, entry) in program.entries.iter().enumerate() {
            add(&entry.text, Action::Enter(i, entry.place));
        }
        for text in &program.dropped {
            add(text, Action::Nothing);
        }
        for text in &program.closers {
            add(text, Action::Closer);
        }
        watches.sort_by_key(|watch| std::cmp::Reverse(watch.text.len()));
        let first = watches.iter().filter_map(|watch| watch.text.chars().next());
        Self {
            first: first.collect(),
            thinks: !format.thinking.is_empty(),
            watches,
            program,
        }
    }

    /// The beginning of a text in which nothing can be a marker or the whitespace before one.
    pub(super) fn plain<'a>(&self, text: &'a str) -> &'a str {
        let special = |c: char| c.is_whitespace() || self.first.contains(&c);
        let end = text.find(special).unwrap_or(text.len());
        text.get(..end).unwrap_or("")
    }
}
