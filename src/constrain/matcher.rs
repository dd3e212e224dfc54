//! One answer under a constraint: which tokens may come next, and whether the value is whole.

use std::sync::Arc;

use llguidance::toktrie::SimpleVob;

use super::limits;
use super::numbers::Place;
use super::parser::Parser;
use super::table::{TokenKind, TokenTable};
use super::trigger::{Found, Triggers};
use crate::error::{Error, Result};
use crate::token::Token;

/// Questions about single tokens, and refusals among the answers, before all are answered at once. Where
/// few tokens are allowed the set of all is quickly made; where many are, the first ones asked about are.
const SINGLE: u32 = 64;
const REFUSED: u32 = 12;

/// Up to so many tokens are few.
const FEW: usize = 1024;

/// Follows one answer under a [`Constraint`](super::Constraint).
///
/// Ask [`allows`](Self::allows) about tokens, give the drawn one to [`accept`](Self::accept), and stop
/// when [`is_complete`](Self::is_complete). `Request::constraint` and `Generation::constraint` do all
/// this; a matcher of your own is for loops of your own, with
/// [`Sampler::sample_masked`](crate::Sampler::sample_masked).
///
/// The first questions about a place are answered one by one, further ones from a set of all tokens
/// that is then made once. The answers are the same either way.
#[derive(Clone)]
pub struct Matcher {
    plan: Arc<Plan>,
    parser: Parser,
    at: At,
    /// What may come next, once it is made.
    mask: Option<Arc<SimpleVob>>,
    asked: u32,
    refused: u32,
    accepting: Option<bool>,
    complete: Option<bool>,
    history: Vec<Step>,
    failure: Option<Arc<Error>>,
}

/// What all answers under a constraint share.
pub(super) struct Plan {
    pub(super) triggers: Triggers,
    /// Text and control tokens whose bytes may complete a trigger.
    pub(super) may_trigger: Vec<bool>,
    /// Whether the value is JSON.
    pub(super) json: bool,
}

/// Where the answer is.
#[derive(Debug, Clone, Copy)]
struct At {
    stage: Stage,
    place: Place,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Before the value: a trigger has not come yet.
    Waiting(Found),
    /// Between the trigger and a JSON value, with so many blanks left.
    Gap(u8),
    Value,
}

/// What one token changed.
#[derive(Debug, Clone, Copy)]
struct Step {
    before: At,
    /// Steps of the parser.
    parsed: usize,
}

/// What bytes of a token do outside the parser.
enum Path<'a> {
    /// Nothing reaches the grammar.
    Outside(At),
    /// These bytes do, all of the token's.
    Whole(At),
    /// These bytes do, the end of the token's.
    Rest(At, &'a [u8]),
    /// They are not allowed.
    Refused,
}

impl Matcher {
    pub(super) fn new(plan: Arc<Plan>, parser: Parser) -> Self {
        let stage = match plan.triggers.is_empty() {
            true => Stage::Value,
            false => Stage::Waiting(Found::default()),
        };
        Self {
            plan,
            parser,
            at: At {
                stage,
                place: Place::default(),
            },
            mask: None,
            asked: 0,
            refused: 0,
            accepting: None,
            complete: None,
            history: Vec::new(),
            failure: None,
        }
    }

    /// The vocabulary that it was made for.
    #[must_use]
    pub fn table(&self) -> &TokenTable {
        self.parser.table()
    }

    /// Whether this token may come next.
    ///
    /// A token that ends the answer may come where the value is whole, and anywhere before the texts
    /// that the constraint waits for. After a [failure](Self::failure) nothing may come.
    pub fn allows(&mut self, token: Token) -> bool {
        if self.failure.is_some() {
            return false;
        }
        match self.try_allows(token) {
            Ok(allowed) => allowed,
            Err(error) => self.fail(error),
        }
    }

    /// How many of these tokens may certainly come next, one after the other. Changes nothing.
    ///
    /// Made for guesses: it counts no tokens that end the answer, and where the value has not begun
    /// none from its beginning on.
    pub fn count_allowed(&mut self, tokens: &[Token]) -> usize {
        if self.failure.is_some() || self.is_complete() {
            return 0;
        }
        let started = matches!(self.at.stage, Stage::Value);
        let table = self.parser.table().clone();
        let mut at = self.at;
        let known = tokens.iter().take_while(|&&token| {
            let next = match table.kind(token) {
                None | Some(TokenKind::End) => Path::Refused,
                Some(kind) => self.path(at, kind, table.bytes(token)),
            };
            match next {
                Path::Outside(next) => at = next,
                Path::Whole(next) if started => at = next,
                _ => return false,
            }
            true
        });
        let known = known.count();
        if !started {
            return known;
        }
        match self.parser.count_allowed(&tokens[..known]) {
            Ok(count) => count,
            Err(error) => usize::from(self.fail(error)),
        }
    }

