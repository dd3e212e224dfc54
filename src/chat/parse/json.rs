//! Finds where a JSON value ends while its text still comes in, and where the elements of a list are.

use std::ops::Range;

/// How deep a call's arguments may nest.
pub(super) const MAX_DEPTH: u32 = 64;

/// What the next character is to a value that began with a bracket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Part of it.
    More,
    /// Its last.
    Done,
    /// Nothing that may be there.
    Broken(&'static str),
}

/// Follows brackets and strings; the rest is left to the parser that gets the whole text.
///
/// Outside of strings only what JSON allows is accepted, so that a value whose bracket is missing
/// ends at the marker behind it rather than never.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scan {
    depth: u32,
    /// One bit for each open bracket: whether it is a brace.
    braces: u64,
    quoted: bool,
    escaped: bool,
}

impl Scan {
    pub(super) fn quoted(&self) -> bool {
        self.quoted
    }

    pub(super) fn step(&mut self, c: char) -> Step {
        if self.quoted {
            match c {
                _ if self.escaped => self.escaped = false,
                '\\' => self.escaped = true,
                '"' => self.quoted = false,
                _ => {}
            }
            return Step::More;
        }
        match c {
            '"' => self.quoted = true,
            '{' | '[' => {
                if self.depth == MAX_DEPTH {
                    return Step::Broken("it is nested too deep");
                }
                self.depth += 1;
                self.braces = self.braces << 1 | u64::from(c == '{');
            }
            '}' | ']' => {
                if (self.braces & 1 == 1) != (c == '}') {
                    return Step::Broken("its brackets do not match");
                }
                self.depth = self.depth.saturating_sub(1);
                self.braces >>= 1;
                if self.depth == 0 {
                    return Step::Done;
                }
            }
            ',' | ':' | '+' | '-' | '.' | '_' => {}
            c if c.is_ascii_alphanumeric() || c.is_whitespace() => {}
            _ => return Step::Broken("it is no JSON"),
        }
        Step::More
    }
}

/// The places of the elements of a list, without the whitespace around them; of anything else,
/// the place of the whole.
pub(super) fn elements(text: &str) -> Vec<Range<usize>> {
    let whole = trim(text, 0..text.len());
    let trimmed = text.trim();
    let inner = trimmed.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let Some(inner) = inner else {
        return vec![whole];
    };
    let offset = whole.start + 1;
    let mut found = Vec::new();
    let mut from = 0;
    let mut scan = Scan::default();
    for (at, c) in inner.char_indices() {
        if c == ',' && scan.depth == 0 && !scan.quoted {
            found.push(trim(inner, from..at));
            from = at + 1;
        } else {
            scan.step(c);
        }
    }
    found.push(trim(inner, from..inner.len()));
    found
        .into_iter()
        .filter(|range| !range.is_empty())
        .map(|range| range.start + offset..range.end + offset)
        .collect()
}

/// The range without the whitespace at its ends.
fn trim(text: &str, range: Range<usize>) -> Range<usize> {
    let part = text.get(range.clone()).unwrap_or("");
    let start = range.start + (part.len() - part.trim_start().len());
    start..(start + part.trim().len())
}
