//! Says in the engine's dialect what a template says in that of Jinja2 and transformers.
//!
//! - `{% generation %}`, which transformers adds to mark what a model wrote, becomes a scope.
//! - `a == b`, `a != b`, `a in b` and `a not in b` become calls: text of messages is spelled with other
//!   characters while its origin is being found, and must compare as if it were not.
//! - What `set` stores passes through a call that limits how deep values get.
//! - What `~` joins passes through a call that prints it as Python does, within limits.
//! - Texts are read as Python reads them, and written down as the engine reads them.
//!
//! Lines stay where they are, so that errors name the right one.

use crate::error::Result;

use super::failure::at_line;
use super::literal;
use super::scan::{Kind, Piece, Tag, Token, scan};

/// The functions that the result calls.
pub(super) const EQUAL: &str = "_equal";
pub(super) const CONTAINS: &str = "_contains";
pub(super) const KEEP: &str = "_keep";
pub(super) const STORE: &str = "_store";
pub(super) const TEXT: &str = "_text";

/// `elif` after `elif`: the parser calls itself for each.
const MAX_BRANCHES: usize = 300;

/// A template, ready for the engine, and the texts in it.
#[derive(Debug, Default)]
pub(super) struct Rewritten {
    pub(super) source: String,
    /// All texts in tags.
    pub(super) literals: Vec<String>,
    /// All names in tags.
    pub(super) names: Vec<String>,
}

pub(super) fn rewrite(source: &str) -> Result<Rewritten> {
    // As Jinja2 does; only newlines of the template are meant, not of messages.
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut result = Rewritten::default();
    let mut branches = Vec::new();
    for piece in scan(&source)? {
        match piece {
            Piece::Verbatim(text) => result.source.push_str(text),
            Piece::Tag(tag) => {
                count_branches(&tag, &mut branches)?;
                result.tag(&tag)?;
            }
        }
    }
    Ok(result)
}

fn count_branches(tag: &Tag, branches: &mut Vec<usize>) -> Result<()> {
    let keyword = tag.tokens.first().filter(|_| tag.is_block());
    match keyword.map(|token| token.text) {
        Some("if") => branches.push(0),
        Some("endif") => drop(branches.pop()),
        Some("elif") => {
            if let Some(count) = branches.last_mut() {
                *count += 1;
                if *count > MAX_BRANCHES {
                    return Err(at_line(tag.line, "too many branches of one `if`"));
                }
            }
        }
        _ => {}
    }
    Ok(())
}

impl Rewritten {
    fn tag(&mut self, tag: &Tag) -> Result<()> {
        self.source.push_str(tag.open);
        let mut tokens = &tag.tokens[..];
        if tag.is_block()
            && let Some((keyword, rest)) = tokens.split_first()
        {
            self.source.push_str(keyword.gap);
            self.source.push_str(match keyword.text {
                "generation" if rest.is_empty() => "with",
                "endgeneration" if rest.is_empty() => "endwith",
                other => other,
            });
            tokens = rest;
            match keyword.text {
                "set" => return self.set(tag, tokens),
                "for" => {
                    // `in` of the loop is no comparison.
                    let count = tokens.iter().position(|token| token.is("in"));
                    let (targets, rest) = tokens.split_at(count.map_or(0, |at| at + 1));
                    targets.iter().for_each(|token| self.verbatim(token));
                    tokens = rest;
                }
                _ => {}
            }
        }
        self.expressions(tag, tokens)?;
        self.end(tag);
        Ok(())
    }

    fn end(&mut self, tag: &Tag) {
        self.source.push_str(tag.gap);
        self.source.push_str(tag.close);
    }

