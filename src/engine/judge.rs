//! Whether guessing pays for a request, in tokens: those that right guesses gained, less those that
//! could have been drawn in the time that checking took. What guessing may cost in all is bounded.

/// Tokens guessed at once, at least and at most.
const SHORTEST: usize = 2;
const LONGEST: usize = 15;
/// Tokens that may be lost before any were gained,
const CREDIT: f64 = 0.5;
/// and for each token of the answer.
const SHARE: f64 = 0.01;
/// No more gains than this make up for later losses.
const MOST_GAINED: f64 = 4.0;

/// The account of one guesser.
#[derive(Debug)]
pub(super) struct Judge {
    /// Tokens to guess next time.
    length: usize,
    gained: f64,
    allowance: f64,
}

impl Default for Judge {
    fn default() -> Self {
        Self {
            length: SHORTEST,
            gained: 0.0,
            allowance: CREDIT,
        }
    }
}

impl Judge {
    /// How many tokens to guess; none while the losses are too high.
    pub(super) fn allowed(&self) -> Option<usize> {
        (self.gained + self.allowance >= 0.0).then_some(self.length)
    }

    /// Learns from a step that drew `drawn` tokens what became of guesses (how many, how many right)
    /// and how many tokens checking them cost.
    pub(super) fn learn(&mut self, (guessed, right): (usize, usize), drawn: usize, lost: f64) {
        self.allowance += SHARE * drawn as f64;
        self.gained = (self.gained + right as f64 - lost).min(MOST_GAINED);
        if guessed == 0 {
            return;
        }
        self.length = match right == guessed {
            true => (self.length * 2).min(LONGEST),
            false => (right + 1).clamp(SHORTEST, LONGEST),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_guesses_make_longer_ones() {
        let mut judge = Judge::default();
        for length in [2, 4, 8, 15, 15] {
            assert_eq!(judge.allowed(), Some(length));
            judge.learn((length, length), length + 1, 1.0);
        }
        judge.learn((15, 3), 4, 2.0);
        assert_eq!(judge.allowed(), Some(4));
    }

    #[test]
    fn what_guessing_costs_is_bounded() {
        for lost in [0.2, 0.6, 3.0] {
            let mut judge = Judge::default();
            let mut total = 0.0;
            for _ in 0..1000 {
                let cost = if judge.allowed().is_some() { lost } else { 0.0 };
                judge.learn((usize::from(cost > 0.0) * 2, 0), 1, cost);
                total += cost;
            }
            assert!(total >= 0.01 * 1000.0 - lost, "{total}");
            assert!(total <= 0.01 * 1000.0 + 0.5 + lost, "{total}");
        }
    }

    #[test]
    fn gains_of_long_ago_do_not_pay_for_losses() {
        let mut judge = Judge::default();
        for _ in 0..100 {
            judge.learn((15, 15), 16, 1.0);
        }
        for _ in 0..30 {
            judge.learn((2, 0), 1, 1.0);
        }
        assert_eq!(judge.allowed(), None);
    }
}
