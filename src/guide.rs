//! What an answer has to obey while it is drawn, if it has to obey anything.

#[cfg(feature = "constrain")]
use crate::constrain::{Constraint, Matcher};
#[cfg(feature = "constrain")]
use crate::error::Error;
use crate::error::Result;
#[cfg(feature = "constrain")]
use crate::sampler::Allowed;
use crate::sampler::Sampler;
use crate::token::Token;
#[cfg(feature = "constrain")]
use crate::vocab::Vocab;

/// A constraint as far as the answer has come, or none.
#[derive(Debug, Default)]
pub(crate) struct Guide {
    #[cfg(feature = "constrain")]
    matcher: Option<Box<Matcher>>,
}

#[cfg(feature = "constrain")]
impl Guide {
    pub(crate) fn new(constraint: Option<&Constraint>, vocab: &Vocab) -> Result<Self> {
        let matcher = match constraint {
            None => None,
            Some(constraint) => Some(Box::new(constraint.matcher(&vocab.token_table()?)?)),
        };
        Ok(Self { matcher })
    }

    /// Draws a token that may come next and is not barred.
    pub(crate) fn sample(
        &mut self,
        sampler: &mut Sampler,
        logits: &[f32],
        barred: Option<&dyn Fn(Token) -> bool>,
    ) -> Result<Token> {
        let Some(matcher) = &mut self.matcher else {
            return unguided(sampler, logits, barred);
        };
        let mut allowed = Guided { matcher, barred };
        let error = match sampler.sample_allowed(logits, &mut allowed) {
            Ok(token) => return Ok(token),
            Err(error) => error,
        };
        match matcher.failure() {
            Some(failure) => Err(Error::new(failure.kind(), failure.message())),
            None => Err(Error::new(
                error.kind(),
                format!("under the constraint {}", error.message()),
            )),
        }
    }

    /// Goes on over a drawn token. True: the value is whole and can't go on.
    pub(crate) fn accept(&mut self, token: Token) -> Result<bool> {
        match &mut self.matcher {
            None => Ok(false),
            Some(matcher) => {
                matcher.accept(token)?;
                Ok(matcher.is_complete())
            }
        }
    }

    /// Whether the value is whole; `None` where nothing was asked for.
    pub(crate) fn is_whole(&mut self) -> Option<bool> {
        self.matcher.as_mut().map(|matcher| matcher.may_end())
    }

    /// How many of these tokens may come next.
    #[cfg(feature = "engine")]
    pub(crate) fn count_allowed(&mut self, tokens: &[Token]) -> usize {
        match &mut self.matcher {
            None => tokens.len(),
            Some(matcher) => matcher.count_allowed(tokens),
        }
    }
}

/// What the constraint allows and is not barred.
#[cfg(feature = "constrain")]
struct Guided<'a> {
    matcher: &'a mut Matcher,
    barred: Option<&'a dyn Fn(Token) -> bool>,
}

#[cfg(feature = "constrain")]
impl Allowed for Guided<'_> {
    fn allows(&mut self, token: Token) -> bool {
        !self.barred.is_some_and(|barred| barred(token)) && self.matcher.allows(token)
    }

    fn few(&mut self) -> Option<Vec<Token>> {
        let mut few = self.matcher.few()?;
        few.retain(|&token| !self.barred.is_some_and(|barred| barred(token)));
        Some(few)
    }
}

#[cfg(not(feature = "constrain"))]
impl Guide {
    pub(crate) fn sample(
        &mut self,
        sampler: &mut Sampler,
        logits: &[f32],
        barred: Option<&dyn Fn(Token) -> bool>,
    ) -> Result<Token> {
        unguided(sampler, logits, barred)
    }

    pub(crate) fn accept(&mut self, _: Token) -> Result<bool> {
        Ok(false)
    }

    pub(crate) fn is_whole(&mut self) -> Option<bool> {
        None
    }

    #[cfg(feature = "engine")]
    pub(crate) fn count_allowed(&mut self, tokens: &[Token]) -> usize {
        tokens.len()
    }
}

fn unguided(
    sampler: &mut Sampler,
    logits: &[f32],
    barred: Option<&dyn Fn(Token) -> bool>,
) -> Result<Token> {
    match barred {
        None => sampler.sample(logits),
        Some(barred) => sampler.sample_masked(logits, &mut |token| !barred(token)),
    }
}
