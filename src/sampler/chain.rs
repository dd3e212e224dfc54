//! Runs the stages of a chain in order: on the whole row while stages only edit a few logits, then
//! on the set of candidates that is left.

use super::dry::{self, History};
use super::filters;
use super::math;
use super::mirostat;
use super::penalties::{Window, penalised};
use super::rng::{Rng, random_seed};
use super::row::{Mask, Row, nothing_left};
use super::set::Set;
use super::stage::Stage;
use super::{Candidate, Sampler};
use crate::error::{Error, Result};
use crate::token::Token;

/// What never changes in a sampler; shared by its clones.
pub(super) struct Chain {
    pub(super) stages: Vec<Stage>,
    /// The stages that do something; biases sorted by token, one entry each.
    active: Vec<Stage>,
    pub(super) seed: u64,
}

impl Chain {
    /// The stages must have been checked.
    pub(super) fn new(stages: Vec<Stage>, seed: Option<u64>) -> Self {
        let active = stages.iter().filter(|s| !s.is_neutral());
        Self {
            active: active.map(normalised).collect(),
            stages,
            seed: seed.unwrap_or_else(random_seed),
        }
    }

    /// The state that each active stage starts with.
    pub(super) fn states(&self) -> Vec<State> {
        let state = |stage: &Stage| match *stage {
            Stage::Penalties { last_n, .. } => State::Window(Window::new(last_n as usize)),
            Stage::Dry { last_n, .. } => State::History(History::new(last_n as usize)),
            Stage::Mirostat { tau, .. } | Stage::MirostatV2 { tau, .. } => State::Mu(2.0 * tau),
            _ => State::None,
        };
        self.active.iter().map(state).collect()
    }
}

fn normalised(stage: &Stage) -> Stage {
    let Stage::LogitBias(biases) = stage else {
        return stage.clone();
    };
    let mut sorted = biases.to_vec();
    sorted.sort_by_key(|b| b.0);
    let merged = sorted.chunk_by(|a, b| a.0 == b.0);
    Stage::LogitBias(
        merged
            .map(|same| (same[0].0, same.iter().map(|b| b.1).sum()))
            .collect(),
    )
}

/// What a stage remembers from token to token.
#[derive(Clone)]
pub(super) enum State {
    None,
    Window(Window),
    History(History),
    /// Mirostat's cut-off in bits.
    Mu(f32),
}

impl State {
    pub(super) fn accept(&mut self, token: u32) {
        match self {
            Self::Window(window) => window.push(token),
            Self::History(history) => history.push(token),
            Self::None | Self::Mu(_) => {}
        }
    }
}

/// Buffers that are kept between calls.
#[derive(Default)]
pub(super) struct Scratch {
    edits: Vec<(u32, f32)>,
    keys: Vec<u64>,
    scores: Vec<f32>,
    dry: dry::Scratch,
    dry_penalties: Vec<(u32, f32)>,
    set: Set,
}

pub(super) fn sample(sampler: &mut Sampler, logits: &[f32], mask: Mask<'_>) -> Result<Token> {
    run(sampler, logits, mask)?;
    let set = &sampler.scratch.set;
    let last = sampler.chain.active.last().zip(sampler.states.last_mut());
    let index = match last {
        Some((Stage::Greedy, _)) => filters::best_index(set),
        Some((&(Stage::Mirostat { tau, eta, .. } | Stage::MirostatV2 { tau, eta }), state)) => {
            let (index, p) = draw(set, &mut sampler.rng);
            if let State::Mu(mu) = state {
                *mu = mirostat::adapt(*mu, p, tau, eta);
            }
            index
        }
        _ => draw(set, &mut sampler.rng).0,
    };
    let id = set.ids.get(index).ok_or_else(nothing_left)?;
    Ok(Token(*id as i32))
}