    fn set(&mut self, tag: &Tag, tokens: &[Token]) -> Result<()> {
        let Some(at) = tokens.iter().position(|token| token.is("=")) else {
            self.expressions(tag, tokens)?;
            self.end(tag);
            return Ok(());
        };
        let (target, value) = tokens.split_at(at + 1);
        let attribute = target.iter().any(|token| token.is("."));
        target.iter().for_each(|token| self.verbatim(token));
        self.source.push(' ');
        self.source.push_str(if attribute { STORE } else { KEEP });
        self.source.push('(');
        self.expressions(tag, value)?;
        self.source.push(')');
        self.end(tag);
        Ok(())
    }

    fn verbatim(&mut self, token: &Token) {
        self.source.push_str(token.gap);
        self.source.push_str(token.text);
    }

    /// Tokens of one or several expressions: what separates them separates comparisons as well.
    fn expressions(&mut self, tag: &Tag, tokens: &[Token]) -> Result<()> {
        let mut at = 0;
        while at < tokens.len() {
            let end = at + comparison_length(&tokens[at..]);
            self.comparison(tag, &tokens[at..end])?;
            if let Some(separator) = tokens.get(end) {
                self.verbatim(separator);
            }
            at = end + 1;
        }
        Ok(())
    }

    /// A comparison or what is none.
    fn comparison(&mut self, tag: &Tag, tokens: &[Token]) -> Result<()> {
        let operators = operators(tokens);
        let [(at, length)] = operators[..] else {
            return self.operand(tag, tokens);
        };
        let (left, right) = (&tokens[..at], &tokens[at + length..]);
        let (function, negated) = match tokens[at].text {
            "==" => (EQUAL, false),
            "!=" => (EQUAL, true),
            "in" => (CONTAINS, false),
            "not" => (CONTAINS, true),
            _ => return self.operand(tag, tokens),
        };
        if left.is_empty() || right.is_empty() {
            return self.operand(tag, tokens);
        }
        self.source.push_str(left[0].gap);
        // In parentheses: what follows may bind more tightly than `not`.
        self.source.push_str(if negated { " (not " } else { " " });
        self.source.push_str(function);
        self.source.push('(');
        self.operand(tag, left)?;
        self.source.push(',');
        self.operand(tag, right)?;
        self.source.push_str(if negated { "))" } else { ")" });
        Ok(())
    }

    /// Tokens without a comparison outside of brackets: sums of what `~` joins.
    fn operand(&mut self, tag: &Tag, tokens: &[Token]) -> Result<()> {
        let mut at = 0;
        while at < tokens.len() {
            let end = at
                + outside_brackets(&tokens[at..], |token, before| {
                    (token.is("+") || token.is("-")) && before.is_some_and(ends_operand)
                });
            self.joined(tag, &tokens[at..end])?;
            if let Some(sign) = tokens.get(end) {
                self.verbatim(sign);
            }
            at = end + 1;
        }
        Ok(())
    }

    fn joined(&mut self, tag: &Tag, tokens: &[Token]) -> Result<()> {
        let next = |from: usize| from + outside_brackets(&tokens[from..], |token, _| token.is("~"));
        let mut end = next(0);
        if end == tokens.len() {
            return self.term(tag, tokens);
        }
        let mut at = 0;
        loop {
            self.source.push(' ');
            self.source.push_str(TEXT);
            self.source.push('(');
            self.term(tag, &tokens[at..end])?;
            self.source.push(')');
            let Some(operator) = tokens.get(end) else {
                return Ok(());
            };
            self.verbatim(operator);
            at = end + 1;
            end = next(at);
        }
    }

    /// Tokens with nothing to change outside of brackets. The nesting of brackets is limited.
    fn term(&mut self, tag: &Tag, tokens: &[Token]) -> Result<()> {
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            self.mention(tag, token)?;
            at += 1;
            if is_opening(token) {
                let end = at + bracket_length(&tokens[at..]);
                self.expressions(tag, &tokens[at..end])?;
                at = end;
            }
        }
        Ok(())
    }

    fn mention(&mut self, tag: &Tag, token: &Token) -> Result<()> {
        if token.kind == Kind::Text {
            let text = literal::read(token.text).map_err(|cause| at_line(tag.line, cause))?;
            self.source.push_str(token.gap);
            self.source.push_str(&literal::write(token.text, &text));
            self.literals.push(text);
            return Ok(());
        }
        if token.kind == Kind::Name {
            self.names.push(token.text.to_owned());
        }
        self.verbatim(token);
        Ok(())
    }
}

