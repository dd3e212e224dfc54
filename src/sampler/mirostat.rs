//! Mirostat 1 and 2 (Basu et al., <https://arxiv.org/abs/2007.14966>): hold the surprise of the
//! output near a target by adapting where candidates are cut off.

use super::filters::best_index;
use super::math::{self, key, unkey};
use super::set::Set;
use crate::error::Result;

/// Cuts to the `k` that mirostat 1 estimates from the `m` best candidates.
pub(super) fn cut_v1(
    set: &mut Set,
    mu: f32,
    m: u32,
    vocab: usize,
    keys: &mut Vec<u64>,
) -> Result<()> {
    let m = m as usize;
    if set.ranked {
        keys.clear();
        keys.extend(set.logits.iter().take(m).map(|&l| key(l, 0)));
    } else {
        math::rank(&set.logits, keys, m.min(set.logits.len()))?;
        keys.truncate(m);
    }
    let (mut sum_tb, mut sum_tt) = (0.0f32, 0.0f32);
    for (i, pair) in keys.windows(2).enumerate() {
        let t = ((i + 2) as f32 / (i + 1) as f32).ln();
        sum_tb += t * (unkey(pair[0]).0 - unkey(pair[1]).0);
        sum_tt += t * t;
    }
    let s = sum_tb / sum_tt;
    let epsilon = s - 1.0;
    let k = (epsilon * mu.exp2() / (1.0 - (vocab as f32).powf(-epsilon))).powf(1.0 / s);
    // A cast saturates, and turns the NaN of a single candidate into 0.
    set.keep_best((k as usize).max(1), keys)
}

/// Cuts what is more surprising than `mu` bits.
pub(super) fn cut_v2(set: &mut Set, mu: f32) {
    let max = set.max();
    let sum = math::exp_sum(&set.logits, max);
    // The surprise of a logit is log2(sum) - (logit - max) / ln 2.
    let floor = f64::from(max) + sum.ln() - f64::from(mu) * std::f64::consts::LN_2;
    if f64::from(max) >= floor {
        set.retain(|_, l| f64::from(l) >= floor);
    } else {
        let best = best_index(set);
        set.retain(|i, _| i == best);
    }
    set.ghosts = 0;
}

/// `mu` after a token of probability `p` was drawn.
pub(super) fn adapt(mu: f32, p: f64, tau: f32, eta: f32) -> f32 {
    mu - eta * (-p.log2() as f32 - tau)
}
