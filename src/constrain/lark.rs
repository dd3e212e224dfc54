//! Lark grammars: their schemas are checked, and the tokens that they ask for are looked up.

use std::collections::HashMap;

use serde_json::Value;

use super::compile::Refusal;
use super::table::{TokenKind, TokenTable};
use super::{limits, regex, schema};
use crate::error::{Error, Result};
use crate::token::Token;

/// A grammar in llguidance's dialect, as text around what is looked up in each vocabulary.
pub(super) struct Lark {
    pieces: Vec<Piece>,
}

enum Piece {
    Text(String),
    Tokens(Wanted),
}

/// Tokens that a grammar asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    /// Every text token but these.
    pub(super) negated: bool,
    pub(super) tokens: Vec<TokenName>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum TokenName {
    /// `<name>`
    Named(String),
    /// From one id to another.
    Ids(u32, u32),
}

impl Lark {
    /// Reads a grammar from a stranger.
    pub(super) fn read(grammar: &str) -> Result<Self> {
        if grammar.len() > limits::TEXT {
            return Err(Refusal::large(format!(
                "it has {} bytes; it may have {}",
                grammar.len(),
                limits::TEXT
            ))
            .about("Lark grammar"));
        }
        Scanner::new(grammar).run()
    }

    /// An empty grammar, to add to.
    pub(super) fn new() -> Self {
        Self { pieces: Vec::new() }
    }

    pub(super) fn push(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }

    pub(super) fn push_tokens(&mut self, wanted: Wanted) {
        self.pieces.push(Piece::Tokens(wanted));
    }

    pub(super) fn asks_for_tokens(&self) -> bool {
        let mut pieces = self.pieces.iter();
        pieces.any(|piece| matches!(piece, Piece::Tokens(_)))
    }

    /// The grammar with some token in place of each that it asks for.
    pub(super) fn without_tokens(&self) -> String {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Tokens(_) => "<[0]>",
        });
        pieces.collect()
    }

    /// The grammar with the tokens of a vocabulary.
    pub(super) fn with_tokens(&self, table: &TokenTable) -> Result<String> {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => Ok(text.clone()),
            Piece::Tokens(wanted) => wanted.in_table(table),
        });
        pieces.collect()
    }
}

impl Wanted {
    fn in_table(&self, table: &TokenTable) -> Result<String> {
        let mut named = Vec::new();
        for name in &self.tokens {
            named.push(name.in_table(table)?);
        }
        let ranges = match self.negated {
            false => named,
            true => {
                let is_named = |id: u32| named.iter().any(|&(from, to)| (from..=to).contains(&id));
                let ids = table
                    .text_tokens()
                    .filter_map(|token| u32::try_from(token.0).ok());
                runs(ids.filter(|&id| !is_named(id)))
            }
        };
        if ranges.is_empty() {
            return Err(Error::argument(
                "the grammar asks for a token but leaves none",
            ));
        }
        let ranges = ranges.into_iter().map(|(from, to)| format!("{from}-{to}"));
        Ok(format!("<[{}]>", ranges.collect::<Vec<_>>().join(",")))
    }
}

impl TokenName {
    fn in_table(&self, table: &TokenTable) -> Result<(u32, u32)> {
        let (from, to) = match self {
            &Self::Ids(from, to) => (from, to),
            Self::Named(name) => {
                let token = table
                    .by_name(name)
                    .and_then(|token| u32::try_from(token.0).ok());
                let token = token.ok_or_else(|| {
                    Error::argument(format!("the vocabulary has no token {name:?}"))
                })?;
                (token, token)
            }
        };
        if usize::try_from(to).is_ok_and(|to| to >= table.len()) {
            return Err(Error::argument(format!(
                "the grammar asks for token {to}; the vocabulary has {}",
                table.len()
            )));
        }
        let ends = (from..=to).find(|&id| {
            let token = i32::try_from(id).ok().map(Token);
            token.and_then(|token| table.kind(token)) == Some(TokenKind::End)
        });
        match ends {
            Some(id) => Err(Error::argument(format!(
                "the grammar asks for token {id}, which ends the answer; where the text is whole it may \
                 come anyway"
            ))),
            None => Ok((from, to)),
        }
    }
}

