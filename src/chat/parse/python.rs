//! Finds where Python's lists, calls and objects end while their text still comes in.

use super::json::{MAX_DEPTH, Step};

/// Finds the end of Python's lists, calls and objects.
#[derive(Debug, Clone, Default)]
pub(super) struct Scan {
    open: Vec<char>,
    quote: Option<char>,
    escaped: bool,
    /// Whether the text is within a format's own quotes.
    pub(super) special: bool,
}

impl Scan {
    pub(super) fn quoted(&self) -> bool {
        self.quote.is_some()
    }

    pub(super) fn step(&mut self, c: char) -> Step {
        if let Some(quote) = self.quote {
            match c {
                _ if self.escaped => self.escaped = false,
                '\\' => self.escaped = true,
                c if c == quote => self.quote = None,
                _ => {}
            }
            return Step::More;
        }
        match c {
            '"' | '\'' => self.quote = Some(c),
            '[' | '(' | '{' if self.open.len() == MAX_DEPTH as usize => {
                return Step::Broken("it is nested too deep");
            }
            '[' => self.open.push(']'),
            '(' => self.open.push(')'),
            '{' => self.open.push('}'),
            ']' | ')' | '}' => {
                if self.open.pop() != Some(c) {
                    return Step::Broken("its brackets do not match");
                }
                if self.open.is_empty() {
                    return Step::Done;
                }
            }
            '<' | '>' | '|' | '`' => return Step::Broken("it is no list of calls"),
            _ => {}
        }
        Step::More
    }
}
