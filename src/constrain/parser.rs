//! One parse: which tokens and bytes may come next, which came.

use llguidance::TokenParser;
use llguidance::toktrie::{SimpleVob, TokenId};

use super::compile::{Compiled, Refusal, guarded};
use super::table::TokenTable;
use crate::error::{Error, ErrorKind, Result};
use crate::token::Token;

/// llguidance's parser of tokens, at one place of the grammar. Tokens that end the answer never reach it.
pub(super) struct Parser {
    inner: TokenParser,
    table: TokenTable,
}

impl Parser {
    /// At the start of the grammar.
    pub(super) fn new(grammar: &Compiled, table: &TokenTable) -> Result<Self, Refusal> {
        Ok(Self {
            inner: grammar.parser(table)?,
            table: table.clone(),
        })
    }

    pub(super) fn table(&self) -> &TokenTable {
        &self.table
    }

    /// Whether the token may come next.
    pub(super) fn allows(&mut self, token: Token) -> Result<bool> {
        let Ok(id) = TokenId::try_from(token.0) else {
            return Ok(false);
        };
        Ok(self.count(&[id])? == 1)
    }

    /// Whether these bytes may come next, in any tokens.
    pub(super) fn allows_bytes(&mut self, bytes: &[u8]) -> Result<bool> {
        let ids = self.ids(bytes);
        Ok(self.count(&ids)? == ids.len())
    }

    /// How many of these tokens may come next, one after the other.
    pub(super) fn count_allowed(&mut self, tokens: &[Token]) -> Result<usize> {
        let ids = tokens
            .iter()
            .map_while(|token| TokenId::try_from(token.0).ok());
        let ids: Vec<TokenId> = ids.collect();
        self.count(&ids)
    }

    fn count(&mut self, ids: &[TokenId]) -> Result<usize> {
        if self.inner.stopped() {
            return Ok(0);
        }
        guarded(|| self.inner.validate_tokens_raw(ids)).map_err(failed)
    }

    /// Every token that may come next, bytes of no token among them; none where the text has to end.
    pub(super) fn mask(&mut self) -> Result<SimpleVob> {
        if self.inner.stopped() {
            return Ok(self.table.no_tokens());
        }
        match guarded(|| self.inner.compute_mask()) {
            Ok(mask) => Ok(mask),
            // That nothing can follow is no failure; what it means the caller knows.
            Err(_) if self.inner.stop_reason().is_ok() => Ok(self.table.no_tokens()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Goes on over a token. Gives the number of steps that this took, for [`back`](Self::back).
    pub(super) fn accept(&mut self, token: Token) -> Result<usize> {
        let id = TokenId::try_from(token.0).map_err(|_| refused())?;
        self.step(id)?;
        Ok(1)
    }

    /// As [`accept`](Self::accept), for bytes.
    pub(super) fn accept_bytes(&mut self, bytes: &[u8]) -> Result<usize> {
        for id in self.ids(bytes) {
            self.step(id)?;
        }
        Ok(bytes.len())
    }

    fn step(&mut self, id: TokenId) -> Result<()> {
        if self.count(&[id])? == 0 {
            return Err(refused());
        }
        match guarded(|| self.inner.consume_token(id)).map_err(failed)? {
            0 => Ok(()),
            _ => Err(failed("the grammar takes text back".to_owned())),
        }
    }

    /// Goes back over so many steps.
    pub(super) fn back(&mut self, steps: usize) -> Result<()> {
        guarded(|| self.inner.rollback(steps)).map_err(failed)
    }

    /// Whether the text so far is whole.
    pub(super) fn is_accepting(&mut self) -> Result<bool> {
        guarded(|| Ok::<_, String>(self.inner.is_accepting())).map_err(failed)
    }

    fn ids(&self, bytes: &[u8]) -> Vec<TokenId> {
        bytes.iter().map(|&byte| self.table.byte_id(byte)).collect()
    }
}

impl Clone for Parser {
    /// Shares nothing that changes, so that no parse depends on another.
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.deep_clone(),
            table: self.table.clone(),
        }
    }
}

fn failed(why: String) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("the constraint is too complex to go on with: {why}"),
    )
}

fn refused() -> Error {
    Error::argument("the constraint does not allow this token here")
}
