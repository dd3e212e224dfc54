//! Log-probabilities straight from the logits, before any stage.

use super::math::{self, unkey};
use crate::error::{Error, ErrorKind, Result};
use crate::token::Token;

/// The log-softmax of a row of raw logits: natural logarithms of the model's own probabilities,
/// without temperature, penalties or any other stage.
#[derive(Debug, Clone, Copy)]
pub struct LogProbs<'a> {
    logits: &'a [f32],
    /// Logarithm of the sum of `e^logit`.
    log_sum: f64,
}

impl<'a> LogProbs<'a> {
    /// Looks through the row once.
    ///
    /// # Errors
    /// [`ErrorKind::Sampling`] if the row is empty, holds NaN or +inf, or -inf only.
    pub fn new(logits: &'a [f32]) -> Result<Self> {
        math::scan_above(logits, f32::MAX, |_, _| f32::MAX)?;
        let max = math::max(logits);
        if max == f32::NEG_INFINITY {
            return Err(Error::new(
                ErrorKind::Sampling,
                "no log-probabilities: there are no logits above -inf",
            ));
        }
        let log_sum = f64::from(max) + math::exp_sum(logits, max).ln();
        Ok(Self { logits, log_sum })
    }

    /// The log-probability of one token; `None` if the row doesn't reach that far.
    #[must_use]
    pub fn get(&self, token: Token) -> Option<f32> {
        let logit = *self.logits.get(token.index()?)?;
        Some(self.log_prob(logit))
    }

    /// The `n` most probable tokens, best first; fewer if fewer are above -inf.
    #[must_use]
    pub fn top(&self, n: usize) -> Vec<(Token, f32)> {
        let n = n.min(self.logits.len());
        if n == 0 {
            return Vec::new();
        }
        let mut keys = Vec::new();
        if math::rank(self.logits, &mut keys, n).is_err() {
            // `new` refused such rows.
            return Vec::new();
        }
        keys.truncate(n);
        let entries = keys.into_iter().map(unkey);
        entries
            .filter(|e| e.0 != f32::NEG_INFINITY)
            .map(|(logit, id)| (Token(id as i32), self.log_prob(logit)))
            .collect()
    }

    fn log_prob(&self, logit: f32) -> f32 {
        (f64::from(logit) - self.log_sum) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_definition() {
        let logits: Vec<f32> = (0..5000)
            .map(|i| ((i * 7919) % 5000) as f32 * 0.004 - 8.0)
            .collect();
        let sum: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
        let probs = LogProbs::new(&logits).unwrap();
        let top = probs.top(20);
        let mut order: Vec<usize> = (0..5000).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
        assert_eq!(top.len(), 20);
        for ((token, lp), want) in top.into_iter().zip(order) {
            assert_eq!(token, Token(want as i32));
            assert!((f64::from(lp) - (f64::from(logits[want]) - sum.ln())).abs() < 1e-5);
            assert_eq!(probs.get(token), Some(lp));
        }
        assert_eq!(probs.get(Token(-1)), None);
        assert_eq!(probs.get(Token(5000)), None);
        assert_eq!(probs.top(0), []);
        assert_eq!(probs.top(9999).len(), 5000);
    }

    #[test]
    fn refuses_rows_without_probabilities() {
        let inf = f32::INFINITY;
        for bad in [
            &[][..],
            &[-inf, -inf],
            &[0.0, f32::NAN],
            &[0.0, inf],
            &[-inf, f32::NAN],
        ] {
            assert_eq!(LogProbs::new(bad).unwrap_err().kind(), ErrorKind::Sampling);
        }
        let row = [-inf, 0.0];
        let probs = LogProbs::new(&row).unwrap();
        assert_eq!(probs.get(Token(0)), Some(-inf));
        assert_eq!(probs.top(2), [(Token(1), 0.0)]);
    }
}
