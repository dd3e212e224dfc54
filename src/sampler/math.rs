//! Numeric passes over logits, written in fixed lanes so that compilers vectorise them and every
//! platform gets the same bits: `exp`, sums of exponentials, entropy, sortable keys, block scans.

use crate::error::{Error, ErrorKind, Result};

const LANES: usize = 16;
const BLOCK: usize = 64;

/// `e^x` for `x <= 0`, relative error below 2e-7 (Cephes' polynomial); 0 below -87.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let y = x.max(-87.0);
    let shifted = y * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (y - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let mut poly = 1.987_569_1e-4;
    for c in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.5,
    ] {
        poly = poly * r + c;
    }
    let value = poly * r * r + r + 1.0;
    let exponent = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32 - 127);
    let scaled = value * f32::from_bits((exponent as u32) << 23);
    if x < -87.0 { 0.0 } else { scaled }
}

/// Adds up `term(x)` over `values`: single precision inside a block, double across blocks.
#[inline(always)]
fn sum_by(values: &[f32], term: impl Fn(f32) -> f32) -> f64 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut total = 0.0;
    for block in chunks.chunks(16) {
        let mut lanes = [0.0f32; LANES];
        for chunk in block {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane += term(x);
            }
        }
        total += lanes.iter().map(|&x| f64::from(x)).sum::<f64>();
    }
    total + rest.iter().map(|&x| f64::from(term(x))).sum::<f64>()
}

/// The sum of `e^(x - max)`.
pub(super) fn exp_sum(values: &[f32], max: f32) -> f64 {
    sum_by(values, |x| exp(x - max))
}

/// The entropy in nats of the softmax of `values`, whose [`exp_sum`] is `sum`.
pub(super) fn entropy(values: &[f32], max: f32, sum: f64) -> f64 {
    let weighted = sum_by(values, |x| {
        let w = exp(x - max);
        // -87 bounds the product: beyond it the weight is 0 and must not meet a huge factor.
        w * (x - max).max(-87.0)
    });
    sum.ln() - weighted / sum
}

/// Mean and standard deviation of `values`.
pub(super) fn mean_std(values: &[f32]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = sum_by(values, |x| x) / n;
    let centre = mean as f32;
    let variance = sum_by(values, |x| (x - centre) * (x - centre)) / n;
    (mean, variance.sqrt())
}

/// The largest value; -inf for an empty slice. NaN is not looked for.
pub(super) fn max(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    lanes
        .iter()
        .chain(rest)
        .copied()
        .fold(f32::NEG_INFINITY, f32::max)
}

/// Calls `visit(index, value)` for each value above a threshold that `visit` returns anew, in
/// ascending order of index. NaN and +inf anywhere are errors, whatever the threshold.
pub(super) fn scan_above(
    values: &[f32],
    mut threshold: f32,
    mut visit: impl FnMut(u32, f32) -> f32,
) -> Result<()> {
    for (b, block) in values.chunks(BLOCK).enumerate() {
        if !any_above::<BLOCK>(block, threshold) {
            continue;
        }
        // Few values of a block are above: vectors find out which part they are in.
        for (c, part) in block.chunks(LANES).enumerate() {
            if !any_above::<LANES>(part, threshold) {
                continue;
            }
            for (i, &x) in part.iter().enumerate() {
                if !not_above(x, threshold) {
                    let index = (b * BLOCK + c * LANES + i) as u32;
                    check(index, x)?;
                    threshold = visit(index, x);
                }
            }
        }
    }
    Ok(())
}

/// False for a larger value and for NaN: one comparison finds both.
#[inline(always)]
fn not_above(x: f32, threshold: f32) -> bool {
    x <= threshold
}

#[inline(always)]
fn any_above<const N: usize>(values: &[f32], threshold: f32) -> bool {
    let any = |xs: &[f32]| {
        let above = |hit, &x: &f32| hit | u32::from(!not_above(x, threshold));
        xs.iter().fold(0u32, above) != 0
    };
    match <&[f32; N]>::try_from(values) {
        Ok(full) => any(full),
        Err(_) => any(values),
    }
}

/// Refuses NaN and +inf.
pub(super) fn check(token: u32, logit: f32) -> Result<()> {
    if logit.is_nan() || logit == f32::INFINITY {
        return Err(Error::new(
            ErrorKind::Sampling,
            format!("the logit of token {token} is {logit}"),
        ));
    }
    Ok(())
}

