//! The stages a chain is made of, with their ranges and neutral values.

use std::sync::Arc;

use super::dry::DryBreakers;
use crate::error::{Error, Result};
use crate::token::Token;

/// Longest window of recent tokens that penalties and DRY may look at.
const MAX_WINDOW: u32 = 1 << 20;

/// One stage of a sampler chain. Stages run in the order in which they are given.
///
/// Each means what llama.cpp's sampler of the same name means (`llama_sampler_init_*`), apart from
/// three things: candidates that tie keep the lower token id; sums are more precise; and where
/// upstream's result depends on undefined arithmetic (typical-p with probabilities of 0, mirostat
/// with one candidate) ours is defined. A stage with a value marked neutral does nothing and costs
/// nothing. `min_keep` makes a stage keep at least that many candidates; 0 is neutral.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Stage {
    /// Adds a number to the logits of some tokens; negative infinity bans a token.
    /// Neutral: an empty list. (`llama_sampler_init_logit_bias`)
    LogitBias(Arc<[(Token, f32)]>),
    /// Makes tokens among the last accepted ones less likely. Neutral: `last_n` 0, or `repeat` 1
    /// with the others 0. (`llama_sampler_init_penalties`)
    Penalties {
        /// How many accepted tokens to look at, at most 2^20.
        last_n: u32,
        /// Divides positive and multiplies negative logits; above 0.
        repeat: f32,
        /// Subtracted once per occurrence.
        frequency: f32,
        /// Subtracted once if the token occurs.
        presence: f32,
    },
    /// Penalises tokens that would extend a repetition by `multiplier * base^(length -
    /// allowed_length)`. Neutral: `multiplier` 0 or `last_n` 0. (`llama_sampler_init_dry`)
    Dry {
        /// Scale of the penalty; not negative.
        multiplier: f32,
        /// Growth per repeated token; at least 1 (below, upstream switches the stage off).
        base: f32,
        /// Repetitions shorter than this are not penalised.
        allowed_length: u32,
        /// How many accepted tokens to look at, at most 2^20.
        last_n: u32,
        /// What ends a repetition.
        breakers: DryBreakers,
    },
    /// Keeps the `k` best. Neutral: 0. (`llama_sampler_init_top_k`)
    TopK(u32),
    /// Locally typical sampling, <https://arxiv.org/abs/2202.00666>. Neutral: `p` 1.
    /// (`llama_sampler_init_typical`)
    Typical {
        /// Probability mass to keep, in 0..=1.
        p: f32,
        /// Least number of candidates to keep.
        min_keep: usize,
    },
    /// Nucleus sampling, <https://arxiv.org/abs/1904.09751>. Neutral: `p` 1.
    /// (`llama_sampler_init_top_p`)
    TopP {
        /// Probability mass to keep, in 0..=1.
        p: f32,
        /// Least number of candidates to keep.
        min_keep: usize,
    },
    /// Drops what is less probable than `p` times the best, <https://arxiv.org/abs/2407.01082>.
    /// Neutral: `p` 0. (`llama_sampler_init_min_p`)
    MinP {
        /// Share of the best candidate's probability, in 0..=1.
        p: f32,
        /// Least number of candidates to keep.
        min_keep: usize,
    },
    /// Exclude top choices: with the given probability, drops all candidates at or above the
    /// threshold but the least probable of them. Neutral: `probability` 0 or `threshold` above 0.5.
    /// (`llama_sampler_init_xtc`)
    Xtc {
        /// How often to do it, in 0..=1.
        probability: f32,
        /// Probability from which a candidate counts as a top choice, in 0..=1.
        threshold: f32,
        /// Least number of candidates to keep.
        min_keep: usize,
    },
    /// Drops what is more than this many standard deviations of the logits below the best,
    /// <https://arxiv.org/abs/2411.07641>. Neutral: 0. (`llama_sampler_init_top_n_sigma`)
    TopNSigma(f32),
    /// Divides the logits; 0 leaves only the best. Neutral: 1. (`llama_sampler_init_temp`)
    Temperature(f32),
    /// A temperature between `temperature - range` and `temperature + range` that grows with the
    /// entropy of the candidates. `range` 0 is a plain temperature. (`llama_sampler_init_temp_ext`)
    DynamicTemperature {
        /// The middle; not negative.
        temperature: f32,
        /// Distance from the middle; not negative.
        range: f32,
        /// Power applied to the normalised entropy.
        exponent: f32,
    },
    /// Last stage: mirostat 1. (`llama_sampler_init_mirostat`)
    Mirostat {
        /// Target surprise in bits; above 0.
        tau: f32,
        /// Learning rate; not negative.
        eta: f32,
        /// How many candidates the estimate looks at; at least 2. llama.cpp's own tools use 100.
        m: u32,
    },
    /// Last stage: mirostat 2. (`llama_sampler_init_mirostat_v2`)
    MirostatV2 {
        /// Target surprise in bits; above 0.
        tau: f32,
        /// Learning rate; not negative.
        eta: f32,
    },
    /// Last stage: the most probable candidate. (`llama_sampler_init_greedy`)
    Greedy,
    /// Last stage: a random draw by probability. (`llama_sampler_init_dist`)
    Distribution,
}

