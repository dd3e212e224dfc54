//! The stages that drop candidates by probability, and the temperatures, on a [`Set`].
//! Each means what the upstream sampler of the same name means.

use super::math::{self, exp, unkey};
use super::set::Set;
use crate::error::Result;

/// Nucleus sampling: the best candidates until their probabilities reach `p`.
pub(super) fn top_p(set: &mut Set, p: f32, min_keep: usize, keys: &mut Vec<u64>) -> Result<()> {
    let max = set.max();
    let sum = math::exp_sum(&set.logits, max);
    let (mut cumulative, mut taken) = (0.0, 0);
    let mut enough = |logit: f32| {
        cumulative += f64::from(exp(logit - max)) / sum;
        taken += 1;
        cumulative >= f64::from(p) && taken >= min_keep
    };
    if set.ranked {
        if let Some(last) = set.logits.iter().position(|&l| enough(l)) {
            set.truncate(last + 1);
            return Ok(());
        }
    } else {
        let logits = &set.logits;
        let n = math::take_ranked(logits, keys, |i| enough(logits[i as usize]))?;
        let all = n == logits.len();
        set.pick(&keys[..n]);
        if !all {
            set.ghosts = 0;
            return Ok(());
        }
    }
    // Every finite candidate was needed: whether more are depends on what stopped the walk.
    if cumulative >= f64::from(p) {
        set.truncate(min_keep.max(set.logits.len()));
    }
    Ok(())
}

/// Minimum probability relative to the best candidate's.
pub(super) fn min_p(set: &mut Set, p: f32, min_keep: usize, keys: &mut Vec<u64>) {
    let floor = set.max() + p.ln();
    let passing = set.logits.iter().filter(|&&l| l >= floor).count();
    if passing < min_keep {
        if !set.ranked {
            set.rank(keys);
        }
        set.truncate(min_keep);
    } else {
        set.retain(|_, l| l >= floor);
        set.ghosts = 0;
    }
}

/// Locally typical sampling: the candidates whose surprise is nearest to the entropy.
pub(super) fn typical(
    set: &mut Set,
    p: f32,
    min_keep: usize,
    keys: &mut Vec<u64>,
    scores: &mut Vec<f32>,
) -> Result<()> {
    let max = set.max();
    let sum = math::exp_sum(&set.logits, max);
    let centre = (sum.ln() - math::entropy(&set.logits, max, sum)) as f32;
    scores.clear();
    scores.extend(set.logits.iter().map(|&l| -(centre - (l - max)).abs()));
    let (mut cumulative, mut taken) = (0.0, 0);
    let logits = &set.logits;
    let n = math::take_ranked(scores, keys, |i| {
        cumulative += f64::from(exp(logits[i as usize] - max)) / sum;
        taken += 1;
        cumulative > f64::from(p) && taken >= min_keep
    })?;
    if cumulative > f64::from(p) {
        // The walk has ended: those at -inf, the last in it, only fill up to `min_keep`.
        set.ghosts = set.ghosts.min(min_keep.saturating_sub(n));
    }
    keys.truncate(n);
    for key in keys.iter_mut() {
        let index = unkey(*key).1;
        *key = math::key(set.logits[index as usize], index);
    }
    keys.sort_unstable();
    set.pick(keys);
    Ok(())
}

/// Exclude top choices: of the candidates with at least `threshold`, only the last stays.
pub(super) fn xtc(
    set: &mut Set,
    threshold: f32,
    min_keep: usize,
    keys: &mut Vec<u64>,
) -> Result<()> {
    let max = set.max();
    let sum = math::exp_sum(&set.logits, max);
    let logits = &set.logits;
    let probable = |l: f32| f64::from(exp(l - max)) / sum >= f64::from(threshold);
    let count = logits.iter().filter(|&&l| probable(l)).count();
    let gone = count.saturating_sub(1);
    if gone == 0 || set.size() - gone < min_keep {
        return Ok(());
    }
    if !set.ranked {
        math::rank(logits, keys, gone)?;
        keys.truncate(gone);
        keys.iter_mut().for_each(|k| *k = u64::from(unkey(*k).1));
        keys.sort_unstable();
        set.retain(|i, _| keys.binary_search(&(i as u64)).is_err());
    } else {
        let mut left = gone;
        set.retain(|_, _| left.checked_sub(1).map(|n| left = n).is_none());
    }
    Ok(())
}

/// Top-n-sigma: drops to -inf what is more than `n` standard deviations below the best.
pub(super) fn top_n_sigma(set: &mut Set, n: f32) {
    if set.size() <= 1 {
        return;
    }
    let (_, std) = math::mean_std(&set.logits);
    let floor = set.max() - (n * std as f32);
    set.ghosts += set.retain(|_, l| l >= floor);
}

/// Divides the logits; 0 drops all but the best to -inf.
pub(super) fn temperature(set: &mut Set, temperature: f32) {
    if temperature > 0.0 {
        let max = set.max();
        // A tiny temperature may overflow; probabilities don't change when all logits shift.
        let shift = if (max / temperature).is_finite() {
            0.0
        } else {
            max
        };
        let mut low = 0;
        for logit in &mut set.logits {
            *logit = (*logit - shift) / temperature;
            low |= u32::from(*logit == f32::NEG_INFINITY);
        }
        if low != 0 {
            set.ghosts += set.retain(|_, l| l != f32::NEG_INFINITY);
        }
        return;
    }
    let size = set.size();
    let best = best_index(set);
    set.retain(|i, _| i == best);
    set.ghosts = size - 1;
}

/// The index of the largest logit, the lowest id among equals.
pub(super) fn best_index(set: &Set) -> usize {
    let max = set.max();
    set.logits.iter().position(|&l| l == max).unwrap_or(0)
}

/// Entropy-based dynamic temperature.
pub(super) fn dynamic_temperature(set: &mut Set, base: f32, range: f32, exponent: f32) {
    if set.size() <= 1 {
        return;
    }
    let (low, high) = ((base - range).max(0.0), base + range);
    let max = set.max();
    let sum = math::exp_sum(&set.logits, max);
    let most = (set.size() as f32).ln();
    let normalised = (math::entropy(&set.logits, max, sum) as f32 / most).max(0.0);
    temperature(set, low + (high - low) * normalised.powf(exponent));
}