pub(super) fn candidates(
    sampler: &mut Sampler,
    logits: &[f32],
    mask: Mask<'_>,
) -> Result<Vec<Candidate>> {
    let rng = sampler.rng.clone();
    let ran = run(sampler, logits, mask);
    sampler.rng = rng;
    ran?;
    let Scratch { set, keys, .. } = &mut sampler.scratch;
    set.rank(keys);
    if let Some(Stage::Greedy) = sampler.chain.active.last() {
        set.truncate(1);
    }
    let max = set.max();
    let sum = math::exp_sum(&set.logits, max);
    let entries = set.ids.iter().zip(&set.logits);
    let candidate = |(&id, &logit): (&u32, &f32)| Candidate {
        token: Token(id as i32),
        logit,
        p: (f64::from(math::exp(logit - max)) / sum) as f32,
    };
    Ok(entries.map(candidate).collect())
}

/// Runs all stages up to the draw; leaves at least one candidate in the scratch set.
fn run(sampler: &mut Sampler, logits: &[f32], mask: Mask<'_>) -> Result<()> {
    if logits.is_empty() {
        return Err(nothing_left());
    }
    if i32::try_from(logits.len()).is_err() {
        return Err(Error::argument(
            "a row of logits has at most 2^31 - 1 entries",
        ));
    }
    let Sampler {
        chain,
        rng,
        states,
        scratch,
    } = sampler;
    let Scratch {
        edits,
        keys,
        scores,
        dry,
        dry_penalties,
        set,
    } = scratch;
    edits.clear();
    let mut whole = Some(Row {
        logits,
        edits,
        mask,
    });
    for (stage, state) in chain.active.iter().zip(states) {
        match (stage, state) {
            (Stage::LogitBias(biases), _) => {
                check_bias(biases, logits.len())?;
                if let Some(row) = &mut whole {
                    for &(token, bias) in biases.iter() {
                        row.edit(token.0 as u32, |l| l + bias)?;
                    }
                } else {
                    let bias = |id: u32| biases.binary_search_by_key(&Token(id as i32), |b| b.0);
                    set.edit(keys, |id, l| bias(id).ok().map(|i| l + biases[i].1))?;
                }
            }
            (
                &Stage::Penalties {
                    repeat,
                    frequency,
                    presence,
                    ..
                },
                State::Window(window),
            ) => {
                let new = |l, count| penalised(l, count, repeat, frequency, presence);
                if let Some(row) = &mut whole {
                    for &(id, count) in window.counts() {
                        row.edit(id, |l| new(l, count))?;
                    }
                } else {
                    set.edit(keys, |id, l| window.count(id).map(|n| new(l, n)))?;
                }
            }
            (
                &Stage::Dry {
                    multiplier,
                    base,
                    allowed_length,
                    ref breakers,
                    ..
                },
                State::History(history),
            ) => {
                let settings = dry::Settings {
                    multiplier,
                    base,
                    allowed_length,
                    breakers,
                };
                dry::penalties(&settings, history, dry, dry_penalties);
                if let Some(row) = &mut whole {
                    for &(id, penalty) in &*dry_penalties {
                        row.edit(id, |l| l - penalty)?;
                    }
                } else {
                    let found = |id| dry_penalties.binary_search_by_key(&id, |p| p.0);
                    set.edit(keys, |id, l| found(id).ok().map(|i| l - dry_penalties[i].1))?;
                }
            }
            (stage, state) => {
                let done = match whole.take() {
                    Some(row) => narrow(row, stage, keys, set)?,
                    None => false,
                };
                if set.ids.is_empty() {
                    return Err(nothing_left());
                }
                if !done {
                    apply(stage, state, logits.len(), set, rng, keys, scores)?;
                }
            }
        }
        if whole.is_none() && set.ids.is_empty() {
            return Err(nothing_left());
        }
    }
    Ok(())
}

fn check_bias(biases: &[(Token, f32)], vocab: usize) -> Result<()> {
    match biases.last() {
        Some((token, _)) if token.index().is_none_or(|i| i >= vocab) => Err(Error::argument(
            format!("logit_bias names token {token}, but the row has {vocab} logits"),
        )),
        _ => Ok(()),
    }
}