/// Ascending numbers as runs of neighbours.
fn runs(ids: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for id in ids {
        match runs.last_mut() {
            Some((_, to)) if to.checked_add(1) == Some(id) => *to = id,
            _ => runs.push((id, id)),
        }
    }
    runs
}

/// Goes over a grammar far enough to know what is a string, an expression, a comment, a schema.
struct Scanner<'a> {
    rest: &'a str,
    out: Lark,
    definitions: Vec<Definition<'a>>,
}

/// A rule or terminal, as far as it is looked at.
#[derive(Default)]
struct Definition<'a> {
    name: &'a str,
    /// At least as many as there are choices in it.
    options: usize,
    /// What may be names in it.
    names: Vec<&'a str>,
}

impl<'a> Scanner<'a> {
    fn new(rest: &'a str) -> Self {
        Self {
            rest,
            out: Lark::new(),
            definitions: vec![Definition::default()],
        }
    }

    fn run(mut self) -> Result<Lark> {
        while let Some(first) = self.rest.chars().next() {
            match first {
                '"' => self.copy(end_of_quoted(self.rest, '"')),
                '/' if self.rest.starts_with("//") => self.copy(end_of_line(self.rest)),
                '#' => self.copy(end_of_line(self.rest)),
                '/' => {
                    let end = end_of_quoted(self.rest, '/');
                    let pattern = self.rest[1..end].trim_end_matches('/');
                    regex::check_parts(pattern).map_err(|why| why.about("Lark grammar"))?;
                    self.count(regex::options(pattern));
                    self.copy(end);
                }
                '<' => self.token()?,
                '%' if self.rest.starts_with("%json") => self.schema()?,
                '%' if self.rest.starts_with("%llguidance") => self.options()?,
                c if c.is_ascii_alphabetic() || c == '_' => {
                    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                    let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
                    let (name, after) = self.rest.split_at(end);
                    if name == "temperature" && after.trim_start().starts_with('=') {
                        let why = "temperature= is the sampler's";
                        return Err(Refusal::unsupported(why).about("Lark grammar"));
                    }
                    if let Some(last) = self.definitions.last_mut() {
                        last.names.push(name);
                    }
                    self.copy(end);
                }
                other => {
                    match other {
                        // What came last belongs to what begins here.
                        ':' => {
                            let name = self.definitions.last_mut().and_then(|d| d.names.pop());
                            self.definitions.push(Definition {
                                name: name.unwrap_or_default(),
                                ..Definition::default()
                            });
                        }
                        '?' | '*' | '+' | '{' | '~' | '(' | '[' | '|' => self.count(1),
                        _ => {}
                    }
                    self.copy(other.len_utf8());
                }
            }
        }
        let too_many = self.definitions.len() > limits::LARK_RULES;
        if too_many || self.all_options() > limits::OPTIONS {
            let why = "too many rules, or too many choices in its terminals";
            return Err(Refusal::large(why).about("Lark grammar"));
        }
        Ok(self.out)
    }

    fn count(&mut self, options: usize) {
        if let Some(last) = self.definitions.last_mut() {
            last.options += options;
        }
    }

    /// The choices in all definitions, those of terminals counted as often as they are named.
    fn all_options(&self) -> usize {
        let is_terminal = |name: &str| {
            let first = name.trim_start_matches('_').chars().next();
            first.is_some_and(|c| c.is_ascii_uppercase())
        };
        let numbers = self.definitions.iter().enumerate();
        let numbers = numbers.filter(|(_, definition)| is_terminal(definition.name));
        let numbers: HashMap<&str, usize> = numbers
            .map(|(number, definition)| (definition.name, number))
            .collect();
        let mut known: Vec<Option<usize>> = vec![None; self.definitions.len()];
        let mut left: Vec<usize> = (0..known.len()).collect();
        loop {
            let before = left.len();
            // Each after those that it names.
            left.retain(|&number| {
                let definition = &self.definitions[number];
                let named = definition.names.iter().filter_map(|name| numbers.get(name));
                let mut options = named.map(|&named| known[named]);
                let all = options.try_fold(definition.options, |all, options| {
                    options.map(|options| all.saturating_add(options))
                });
                known[number] = all;
                known[number].is_none()
            });
            // What names itself is left, which llguidance refuses.
            if left.len() == before {
                return known.into_iter().flatten().fold(0, usize::saturating_add);
            }
        }
    }

