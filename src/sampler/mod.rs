//! Picks the next token from a row of logits: a chain of [`Stage`]s in a stated order, from a
//! stated seed. Pure Rust; it means what llama.cpp's samplers mean and is several times faster.

mod builder;
mod chain;
mod dry;
mod filters;
mod logprobs;
mod math;
mod mirostat;
mod params;
mod penalties;
mod rng;
mod row;
mod set;
mod stage;

use std::fmt;
use std::sync::Arc;

pub use builder::SamplerBuilder;
pub use dry::DryBreakers;
pub use logprobs::LogProbs;
pub use params::{MirostatVersion, SamplerParams};
pub use stage::Stage;

use crate::error::Result;
use crate::token::Token;
use chain::{Chain, Scratch, State};
use rng::Rng;
#[cfg(all(feature = "constrain", feature = "inference"))]
pub(crate) use row::Allowed;
use row::Asked;

/// A candidate that is left after all stages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Its id.
    pub token: Token,
    /// Its logit after all stages.
    pub logit: f32,
    /// Its probability among all that are left.
    pub p: f32,
}

/// Picks the next token from the logits of the last one, and remembers what was picked.
///
/// A row of logits has one number per token of the vocabulary, indexed by token id. A row that is
/// empty, holds NaN or +inf, or -inf only is an [`ErrorKind::Sampling`](crate::ErrorKind) error.
///
/// Equal logits rank by lower token id. Random numbers come from xoshiro256++ seeded by
/// SplitMix64; a seed gives the same sequence on every platform and in every release (not the one
/// that llama.cpp's `std::mt19937` gives).
///
/// Cloning copies the window of recent tokens and the random state, and shares the rest. Buffers
/// are reused: after the first calls, sampling allocates nothing.
///
/// ```
/// use llamakit::sampler::Sampler;
///
/// let mut sampler = Sampler::greedy();
/// let token = sampler.sample(&[0.1, 2.5, -1.0])?;
/// sampler.accept(token);
/// assert_eq!(token, llamakit::Token(1));
/// # Ok::<(), llamakit::Error>(())
/// ```
pub struct Sampler {
    chain: Arc<Chain>,
    rng: Rng,
    /// One per active stage.
    states: Vec<State>,
    scratch: Scratch,
}

impl Sampler {
    /// Starts a chain of stages in an order of your own.
    #[must_use]
    pub fn builder() -> SamplerBuilder {
        SamplerBuilder::default()
    }

    /// Always the most probable token, by the raw logits alone.
    #[must_use]
    pub fn greedy() -> Self {
        Self::from_chain(Chain::new(vec![Stage::Greedy], Some(0)))
    }

    /// Ollama's defaults and a random seed, see [`SamplerParams::ollama`].
    #[must_use]
    pub fn ollama() -> Self {
        Self::from_chain(Chain::new(SamplerParams::ollama().stages(), None))
    }

    /// llama.cpp's defaults and a random seed, see [`SamplerParams::llama_cpp`].
    #[must_use]
    pub fn llama_cpp() -> Self {
        Self::from_chain(Chain::new(SamplerParams::llama_cpp().stages(), None))
    }

    fn from_chain(chain: Chain) -> Self {
        Self {
            rng: Rng::new(chain.seed),
            states: chain.states(),
            chain: Arc::new(chain),
            scratch: Scratch::default(),
        }
    }

    /// Picks a token. The sampler does not count it as used until [`accept`](Self::accept).
    ///
    /// # Errors
    /// [`ErrorKind::Sampling`](crate::ErrorKind) if no token can be drawn from this row (see the
    /// type's documentation), or if a stage makes a logit NaN or +inf;
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) if a logit bias names a token that the
    /// row doesn't have.
    pub fn sample(&mut self, logits: &[f32]) -> Result<Token> {
        chain::sample(self, logits, None)
    }

    /// Picks among the tokens that `allowed` says yes to.
    ///
    /// The result is what [`sample`](Self::sample) gives with all other logits at -inf before the
    /// first stage. `allowed` is asked only about tokens that matter, in no particular order and
    /// perhaps more than once, and must answer the same each time.
    ///
    /// # Errors
    /// As [`sample`](Self::sample); also if every token with a logit above -inf is refused.
    pub fn sample_masked(
        &mut self,
        logits: &[f32],
        allowed: &mut dyn FnMut(Token) -> bool,
    ) -> Result<Token> {
        chain::sample(self, logits, Some(&mut Asked(allowed)))
    }

    /// As [`sample_masked`](Self::sample_masked).
    #[cfg(all(feature = "constrain", feature = "inference"))]
    pub(crate) fn sample_allowed(
        &mut self,
        logits: &[f32],
        allowed: &mut dyn Allowed,
    ) -> Result<Token> {
        chain::sample(self, logits, Some(allowed))
    }

    /// What [`sample`](Self::sample) would now draw from: the candidates that are left after all
    /// stages with their probabilities, most probable first. Changes no state, so that a `sample`
    /// that follows with the same row draws from exactly these.
    ///
    /// # Errors
    /// As [`sample`](Self::sample).
    pub fn candidates(&mut self, logits: &[f32]) -> Result<Vec<Candidate>> {
        chain::candidates(self, logits, None)
    }

    /// As [`candidates`](Self::candidates), for [`sample_masked`](Self::sample_masked).
    ///
    /// # Errors
    /// As [`sample_masked`](Self::sample_masked).
    pub fn candidates_masked(
        &mut self,
        logits: &[f32],
        allowed: &mut dyn FnMut(Token) -> bool,
    ) -> Result<Vec<Candidate>> {
        chain::candidates(self, logits, Some(&mut Asked(allowed)))
    }

    /// Counts a token as used: penalties and DRY look at the tokens accepted last. Call it for
    /// each sampled token, and for the prompt's tokens if they should count too.
    pub fn accept(&mut self, token: Token) {
        for state in &mut self.states {
            state.accept(token.0 as u32);
        }
    }

    /// Forgets the accepted tokens, sets mirostat back, and starts the random numbers anew from
    /// the same [`seed`](Self::seed).
    pub fn reset(&mut self) {
        self.states = self.chain.states();
        self.rng = Rng::new(self.chain.seed);
    }

    /// The seed in use: the one that was set, or the one that was taken in its absence.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.chain.seed
    }

    /// All stages in order, neutral ones included.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.chain.stages
    }
}

impl Clone for Sampler {
    fn clone(&self) -> Self {
        Self {
            chain: Arc::clone(&self.chain),
            rng: self.rng.clone(),
            states: self.states.clone(),
            scratch: Scratch::default(),
        }
    }
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampler")
            .field("stages", &self.chain.stages)
            .field("seed", &self.chain.seed)
            .finish_non_exhaustive()
    }
}
