//! Cuts the source of a template into tokens.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// `{{`
    Open,
    /// `}}`
    Close,
    Space,
    Assign,
    Declare,
    Pipe,
    LeftParen,
    RightParen,
    Comma,
    /// Another printable character, which no action has a use for.
    Other,
    Bool,
    Char,
    Number,
    Complex,
    Quoted,
    Raw,
    Dot,
    Field,
    Variable,
    Identifier,
    Keyword(Keyword),
    End,
    /// What comes is not a token; [`Tokens::error`] says why.
    Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

/// A token: what it is and where it lies in the source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// All tokens, the last of kind [`Kind::End`] or [`Kind::Error`].
pub(super) struct Tokens {
    pub(super) list: Vec<Token>,
    pub(super) error: String,
}

const OPEN: &str = "{{";
const CLOSE: &str = "}}";

pub(super) fn tokens(source: &str) -> Tokens {
    let mut lexer = Lexer {
        source,
        start: 0,
        at: 0,
        parens: 0,
        list: Vec::new(),
    };
    let (kind, error) = match lexer.run() {
        Ok(()) => (Kind::End, String::new()),
        Err(error) => (Kind::Error, error),
    };
    lexer.emit(kind);
    Tokens {
        list: lexer.list,
        error,
    }
}

pub(super) fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\r' | '\n')
}

fn is_word(char: char) -> bool {
    char == '_' || char.is_alphanumeric()
}

