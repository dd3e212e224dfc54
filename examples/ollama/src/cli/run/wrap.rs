//! Wraps text at words while it comes in pieces, by how wide a terminal shows it.
//!
//! What comes is shown at once. A word that turns out to be too long for its line is taken back and written
//! on the next one.

use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns that stay free, for signs that a terminal shows wider than others do.
const MARGIN: usize = 5;
/// Terminals of fewer columns are written to as they are.
const NARROW: usize = 10;
/// Columns between two tab stops.
const TAB: usize = 8;
/// Joins the emoji before and behind it into one.
const JOINER: char = '\u{200d}';

/// What has been written since the last break.
#[derive(Debug, Default)]
pub(super) struct Wrap {
    line: String,
    /// Where in it the word begins that a break would go before.
    word: usize,
    /// Whether a line can break behind what is there.
    breakable: bool,
}

impl Wrap {
    /// What to write for a piece of text: with line breaks for a terminal of `columns`, or without. What could
    /// control the terminal is made visible.
    pub(super) fn push(&mut self, text: &str, columns: Option<usize>) -> String {
        let limit = columns
            .filter(|&columns| columns >= NARROW)
            .map_or(usize::MAX, |n| n - MARGIN);
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '\n' => self.start(&mut out),
                // Before a line break it says nothing, and alone it would write over the line.
                '\r' => {}
                '\t' => {
                    for _ in 0..TAB - self.line.width() % TAB {
                        self.put(' ', limit, &mut out);
                    }
                }
                c => self.put(visible(c), limit, &mut out),
            }
        }
        out
    }

    fn start(&mut self, out: &mut String) {
        out.push('\n');
        *self = Self::default();
    }

    fn put(&mut self, c: char, limit: usize, out: &mut String) {
        let before = self.line.width();
        let joined = self.line.ends_with(JOINER) || c.width() == Some(0);
        let (old, breakable) = (self.line.len(), self.breakable && !joined);
        let wide = c.width() == Some(2);
        if breakable || wide && !joined {
            self.word = old;
        }
        self.breakable = c == ' ' || wide || self.breakable && joined;
        self.line.push(c);
        let after = self.line.width();
        if after <= limit || hangs(c) && after < limit + MARGIN {
            out.push(c);
            return;
        }
        if c == ' ' {
            self.start(out);
            return;
        }
        if self.word == 0 {
            // A word that fills the line is broken.
            self.word = old;
        }
        let kept = self.line.get(..self.word).unwrap_or_default().width();
        if before > kept {
            // Strings take whatever is written.
            let _ = write!(out, "\x1b[{}D\x1b[K", before - kept);
        }
        self.line.drain(..self.word);
        self.word = 0;
        out.push('\n');
        out.push_str(&self.line);
    }
}

/// Signs that may not begin a line and find room in the margin.
fn hangs(c: char) -> bool {
    "、。，．！？：；）」』】》〉〕".contains(c)
}

/// A control character as a sign for it.
fn visible(c: char) -> char {
    match u32::from(c) {
        code @ 0..0x20 => char::from_u32(0x2400 + code).unwrap_or(c),
        0x7f => '\u{2421}',
        0x80..0xa0 => char::REPLACEMENT_CHARACTER,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a terminal shows that is written to in pieces of so many characters.
    fn shown(text: &str, columns: usize, piece: usize) -> Vec<String> {
        let mut wrap = Wrap::default();
        let chars: Vec<char> = text.chars().collect();
        let written: String = chars
            .chunks(piece)
            .map(|piece| wrap.push(&piece.iter().collect::<String>(), Some(columns)))
            .collect();
        let mut lines = vec![String::new()];
        let mut rest = written.as_str();
        while let Some(c) = rest.chars().next() {
            let line = lines.last_mut().unwrap();
            if let Some(code) = rest.strip_prefix("\x1b[") {
                let end = code.find(|c: char| c.is_ascii_alphabetic()).unwrap();
                if &code[end..=end] == "D" {
                    let width = line.width() - code[..end].parse::<usize>().unwrap();
                    while line.width() > width {
                        line.pop();
                    }
                }
                rest = &code[end + 1..];
                continue;
            }
            match c {
                '\n' => lines.push(String::new()),
                c => line.push(c),
            }
            rest = &rest[c.len_utf8()..];
        }
        lines
            .iter()
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    #[test]
    fn lines_break_at_words() {
        let text = "The quick brown fox jumps over the lazy dog";
        for piece in [1, 2, 3, 7, 100] {
            assert_eq!(
                shown(text, 20, piece),
                ["The quick brown", "fox jumps over", "the lazy dog"],
                "{piece}"
            );
        }
    }

    #[test]
    fn words_that_fill_a_line_are_broken() {
        assert_eq!(shown("abcdefghijklmno", 15, 4), ["abcdefghij", "klmno"]);
        assert_eq!(
            shown("a bcdefghijklmno", 15, 1),
            ["a", "bcdefghijk", "lmno"]
        );
    }

    #[test]
    fn wide_signs_break_anywhere_and_count_twice() {
        assert_eq!(shown("你好世界你好世界", 15, 1), ["你好世界你", "好世界"]);
        assert_eq!(shown("你好世界你。好", 15, 3), ["你好世界你。", "好"]);
        assert_eq!(shown("abc你好世界def", 15, 2), ["abc你好世", "界def"]);
    }

    #[test]
    fn signs_of_several_characters_stay_whole() {
        let family = "👨\u{200d}👩\u{200d}👧";
        let text = family.repeat(6);
        for piece in [1, 2, 5, 100] {
            let lines = shown(&text, 15, piece);
            assert_eq!(lines, [family.repeat(5), family.to_owned()], "{piece}");
        }
        assert_eq!(
            shown("e\u{301}e\u{301} e\u{301}", 10, 1),
            ["e\u{301}e\u{301} e\u{301}"]
        );
    }

    #[test]
    fn line_breaks_of_the_text_stay() {
        assert_eq!(shown("a\n\n  b\r\nc", 20, 1), ["a", "", "  b", "c"]);
    }

    #[test]
    fn nothing_controls_the_terminal() {
        let text = "\x1b]0;title\x07\x1b[2Jx\u{9b}y\x7f";
        for columns in [None, Some(80)] {
            let shown = Wrap::default().push(text, columns);
            assert!(!shown.contains(char::is_control), "{shown:?}");
            assert!(shown.contains("␛]0;title␇"), "{shown:?}");
        }
    }

    #[test]
    fn without_wrapping_lines_stay_whole() {
        let text = "word ".repeat(100);
        assert_eq!(Wrap::default().push(&text, None), text);
        assert_eq!(Wrap::default().push(&text, Some(9)), text);
    }
}