    /// Goes on over a drawn token. A token that ends the answer changes nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) when the token is not allowed here, which
    /// changes nothing; [`ErrorKind::Unsupported`](crate::ErrorKind) when the constraint is too
    /// complex to go on.
    pub fn accept(&mut self, token: Token) -> Result<()> {
        if let Some(failure) = &self.failure {
            return Err(copy(failure));
        }
        if !self.allows(token) {
            return Err(self.failure.as_deref().map_or_else(|| refused(token), copy));
        }
        let table = self.parser.table().clone();
        let kind = match table.kind(token) {
            None | Some(TokenKind::End) => return Ok(()),
            Some(kind) => kind,
        };
        let (at, parsed) = match self.path(self.at, kind, table.bytes(token)) {
            Path::Refused => return Err(refused(token)),
            Path::Outside(at) => (at, Ok(0)),
            Path::Whole(at) => (at, self.parser.accept(token)),
            Path::Rest(at, rest) => (at, self.parser.accept_bytes(rest)),
        };
        let parsed = parsed.inspect_err(|error| self.failure = Some(Arc::new(copy(error))))?;
        let before = std::mem::replace(&mut self.at, at);
        self.history.push(Step { before, parsed });
        self.forget();
        Ok(())
    }

    /// Goes back over the last so many tokens that were accepted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) when fewer were accepted;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind) for Lark grammars with `max_tokens=`.
    pub fn rollback(&mut self, tokens: usize) -> Result<()> {
        if let Some(failure) = &self.failure {
            return Err(copy(failure));
        }
        let Some(kept) = self.history.len().checked_sub(tokens) else {
            return Err(Error::argument(format!(
                "{tokens} tokens to go back over, of {}",
                self.history.len()
            )));
        };
        let Some(first) = self.history.get(kept) else {
            return Ok(());
        };
        let at = first.before;
        let parsed = self.history[kept..].iter().map(|step| step.parsed).sum();
        if parsed > 0 {
            self.parser.back(parsed)?;
        }
        self.at = at;
        self.history.truncate(kept);
        self.forget();
        Ok(())
    }

    /// Whether the value has begun: true from the start where the constraint waits for no text.
    #[must_use]
    pub fn has_started(&self) -> bool {
        !matches!(self.at.stage, Stage::Waiting(_))
    }

    /// Whether the value is whole, so that the answer may end here. Perhaps it can also go on.
    pub fn may_end(&mut self) -> bool {
        if self.failure.is_some() {
            return false;
        }
        if let Some(accepting) = self.accepting {
            return accepting;
        }
        let accepting = match self.at.stage {
            Stage::Value => match self.parser.is_accepting() {
                Ok(accepting) => accepting,
                Err(error) => self.fail(error),
            },
            _ => false,
        };
        self.accepting = Some(accepting);
        accepting
    }

    /// Whether the value is whole and can't go on. The answer ends here.
    pub fn is_complete(&mut self) -> bool {
        if let Some(complete) = self.complete {
            return complete;
        }
        let complete = self.may_end()
            && match self.full_mask() {
                Ok(mask) => {
                    let tokens = self.parser.table().len();
                    mask.first_bit_set().is_none_or(|first| first >= tokens)
                }
                Err(error) => self.fail(error),
            };
        self.complete = Some(complete);
        complete
    }

    /// Why nothing may come any more, if the constraint turned out too complex on the way.
    #[must_use]
    pub fn failure(&self) -> Option<&Error> {
        self.failure.as_deref()
    }

    /// All tokens that may come next, in ascending order, if there are at most 1024; `None` if there are
    /// more, and before and just after the texts that the constraint waits for.
    pub fn few(&mut self) -> Option<Vec<Token>> {
        if self.failure.is_none() && !matches!(self.at.stage, Stage::Value) {
            return None;
        }
        let mask = match self.full_mask() {
            Ok(mask) => mask,
            Err(error) => {
                self.fail(error);
                return Some(Vec::new());
            }
        };
        if mask.num_set() > FEW {
            return None;
        }
        let id = |id: u32| i32::try_from(id).ok().map(Token);
        let table = self.parser.table().clone();
        let mut few: Vec<Token> = mask.iter().filter_map(id).chain(table.ends()).collect();
        few.sort_unstable();
        few.retain(|&token| self.allows(token));
        Some(few)
    }

    fn fail(&mut self, error: Error) -> bool {
        self.failure = Some(Arc::new(error));
        false
    }

    fn forget(&mut self) {
        (self.mask, self.asked, self.refused) = (None, 0, 0);
        (self.accepting, self.complete) = (None, None);
    }

    fn kind(&self, token: Token) -> Option<TokenKind> {
        self.parser.table().kind(token)
    }

