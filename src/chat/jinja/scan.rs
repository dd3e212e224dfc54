//! Cuts the source of a Jinja template into text and tags, and tags into tokens.
//!
//! The lexical rules are those of Jinja2's lexer (`jinja2/lexer.py`): a tag ends at its delimiter only
//! outside of all brackets, and `raw` blocks are text.

use crate::error::Result;

use super::failure::at_line;

/// Brackets within brackets; the parser calls itself for each.
const MAX_BRACKETS: usize = 48;

/// Tokens from the beginning of a tag to the innermost place in it, without what other arguments and
/// items take: an upper limit of how deep the tag's tree is.
const MAX_PATH: usize = 2000;

/// One piece of a source.
#[derive(Debug)]
pub(super) enum Piece<'s> {
    /// Text, comments and raw blocks, as they are.
    Verbatim(&'s str),
    /// `{% … %}` or `{{ … }}`.
    Tag(Tag<'s>),
}

#[derive(Debug)]
pub(super) struct Tag<'s> {
    /// The delimiter with its sign.
    pub(super) open: &'s str,
    pub(super) tokens: Vec<Token<'s>>,
    /// What is between the last token and the end.
    pub(super) gap: &'s str,
    pub(super) close: &'s str,
    pub(super) line: usize,
}

impl Tag<'_> {
    pub(super) fn is_block(&self) -> bool {
        self.open.starts_with("{%")
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'s> {
    pub(super) kind: Kind,
    pub(super) text: &'s str,
    /// The space before it.
    pub(super) gap: &'s str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Text,
    Number,
    Operator,
}

impl Token<'_> {
    pub(super) fn is(&self, text: &str) -> bool {
        self.kind != Kind::Text && self.text == text
    }
}

pub(super) fn scan(source: &str) -> Result<Vec<Piece<'_>>> {
    let mut scanner = Scanner {
        source,
        at: 0,
        line: 1,
    };
    let mut pieces = Vec::new();
    while scanner.at < source.len() {
        pieces.push(scanner.piece()?);
    }
    Ok(pieces)
}

struct Scanner<'s> {
    source: &'s str,
    at: usize,
    line: usize,
}

impl<'s> Scanner<'s> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn take(&mut self, bytes: usize) -> &'s str {
        let taken = &self.rest()[..bytes];
        self.line += taken.matches('\n').count();
        self.at += bytes;
        taken
    }

    fn piece(&mut self) -> Result<Piece<'s>> {
        let rest = self.rest();
        let Some(start) = tag_start(rest) else {
            return Ok(Piece::Verbatim(self.take(rest.len())));
        };
        if start > 0 {
            return Ok(Piece::Verbatim(self.take(start)));
        }
        if let Some(comment) = rest.strip_prefix("{#") {
            let end = comment.find("#}");
            let end = end.ok_or_else(|| at_line(self.line, "a comment does not end"))?;
            return Ok(Piece::Verbatim(self.take(end + 4)));
        }
        if let Some(body) = basic_tag(rest, "raw") {
            return self.raw(body).map(Piece::Verbatim);
        }
        self.tag().map(Piece::Tag)
    }

    /// A raw block whose first tag has this many bytes.
    fn raw(&mut self, mut at: usize) -> Result<&'s str> {
        let rest = self.rest();
        while let Some(found) = rest[at..].find("{%") {
            at += found;
            if let Some(end) = basic_tag(&rest[at..], "endraw") {
                return Ok(self.take(at + end));
            }
            at += 2;
        }
        Err(at_line(self.line, "a raw block does not end"))
    }

    fn tag(&mut self) -> Result<Tag<'s>> {
        let line = self.line;
        let block = self.rest().starts_with("{%");
        let end = if block { "%}" } else { "}}" };
        let signed = self.rest()[2..].starts_with(['-', '+']);
        let open = self.take(2 + usize::from(signed));
        let mut tokens = Vec::new();
        let mut depth = Depth::default();
        loop {
            let rest = self.rest();
            let space = rest.len() - rest.trim_start_matches(char::is_whitespace).len();
            let gap = self.take(space);
            let rest = self.rest();
            if depth.outside() {
                let sign = usize::from(rest.starts_with(['-', '+']));
                if rest[sign..].starts_with(end) {
                    let close = self.take(sign + end.len());
                    return Ok(Tag {
                        open,
                        tokens,
                        gap,
                        close,
                        line,
                    });
                }
            }
            let (kind, bytes) =
                token(rest).map_err(|cause| at_line(self.line, &format!("{cause} in a tag")))?;
            let text = self.take(bytes);
            depth
                .take(kind, text)
                .map_err(|cause| at_line(self.line, cause))?;
            tokens.push(Token { kind, text, gap });
        }
    }
}