/// A number whose ascending order is: larger value first, then lower id.
#[inline(always)]
pub(super) fn key(value: f32, id: u32) -> u64 {
    // Adding 0 makes -0 and +0 tie, as they do when compared as floats.
    let bits = (value + 0.0).to_bits();
    let descending = if bits >> 31 == 1 {
        bits
    } else {
        !bits & 0x7fff_ffff
    };
    u64::from(descending) << 32 | u64::from(id)
}

/// The value and id of a [`key`].
#[inline(always)]
pub(super) fn unkey(key: u64) -> (f32, u32) {
    let high = (key >> 32) as u32;
    let bits = if high >> 31 == 1 {
        high
    } else {
        !high & 0x7fff_ffff
    };
    (f32::from_bits(bits), key as u32)
}

/// Pushes keys and keeps, in amortised constant time, the `k` best of all that were pushed.
pub(super) struct Best<'a> {
    keys: &'a mut Vec<u64>,
    k: usize,
    limit: usize,
}

impl<'a> Best<'a> {
    pub(super) fn new(keys: &'a mut Vec<u64>, k: usize) -> Self {
        keys.clear();
        Self {
            keys,
            k,
            limit: k.saturating_mul(2).max(k.saturating_add(8)),
        }
    }

    /// Adds one; returns the new threshold if it rose.
    #[inline(always)]
    pub(super) fn push(&mut self, value: f32, id: u32) -> Option<f32> {
        self.keys.push(key(value, id));
        (self.keys.len() == self.limit).then(|| self.compact())
    }

    #[inline(never)]
    fn compact(&mut self) -> f32 {
        let (_, &mut kth, _) = self.keys.select_nth_unstable(self.k - 1);
        self.keys.truncate(self.k);
        unkey(kth).0
    }

    /// The best `k`, best first.
    pub(super) fn finish(self) {
        if self.keys.len() > self.k {
            self.keys.select_nth_unstable(self.k - 1);
            self.keys.truncate(self.k);
        }
        self.keys.sort_unstable();
    }
}

/// Ranks `values` (larger first, then lower index) and calls `enough(index)` down the ranking
/// until it returns true. `keys` then begins with all that were visited; the count is returned.
///
/// Only as much is sorted as is looked at, growing in steps.
pub(super) fn take_ranked(
    values: &[f32],
    keys: &mut Vec<u64>,
    mut enough: impl FnMut(u32) -> bool,
) -> Result<usize> {
    let mut seen = 0;
    let mut k = 256;
    loop {
        k = k.min(values.len());
        rank(values, keys, k)?;
        for &key in &keys[seen..] {
            seen += 1;
            if enough(unkey(key).1) {
                return Ok(seen);
            }
        }
        if k == values.len() {
            return Ok(seen);
        }
        k *= 16;
    }
}

/// Puts the keys of (value, index) of the `k` largest values first in `keys`, best first.
/// `k` is at least 1 and at most the number of values.
pub(super) fn rank(values: &[f32], keys: &mut Vec<u64>, k: usize) -> Result<()> {
    if k * 4 >= values.len() {
        keys.clear();
        keys.extend(values.iter().zip(0..).map(|(&x, i)| key(x, i)));
        keys.sort_unstable();
        return Ok(());
    }
    let mut best = Best::new(keys, k);
    let mut threshold = f32::NEG_INFINITY;
    scan_above(values, threshold, |i, x| {
        if let Some(raised) = best.push(x, i) {
            threshold = raised;
        }
        threshold
    })?;
    best.finish();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate_and_zero_far_down() {
        for i in 0..870_000 {
            let x = -(i as f32) * 1e-4;
            let exact = f64::from(x).exp();
            let relative = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(relative < 2.5e-7, "{x}: {relative}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-100.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
    }

    #[test]
    fn keys_order_by_value_then_id_and_round_trip() {
        let values = [f32::MAX, 2.5, 1e-40, 0.0, -1e-40, -2.5, f32::MIN];
        for pair in values.windows(2) {
            assert!(key(pair[0], 9) < key(pair[1], 1));
        }
        assert!(key(1.0, 1) < key(1.0, 2));
        assert_eq!(key(0.0, 7), key(-0.0, 7));
        for v in values {
            assert_eq!(unkey(key(v, 12)), (v, 12));
        }
    }
}