/// Turns the row into a set; true if that did the stage's work as well.
fn narrow(mut row: Row<'_, '_>, stage: &Stage, keys: &mut Vec<u64>, set: &mut Set) -> Result<bool> {
    match *stage {
        Stage::TopK(k) => row.keep_best(k as usize, keys, set)?,
        Stage::MinP { p, min_keep } => {
            let (_, max) = row.argmax()?;
            row.keep_from(max + p.ln(), set)?;
            if set.size() < min_keep {
                row.keep_best(min_keep, keys, set)?;
            }
        }
        Stage::Greedy => {
            let (id, logit) = row.argmax()?;
            set.clear();
            set.fill_ranked(&[math::key(logit, id)]);
        }
        _ => {
            row.keep_all(set)?;
            return Ok(false);
        }
    }
    Ok(true)
}

fn apply(
    stage: &Stage,
    state: &State,
    vocab: usize,
    set: &mut Set,
    rng: &mut Rng,
    keys: &mut Vec<u64>,
    scores: &mut Vec<f32>,
) -> Result<()> {
    match *stage {
        Stage::TopK(k) => set.keep_best(k as usize, keys)?,
        Stage::Typical { p, min_keep } => filters::typical(set, p, min_keep, keys, scores)?,
        Stage::TopP { p, min_keep } => filters::top_p(set, p, min_keep, keys)?,
        Stage::MinP { p, min_keep } => filters::min_p(set, p, min_keep, keys),
        Stage::Xtc {
            probability,
            threshold,
            min_keep,
        } => {
            if set.size() >= 2 && rng.unit() <= f64::from(probability) {
                filters::xtc(set, threshold, min_keep, keys)?;
            }
        }
        Stage::TopNSigma(n) => filters::top_n_sigma(set, n),
        Stage::Temperature(t) => filters::temperature(set, t),
        Stage::DynamicTemperature {
            temperature,
            range,
            exponent,
        } => {
            if range > 0.0 {
                filters::dynamic_temperature(set, temperature, range, exponent);
            } else {
                filters::temperature(set, temperature);
            }
        }
        Stage::Mirostat { m, .. } => {
            if let State::Mu(mu) = *state {
                mirostat::cut_v1(set, mu, m, vocab, keys)?;
            }
        }
        Stage::MirostatV2 { .. } => {
            if let State::Mu(mu) = *state {
                mirostat::cut_v2(set, mu);
            }
        }
        // The edits never come here, and the draw comes after the chain.
        Stage::LogitBias(_)
        | Stage::Penalties { .. }
        | Stage::Dry { .. }
        | Stage::Greedy
        | Stage::Distribution => {}
    }
    Ok(())
}

/// Draws an index by probability; returns it with its probability.
fn draw(set: &Set, rng: &mut Rng) -> (usize, f64) {
    const CHUNK: usize = 256;
    let max = set.max();
    let sum = math::exp_sum(&set.logits, max);
    let target = rng.unit() * sum;
    let weight = |i: usize| f64::from(math::exp(set.logits[i] - max));
    let mut passed = 0.0;
    let mut index = None;
    'found: for (c, chunk) in set.logits.chunks(CHUNK).enumerate() {
        let in_chunk = math::exp_sum(chunk, max);
        if in_chunk == 0.0 {
            continue;
        }
        let past = passed + in_chunk;
        if past > target || c * CHUNK + chunk.len() == set.logits.len() {
            for i in c * CHUNK..c * CHUNK + chunk.len() {
                let w = weight(i);
                passed += w;
                if w > 0.0 {
                    index = Some(i);
                    if passed > target {
                        break 'found;
                    }
                }
            }
        }
        passed = past;
    }
    // Rounding may leave the target unreached: then the last that could be drawn is it.
    let index = index.unwrap_or_else(|| filters::best_index(set));
    (index, weight(index) / sum)
}