/// How deep the tree of a tag can be at a token.
#[derive(Default)]
struct Depth {
    /// For each open bracket, the length of the path where it opened.
    brackets: Vec<usize>,
    path: usize,
}

impl Depth {
    fn outside(&self) -> bool {
        self.brackets.is_empty()
    }

    fn take(&mut self, kind: Kind, text: &str) -> Result<(), &'static str> {
        self.path += 1;
        if kind == Kind::Operator {
            match text {
                "(" | "[" | "{" => self.brackets.push(self.path),
                ")" | "]" | "}" => {
                    if let Some(path) = self.brackets.pop() {
                        self.path = path;
                    }
                }
                "," => self.path = self.brackets.last().copied().unwrap_or(0),
                _ => {}
            }
        }
        if self.brackets.len() > MAX_BRACKETS || self.path > MAX_PATH {
            return Err("an expression is nested too deep");
        }
        Ok(())
    }
}

/// Where the first tag or comment begins.
fn tag_start(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    bytes
        .windows(2)
        .position(|pair| pair[0] == b'{' && matches!(pair[1], b'{' | b'%' | b'#'))
}

/// The length of `{% name %}` at the beginning of the text.
fn basic_tag(text: &str, name: &str) -> Option<usize> {
    let rest = text.strip_prefix("{%")?;
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest).trim_start();
    let rest = rest.strip_prefix(name)?.trim_start();
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    let rest = rest.strip_prefix("%}")?;
    Some(text.len() - rest.len())
}

/// Kind and length of the first token.
fn token(text: &str) -> Result<(Kind, usize), String> {
    let first = text.chars().next().ok_or("the text ends")?;
    let bytes = text.as_bytes();
    let run = |wanted: fn(u8) -> bool| bytes.iter().take_while(|&&byte| wanted(byte)).count();
    match first {
        'a'..='z' | 'A'..='Z' | '_' => {
            let length = run(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            Ok((Kind::Name, length))
        }
        '0'..='9' => Ok((Kind::Number, number(bytes))),
        '\'' | '"' => quoted(bytes, first as u8)
            .map(|length| (Kind::Text, length))
            .ok_or_else(|| "a text does not end".to_owned()),
        _ => {
            let two = ["//", "**", "==", "!=", ">=", "<="];
            if two.iter().any(|operator| text.starts_with(operator)) {
                Ok((Kind::Operator, 2))
            } else if "+-*/%~[](){}><=.:|,".contains(first) {
                Ok((Kind::Operator, 1))
            } else {
                Err(format!("unexpected {first:?}"))
            }
        }
    }
}

fn number(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Some(&byte) = bytes.get(end) {
        let fraction = byte == b'.' && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        let exponent =
            matches!(byte, b'+' | b'-') && matches!(bytes[..end].last(), Some(b'e' | b'E'));
        if !(byte.is_ascii_alphanumeric() || byte == b'_' || fraction || exponent) {
            break;
        }
        end += 1;
    }
    end
}

/// The length of a quoted text with its quotes.
fn quoted(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            byte if *byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}