    fn copy(&mut self, length: usize) {
        let (text, rest) = self.rest.split_at(length);
        self.out.push(text);
        self.rest = rest;
    }

    /// `<name>`, `<[1,2-3]>`, `<[^1]>` or `<[*]>`.
    fn token(&mut self) -> Result<()> {
        let body = &self.rest[1..];
        let length = body.find(|c: char| c == '<' || c == '>' || c.is_whitespace());
        let Some(length) = length.filter(|&at| at > 0 && body[at..].starts_with('>')) else {
            self.copy(1);
            return Ok(());
        };
        let (name, rest) = (&self.rest[..length + 2], &body[length + 1..]);
        let wanted = wanted(name)
            .ok_or_else(|| Error::argument(format!("Lark grammar: {name:?} names no token")))?;
        self.out.push_tokens(wanted);
        self.rest = rest;
        Ok(())
    }

    fn schema(&mut self) -> Result<()> {
        self.copy("%json".len());
        let value = self.json("%json")?;
        let checked = schema::check(&value)?;
        checked.compile()?;
        self.out.push(&format!(" {} ", checked.text()));
        Ok(())
    }

    fn options(&mut self) -> Result<()> {
        self.copy("%llguidance".len());
        let value = self.json("%llguidance")?;
        if value
            .get("allow_invalid_utf8")
            .is_some_and(|on| on != &Value::Bool(false))
        {
            let why = "allow_invalid_utf8 is not supported: answers are text";
            return Err(Refusal::unsupported(why).about("Lark grammar"));
        }
        self.out.push(&format!(" {value} "));
        Ok(())
    }

    fn json(&mut self, after: &str) -> Result<Value> {
        let mut values = serde_json::Deserializer::from_str(self.rest).into_iter::<Value>();
        let value = match values.next() {
            Some(Ok(value)) => value,
            Some(Err(error)) => {
                return Err(Error::argument(format!(
                    "Lark grammar: after {after}: {error}"
                )));
            }
            None => {
                return Err(Error::argument(format!(
                    "Lark grammar: nothing after {after}"
                )));
            }
        };
        self.rest = &self.rest[values.byte_offset()..];
        Ok(value)
    }
}

/// What `<...>` means.
fn wanted(name: &str) -> Option<Wanted> {
    let Some(list) = name
        .strip_prefix("<[")
        .and_then(|list| list.strip_suffix("]>"))
    else {
        return Some(Wanted {
            negated: false,
            tokens: vec![TokenName::Named(name.to_owned())],
        });
    };
    if list == "*" {
        return Some(Wanted {
            negated: true,
            tokens: Vec::new(),
        });
    }
    let (negated, list) = match list.strip_prefix('^') {
        Some(list) => (true, list),
        None => (false, list),
    };
    let tokens = list.split(',').map(|item| {
        let (from, to) = item.split_once('-').unwrap_or((item, item));
        let (from, to) = (from.parse().ok()?, to.parse().ok()?);
        (from <= to).then_some(TokenName::Ids(from, to))
    });
    Some(Wanted {
        negated,
        tokens: tokens.collect::<Option<_>>()?,
    })
}

/// The length up to and with the quote that ends the text, or of all there is.
fn end_of_quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn end_of_line(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// A grammar of exactly these texts.
pub(super) fn choice(texts: &[String]) -> Result<String> {
    let refuse = |why: String| Err(Refusal::large(why).about("choice"));
    if texts.iter().all(String::is_empty) {
        return Err(Error::argument("a choice without a text"));
    }
    if texts.len() > limits::CHOICES {
        return refuse(format!("more than {} texts", limits::CHOICES));
    }
    let length: usize = texts.iter().map(String::len).sum();
    if length > limits::TEXT {
        return refuse(format!("{length} bytes; at most {}", limits::TEXT));
    }
    let texts = texts.iter().map(|text| quoted(text));
    Ok(format!(
        "start: CHOICE\nCHOICE: {}\n",
        texts.collect::<Vec<_>>().join(" | ")
    ))
}

/// A text as a string of Lark.
pub(super) fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    json.replace('\u{7f}', "\\u007f")
}