    fn try_allows(&mut self, token: Token) -> Result<bool> {
        let kind = match self.kind(token) {
            None => return Ok(false),
            Some(TokenKind::End) => return Ok(!self.has_started() || self.may_end()),
            Some(kind) => kind,
        };
        let in_value = matches!(self.at.stage, Stage::Value);
        if in_value && self.is_complete() {
            return Ok(false);
        }
        match self.at.stage {
            Stage::Waiting(_) if !self.plan.may_trigger(token) => return Ok(true),
            // Most tokens say nothing about numbers.
            Stage::Value if !self.plan.json || !self.parser.table().has_digit(token) => {
                return self.grammar_allows(token);
            }
            _ => {}
        }
        let table = self.parser.table().clone();
        match self.path(self.at, kind, table.bytes(token)) {
            Path::Outside(_) => Ok(true),
            Path::Whole(_) => self.grammar_allows(token),
            Path::Rest(_, rest) => self.parser.allows_bytes(rest),
            Path::Refused => Ok(false),
        }
    }

    /// As the parser says, by the mask where it was asked often.
    fn grammar_allows(&mut self, token: Token) -> Result<bool> {
        // Checked by `kind`: the token is in the table, and so in the mask.
        let is_in = |mask: &SimpleVob| u32::try_from(token.0).is_ok_and(|id| mask.is_allowed(id));
        if let Some(mask) = &self.mask {
            return Ok(is_in(mask));
        }
        if self.asked < SINGLE && self.refused < REFUSED {
            let allowed = self.parser.allows(token)?;
            self.asked += 1;
            self.refused += u32::from(!allowed);
            return Ok(allowed);
        }
        Ok(is_in(&*self.full_mask()?))
    }

    /// Every token that the grammar allows next.
    fn full_mask(&mut self) -> Result<Arc<SimpleVob>> {
        if let Some(mask) = &self.mask {
            return Ok(Arc::clone(mask));
        }
        let mask = Arc::new(self.parser.mask()?);
        self.mask = Some(Arc::clone(&mask));
        Ok(mask)
    }

    /// Which of a token's bytes reach the grammar, and where the answer is after them.
    fn path<'a>(&self, at: At, kind: TokenKind, bytes: &'a [u8]) -> Path<'a> {
        let control = kind == TokenKind::Control;
        let (left, rest) = match at.stage {
            // By its name a control token can be waited for; else it is no text.
            Stage::Value | Stage::Gap(_) if control => return Path::Whole(at.in_value()),
            // Not even a blank.
            Stage::Gap(_) if bytes.is_empty() => return Path::Refused,
            Stage::Value => (0, bytes),
            Stage::Gap(left) => (left, bytes),
            Stage::Waiting(found) => match self.plan.triggers.search(found, bytes) {
                Err(found) => {
                    let stage = Stage::Waiting(found);
                    return Path::Outside(At { stage, ..at });
                }
                Ok(_) if control => (limits::GAP, &[][..]),
                Ok(read) => (limits::GAP, &bytes[read..]),
            },
        };
        if !self.plan.json {
            return path(at.in_value(), bytes, rest);
        }
        if let Stage::Value = at.stage {
            return match at.place.after(bytes) {
                Some(place) => Path::Whole(At { place, ..at }),
                None => Path::Refused,
            };
        }
        let blanks = rest.iter().take_while(|byte| is_blank(**byte)).count();
        let Some(left) = u8::try_from(blanks).ok().and_then(|n| left.checked_sub(n)) else {
            return Path::Refused;
        };
        let rest = &rest[blanks..];
        if rest.is_empty() {
            let stage = Stage::Gap(left);
            return Path::Outside(At { stage, ..at });
        }
        match at.place.after(rest) {
            Some(place) => path(
                At {
                    place,
                    ..at.in_value()
                },
                bytes,
                rest,
            ),
            None => Path::Refused,
        }
    }
}

impl At {
    fn in_value(self) -> Self {
        Self {
            stage: Stage::Value,
            ..self
        }
    }
}

impl Plan {
    fn may_trigger(&self, token: Token) -> bool {
        let may = token.index().and_then(|index| self.may_trigger.get(index));
        may.copied().unwrap_or(false)
    }
}

/// To `at` by the end of a token's bytes.
fn path<'a>(at: At, bytes: &'a [u8], rest: &'a [u8]) -> Path<'a> {
    match rest.len() {
        0 if !bytes.is_empty() => Path::Outside(at),
        length if length == bytes.len() => Path::Whole(at),
        _ => Path::Rest(at, rest),
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn refused(token: Token) -> Error {
    Error::argument(format!("the constraint does not allow token {token} here"))
}

fn copy(error: &Error) -> Error {
    Error::new(error.kind(), error.message())
}

impl std::fmt::Debug for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matcher")
            .field("at", &self.at)
            .field("tokens", &self.history.len())
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}
