//! A text together with how it reads: what is looked for in the one is cut from the other.

use std::borrow::Cow;
use std::ops::Range;

use super::alphabet;

pub(super) struct Text<'t> {
    raw: &'t str,
    pub(super) plain: Cow<'t, str>,
    /// Of each character that begins at a byte of `plain`: where it begins in `raw`. Empty when both
    /// are the same.
    starts: Vec<(usize, usize)>,
}

impl<'t> Text<'t> {
    pub(super) fn new(raw: &'t str) -> Self {
        let plain = alphabet::plain(raw);
        let starts = match &plain {
            Cow::Borrowed(_) => Vec::new(),
            Cow::Owned(plain) => {
                let ends = std::iter::once((plain.len(), raw.len()));
                let starts = plain.char_indices().zip(raw.char_indices());
                let starts = starts.map(|((plain, _), (raw, _))| (plain, raw));
                starts.chain(ends).collect()
            }
        };
        Self { raw, plain, starts }
    }

    /// The part of the text that reads like this part of `plain`.
    pub(super) fn cut(&self, part: Range<usize>) -> &'t str {
        let at = |plain| match self.starts.binary_search_by_key(&plain, |start| start.0) {
            Ok(found) => self.starts[found].1,
            Err(_) => plain,
        };
        self.raw.get(at(part.start)..at(part.end)).unwrap_or("")
    }

    /// The same for a slice of `plain`.
    pub(super) fn cut_slice(&self, slice: &str) -> &'t str {
        let start = slice.as_ptr() as usize - self.plain.as_ptr() as usize;
        self.cut(start..start + slice.len())
    }
}

/// What Python's `str` methods take for space.
pub(super) fn is_space(char: char) -> bool {
    char.is_whitespace() || matches!(char, '\x1c'..='\x1f')
}