impl Stage {
    /// Whether this stage picks the token and so must stand last.
    pub(super) fn is_last(&self) -> bool {
        matches!(
            self,
            Self::Mirostat { .. } | Self::MirostatV2 { .. } | Self::Greedy | Self::Distribution
        )
    }

    pub(super) fn is_neutral(&self) -> bool {
        match self {
            Self::LogitBias(biases) => biases.is_empty(),
            Self::Penalties {
                last_n,
                repeat,
                frequency,
                presence,
            } => *last_n == 0 || (*repeat == 1.0 && *frequency == 0.0 && *presence == 0.0),
            Self::Dry {
                multiplier, last_n, ..
            } => *multiplier == 0.0 || *last_n == 0,
            Self::TopK(k) => *k == 0,
            Self::Typical { p, .. } | Self::TopP { p, .. } => *p >= 1.0,
            Self::MinP { p, .. } => *p <= 0.0,
            Self::Xtc {
                probability,
                threshold,
                ..
            } => *probability <= 0.0 || *threshold > 0.5,
            Self::TopNSigma(n) => *n <= 0.0,
            Self::Temperature(t) => *t == 1.0,
            Self::DynamicTemperature {
                temperature, range, ..
            } => *temperature == 1.0 && *range <= 0.0,
            _ => false,
        }
    }

    /// Checks every number; the error names the parameter.
    pub(super) fn check(&self) -> Result<()> {
        let not_negative = |name, x| within(name, x, 0.0, f32::MAX);
        match self {
            Self::LogitBias(biases) => biases.iter().try_for_each(|&(token, bias)| {
                if token.0 < 0 {
                    return Err(Error::argument(format!(
                        "logit_bias: token {token} is negative"
                    )));
                }
                if bias.is_nan() || bias == f32::INFINITY {
                    return Err(Error::argument(format!(
                        "logit_bias of token {token} must be finite or -inf, got {bias}"
                    )));
                }
                Ok(())
            }),
            Self::Penalties {
                last_n,
                repeat,
                frequency,
                presence,
            } => {
                window("penalty last_n", *last_n)?;
                within("repeat penalty", *repeat, f32::MIN_POSITIVE, f32::MAX)?;
                within("frequency penalty", *frequency, f32::MIN, f32::MAX)?;
                within("presence penalty", *presence, f32::MIN, f32::MAX)
            }
            Self::Dry {
                multiplier,
                base,
                last_n,
                ..
            } => {
                not_negative("dry_multiplier", *multiplier)?;
                if *multiplier != 0.0 {
                    within("dry_base", *base, 1.0, f32::MAX)?;
                }
                window("dry last_n", *last_n)
            }
            Self::Typical { p, .. } => within("typical_p", *p, 0.0, 1.0),
            Self::TopP { p, .. } => within("top_p", *p, 0.0, 1.0),
            Self::MinP { p, .. } => within("min_p", *p, 0.0, 1.0),
            Self::Xtc {
                probability,
                threshold,
                ..
            } => {
                within("xtc_probability", *probability, 0.0, 1.0)?;
                within("xtc_threshold", *threshold, 0.0, 1.0)
            }
            Self::TopNSigma(n) => not_negative("top_n_sigma", *n),
            Self::Temperature(t) => not_negative("temperature", *t),
            Self::DynamicTemperature {
                temperature,
                range,
                exponent,
            } => {
                not_negative("temperature", *temperature)?;
                not_negative("dynamic temperature range", *range)?;
                not_negative("dynamic temperature exponent", *exponent)
            }
            Self::Mirostat { tau, eta, m } => {
                mirostat(*tau, *eta)?;
                if *m < 2 {
                    return Err(Error::argument(format!(
                        "mirostat m must be at least 2, got {m}"
                    )));
                }
                Ok(())
            }
            Self::MirostatV2 { tau, eta } => mirostat(*tau, *eta),
            Self::TopK(_) | Self::Greedy | Self::Distribution => Ok(()),
        }
    }
}

fn mirostat(tau: f32, eta: f32) -> Result<()> {
    within("mirostat tau", tau, f32::MIN_POSITIVE, 1024.0)?;
    within("mirostat eta", eta, 0.0, f32::MAX)
}

fn window(name: &str, n: u32) -> Result<()> {
    if n > MAX_WINDOW {
        return Err(Error::argument(format!(
            "{name} must be at most {MAX_WINDOW}, got {n}"
        )));
    }
    Ok(())
}

fn within(name: &str, x: f32, low: f32, high: f32) -> Result<()> {
    if (low..=high).contains(&x) {
        return Ok(());
    }
    let range = match (low, high) {
        (f32::MIN, _) => "finite".to_owned(),
        (f32::MIN_POSITIVE, _) => "positive and finite".to_owned(),
        (_, f32::MAX) => format!("finite and at least {low}"),
        _ => format!("within {low}..={high}"),
    };
    Err(Error::argument(format!("{name} must be {range}, got {x}")))
}