struct Lexer<'s> {
    source: &'s str,
    /// Where the token under way begins.
    start: usize,
    at: usize,
    parens: usize,
    list: Vec<Token>,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.at += char.len_utf8();
        Some(char)
    }

    fn accept(&mut self, valid: &str) -> bool {
        let accepted = self.peek().is_some_and(|char| valid.contains(char));
        if accepted {
            self.next();
        }
        accepted
    }

    fn accept_run(&mut self, valid: &str) {
        while self.accept(valid) {}
    }

    fn ignore(&mut self) {
        self.start = self.at;
    }

    fn emit(&mut self, kind: Kind) {
        self.list.push(Token {
            kind,
            start: self.start as u32,
            end: self.at as u32,
        });
        self.start = self.at;
    }

    fn run(&mut self) -> Result<(), String> {
        loop {
            let Some(text) = self.rest().find(OPEN) else {
                self.at = self.source.len();
                if self.at > self.start {
                    self.emit(Kind::Text);
                }
                return Ok(());
            };
            let open = self.at + text;
            self.at = open + OPEN.len();
            let marked = left_marker(self.rest());
            let text = &self.source[self.start..open];
            let kept = if marked {
                text.trim_end_matches(is_space).len()
            } else {
                text.len()
            };
            self.at = self.start + kept;
            if kept > 0 {
                self.emit(Kind::Text);
            }
            self.start = open;
            self.at = open + OPEN.len() + if marked { 2 } else { 0 };
            if self.rest().starts_with("/*") {
                self.comment()?;
            } else {
                self.emit(Kind::Open);
                self.parens = 0;
                while self.inside()? {}
            }
        }
    }

    fn comment(&mut self) -> Result<(), String> {
        self.at += 2;
        let end = self.rest().find("*/").ok_or("unclosed comment")?;
        self.at += end + 2;
        if !self.close() {
            return Err("comment ends before closing delimiter".to_owned());
        }
        self.ignore();
        Ok(())
    }

    /// Whether an action ends here, and with how many bytes before the delimiter.
    fn at_close(&self) -> Option<usize> {
        let rest = self.rest();
        if right_marker(rest) && rest[2..].starts_with(CLOSE) {
            Some(2)
        } else {
            rest.starts_with(CLOSE).then_some(0)
        }
    }

    /// Passes the end of an action, and the white space after it if it says so.
    fn close(&mut self) -> bool {
        let Some(marker) = self.at_close() else {
            return false;
        };
        self.at += marker + CLOSE.len();
        if marker > 0 {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start_matches(is_space).len();
        }
        true
    }

    /// Reads one token of an action; false after its end.
    fn inside(&mut self) -> Result<bool, String> {
        if self.at_close().is_some() {
            if self.parens > 0 {
                return Err("unclosed left paren".to_owned());
            }
            self.close();
            self.emit(Kind::Close);
            return Ok(false);
        }
        let Some(char) = self.next() else {
            return Err("unclosed action".to_owned());
        };
        match char {
            _ if is_space(char) => self.space(),
            '=' => self.emit(Kind::Assign),
            ':' => {
                if !self.accept("=") {
                    return Err("expected :=".to_owned());
                }
                self.emit(Kind::Declare);
            }
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', Kind::Quoted, "unterminated quoted string")?,
            '\'' => self.quoted('\'', Kind::Char, "unterminated character constant")?,
            '`' => {
                let end = self.rest().find('`');
                self.at += end.ok_or("unterminated raw quoted string")? + 1;
                self.emit(Kind::Raw);
            }
            '$' => self.word(Kind::Variable)?,
            '.' if self.peek().is_some_and(|next| !next.is_ascii_digit()) => {
                let kind = if self.at_terminator() {
                    Kind::Dot
                } else {
                    Kind::Field
                };
                self.word(kind)?;
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.at = self.start;
                self.number()?;
            }
            '(' => {
                self.parens += 1;
                self.emit(Kind::LeftParen);
            }
            ')' => {
                let Some(left) = self.parens.checked_sub(1) else {
                    return Err("unexpected right paren".to_owned());
                };
                self.parens = left;
                self.emit(Kind::RightParen);
            }
            _ if is_word(char) => self.word(Kind::Identifier)?,
            ',' => self.emit(Kind::Comma),
            '!'..='~' => self.emit(Kind::Other),
            _ => return Err(format!("unrecognized character in action: {char:?}")),
        }
        Ok(true)
    }

    fn space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.next();
        }
        // The last space belongs to the marker of the end; `inside` sees it there.
        let before = self.at - 1;
        if right_marker(&self.source[before..]) && self.source[before + 2..].starts_with(CLOSE) {
            self.at = before;
        }
        if self.at > self.start {
            self.emit(Kind::Space);
        }
    }

    fn quoted(&mut self, quote: char, kind: Kind, unterminated: &str) -> Result<(), String> {
        loop {
            match self.next() {
                Some('\\') if self.next().is_some_and(|char| char != '\n') => {}
                Some(char) if char == quote => break,
                None | Some('\n' | '\\') => return Err(unterminated.to_owned()),
                Some(_) => {}
            }
        }
        self.emit(kind);
        Ok(())
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(char) => is_space(char) || self.rest().starts_with(CLOSE),
        }
    }

    /// The rest of an identifier, field or variable.
    fn word(&mut self, kind: Kind) -> Result<(), String> {
        while kind != Kind::Dot && self.peek().is_some_and(is_word) {
            self.next();
        }
        if !self.at_terminator() {
            let bad = self.peek().unwrap_or_default();
            return Err(format!("bad character {bad:?}"));
        }
        self.emit(match (kind, &self.source[self.start..self.at]) {
            (Kind::Identifier, "true" | "false") => Kind::Bool,
            (Kind::Identifier, word) => keyword(word).map_or(kind, Kind::Keyword),
            _ => kind,
        });
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        let bad = |lexer: &Self| {
            format!(
                "bad number syntax: {:?}",
                &lexer.source[lexer.start..lexer.at]
            )
        };
        if !self.scan_number() {
            return Err(bad(self));
        }
        if matches!(self.peek(), Some('+' | '-')) {
            if !self.scan_number() || !self.source[..self.at].ends_with('i') {
                return Err(bad(self));
            }
            self.emit(Kind::Complex);
        } else {
            self.emit(Kind::Number);
        }
        Ok(())
    }

    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        let mut exponent = "eE";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
                exponent = "pP";
            } else if self.accept("oO") {
                digits = "01234567_";
                exponent = "";
            } else if self.accept("bB") {
                digits = "01_";
                exponent = "";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        if self.accept(exponent) {
            self.accept("+-");
            self.accept_run("0123456789_");
        }
        self.accept("i");
        let ends = !self.peek().is_some_and(is_word);
        if !ends {
            self.next();
        }
        ends
    }
}

fn left_marker(rest: &str) -> bool {
    matches!(rest.as_bytes(), [b'-', space, ..] if is_space(char::from(*space)))
}

fn right_marker(rest: &str) -> bool {
    matches!(rest.as_bytes(), [space, b'-', ..] if is_space(char::from(*space)))
}

fn keyword(word: &str) -> Option<Keyword> {
    Some(match word {
        "block" => Keyword::Block,
        "break" => Keyword::Break,
        "continue" => Keyword::Continue,
        "define" => Keyword::Define,
        "else" => Keyword::Else,
        "end" => Keyword::End,
        "if" => Keyword::If,
        "nil" => Keyword::Nil,
        "range" => Keyword::Range,
        "template" => Keyword::Template,
        "with" => Keyword::With,
        _ => return None,
    })
}