fn is_opening(token: &Token) -> bool {
    token.kind == Kind::Operator && matches!(token.text, "(" | "[" | "{")
}

fn is_closing(token: &Token) -> bool {
    token.kind == Kind::Operator && matches!(token.text, ")" | "]" | "}")
}

/// Whether a sign after this token is between two operands.
fn ends_operand(token: &Token) -> bool {
    match token.kind {
        Kind::Operator => is_closing(token),
        Kind::Name => !matches!(token.text, "is" | "not" | "in"),
        Kind::Text | Kind::Number => true,
    }
}

/// How many tokens there are up to the first outside of brackets that `wanted` says yes to, given it and
/// the one before.
fn outside_brackets(tokens: &[Token], wanted: impl Fn(&Token, Option<&Token>) -> bool) -> usize {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if wanted(token, at.checked_sub(1).and_then(|at| tokens.get(at))) {
            return at;
        }
        at += 1;
        if is_opening(token) {
            at += bracket_length(&tokens[at..]);
        }
    }
    tokens.len()
}

/// How many tokens there are up to the bracket that closes.
fn bracket_length(tokens: &[Token]) -> usize {
    let mut depth = 0;
    let closes = |token: &Token| {
        if is_opening(token) {
            depth += 1;
        } else if is_closing(token) {
            if depth == 0 {
                return true;
            }
            depth -= 1;
        }
        false
    };
    tokens.iter().position(closes).unwrap_or(tokens.len())
}

/// How many tokens there are up to one that separates comparisons.
fn comparison_length(tokens: &[Token]) -> usize {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let before = at.checked_sub(1).and_then(|at| tokens.get(at));
        let separates = match token.kind {
            Kind::Operator => matches!(token.text, "," | ":" | "="),
            Kind::Name if before.is_some_and(|before| before.is(".") || before.is("|")) => false,
            Kind::Name => match token.text {
                "and" | "or" | "if" | "else" | "recursive" => true,
                // `is not` belongs to a test, `not in` is a comparison.
                "not" => {
                    let test = before.is_some_and(|before| before.is("is"));
                    let comparison = tokens.get(at + 1).is_some_and(|next| next.is("in"));
                    !test && !comparison
                }
                _ => false,
            },
            Kind::Text | Kind::Number => false,
        };
        if separates {
            return at;
        }
        at += 1;
        if is_opening(token) {
            at += bracket_length(&tokens[at..]);
        }
    }
    tokens.len()
}

/// Place and length of the comparison operators outside of brackets.
fn operators(tokens: &[Token]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let before = |back: usize| at.checked_sub(back).and_then(|at| tokens.get(at));
        let after_is = before(1).is_some_and(|token| token.is("is"))
            || before(1).is_some_and(|token| token.is("not"))
                && before(2).is_some_and(|token| token.is("is"));
        let attribute = before(1).is_some_and(|token| token.is(".") || token.is("|"));
        match token.kind {
            Kind::Operator if matches!(token.text, "==" | "!=" | "<" | ">" | "<=" | ">=") => {
                found.push((at, 1));
            }
            Kind::Name if attribute || after_is => {}
            Kind::Name if token.text == "in" => found.push((at, 1)),
            Kind::Name if token.text == "not" => {
                found.push((at, 2));
                at += 1;
            }
            _ => {}
        }
        at += 1;
        if is_opening(token) {
            at += bracket_length(&tokens[at..]);
        }
    }
    found
}
