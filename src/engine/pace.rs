//! How many rows one step may have, learned from how long the steps before took.

use std::time::Duration;

/// Rows of the first step that has prompt tokens.
const START: usize = 16;
/// A step may have this many times the rows of the largest so far: further off nothing is known.
const GROWTH: usize = 2;
/// No step takes less, in seconds; keeps everything above zero.
const SHORTEST: f64 = 1e-9;
/// How far steps with the same rows differ, as a part of their time (one standard deviation).
const NOISE: f64 = 0.15;
/// How far the costs drift from step to step, as a part of them: the last dozen steps count most.
const DRIFT: f64 = 0.02;
/// How unsure drift makes of one cost while steps tell nothing about it, as a part of it.
const UNSURE: f64 = 0.5;
/// A part of a step's time that neither cost is taken to be below when the drift is reckoned, so that
/// one that was found to be nothing can grow again.
const LEAST: f64 = 0.1;
/// A time that is off by more than this factor is taken as if it were off by this much,
const SURPRISE: f64 = 3.0;
/// until so many in a row were off on the same side: then nothing known before is certain.
const SURPRISES: i32 = 3;
/// A step costs as much as this many rows before it has any. A first guess for the first step; after
/// that the two are told apart by steps with different numbers of rows.
const FIXED_ROWS: f64 = 32.0;
/// By how much one late step raises the margin at most (see `Pace::margin`), and what is left of it
/// after each that is not late: the last two hundred steps count.
const MARGIN: (f64, f64) = (0.02, 0.995);

/// The time of a step as `fixed + per_row * rows`, followed by a Kalman filter (Kalman 1960).
///
/// Least squares over the last steps would not do: their numbers of rows depend on the estimate, and
/// once they hardly differ, noise alone would decide what a row costs.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    target: Duration,
    /// Seconds, never negative.
    fixed: f64,
    per_row: f64,
    /// How unsure both are.
    variance: Variance,
    /// Rows of the largest step so far.
    most: usize,
    /// How many times in a row were far off: positive when slower, negative when faster.
    surprises: i32,
    /// How much longer than expected a step may take, as a part of it, so that few are later than
    /// that: steps differ, and the longer a prompt is, the more each of its rows costs.
    margin: f64,
    /// Rows that the next step was allowed.
    allowed: usize,
    /// Seconds of the fastest step so far.
    fastest: f64,
}

#[derive(Debug, Clone, Default)]
struct Variance {
    fixed: f64,
    per_row: f64,
    both: f64,
}

impl Variance {
    /// How both costs vary with the time of a step of `x` rows.
    fn with(&self, x: f64) -> (f64, f64) {
        (self.fixed + self.both * x, self.both + self.per_row * x)
    }
}

impl Pace {
    /// Knows nothing yet; steps should take at most `target`.
    pub(super) fn new(target: Duration) -> Self {
        Self {
            target,
            fixed: 0.0,
            per_row: 0.0,
            variance: Variance::default(),
            most: 0,
            surprises: 0,
            margin: MARGIN.0,
            allowed: 0,
            fastest: f64::INFINITY,
        }
    }

    pub(super) fn set_target(&mut self, target: Duration) {
        self.target = target;
    }

    /// Learns from a step that had `rows` rows, at least one.
    pub(super) fn observe(&mut self, rows: usize, took: Duration) {
        if rows == 0 {
            return;
        }
        let x = rows as f64;
        let took = took.as_secs_f64().max(SHORTEST);
        if self.most == 0 {
            self.per_row = took / (x + FIXED_ROWS);
            self.fixed = self.per_row * FIXED_ROWS;
            self.doubt(1.0);
        }
        self.most = self.most.max(rows);
        self.fastest = self.fastest.min(took);
        let took = self.believable(x, took);
        self.drift(x);
        // Small steps say nothing about large ones.
        if rows * 2 > self.allowed {
            self.follow(x, took);
        }
        self.learn(x, took);
    }

    /// How long a step of so many rows is expected to take; zero before anything was observed.
    pub(super) fn estimate(&self, rows: usize) -> Duration {
        Duration::try_from_secs_f64(self.seconds(rows as f64)).unwrap_or(Duration::MAX)
    }

    /// The most rows, not more than `most`, that take no longer than the target does beside `own`
    /// rows of running answers, but for few steps. At least one (unless `most` is zero), so that a
    /// prompt goes on however slow the machine is.
    pub(super) fn rows_within_target(&mut self, own: usize, most: usize) -> usize {
        let answers = if own > 0 {
            self.seconds(own as f64)
        } else {
            0.0
        };
        let time = (self.target.as_secs_f64() + answers) / (1.0 + self.margin) - self.fixed;
        // What is too large for an integer becomes the largest one, less than none becomes none.
        let affordable = if self.per_row > 0.0 {
            (time / self.per_row) as usize
        } else if time >= 0.0 {
            usize::MAX
        } else {
            0
        };
        let known = START.max(self.most.saturating_mul(GROWTH));
        self.allowed = affordable.min(known).max(1).min(most);
        self.allowed
    }

    fn seconds(&self, x: f64) -> f64 {
        self.fixed + self.per_row * x
    }

    /// The observed seconds, limited to what a single observation may say.
    fn believable(&mut self, x: f64, took: f64) -> f64 {
        let expected = self.seconds(x);
        let (least, most) = (expected / SURPRISE, expected * SURPRISE);
        let side = i32::from(took > most) - i32::from(took < least);
        self.surprises = match side {
            0 => 0,
            _ if self.surprises * side < 0 => side,
            _ => self.surprises + side,
        };
        if self.surprises.abs() < SURPRISES {
            return took.clamp(least, most);
        }
        self.surprises = 0;
        self.fastest = took;
        self.margin = MARGIN.0;
        self.doubt(took / expected);
        took
    }

    /// Moves the margin to where few steps are later, once it is known how long a step should take.
    fn follow(&mut self, x: f64, took: f64) {
        let expected = self.seconds(x);
        let (fixed, per_row) = self.variance.with(x);
        if fixed + per_row * x > (NOISE * expected).powi(2) {
            return;
        }
        let late = took / expected - 1.0;
        self.margin = if late > self.margin {
            late.min(self.margin + MARGIN.0)
        } else {
            self.margin * MARGIN.1
        };
    }

    /// Lets both costs be wrong by their own size, `times` as much when the machine got that much
    /// slower.
    fn doubt(&mut self, times: f64) {
        let times = times.max(1.0);
        self.variance = Variance {
            fixed: (self.fixed * times).powi(2),
            per_row: (self.per_row * times).powi(2),
            both: 0.0,
        };
    }

    fn drift(&mut self, x: f64) {
        let most = self.most as f64;
        let add = |variance: &mut f64, cost: f64| {
            if *variance < (UNSURE * cost).powi(2) {
                *variance += (DRIFT * cost).powi(2);
            }
        };
        let least_fixed = LEAST * self.seconds(x);
        let least_per_row = LEAST * self.seconds(most) / most;
        add(&mut self.variance.fixed, self.fixed.max(least_fixed));
        add(&mut self.variance.per_row, self.per_row.max(least_per_row));
    }

    fn learn(&mut self, x: f64, took: f64) {
        let expected = self.seconds(x);
        let miss = took - expected;
        let variance = &mut self.variance;
        let (fixed, per_row) = variance.with(x);
        let total = fixed + per_row * x + (NOISE * expected).powi(2);
        self.fixed += fixed / total * miss;
        self.per_row += per_row / total * miss;
        variance.fixed -= fixed * fixed / total;
        variance.per_row -= per_row * per_row / total;
        variance.both -= fixed * per_row / total;
        // What would be negative is nothing, and the other one all there is.
        let seconds = self.seconds(x).max(SHORTEST);
        if self.fixed < 0.0 {
            (self.fixed, self.per_row) = (0.0, seconds / x);
        } else if self.per_row < 0.0 {
            (self.fixed, self.per_row) = (seconds, 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TARGET: Duration = Duration::from_millis(100);

    /// A simulated machine with a repeatable noise of at most the given part of a step's time.
    struct Machine {
        fixed: f64,
        per_row: f64,
        noise: f64,
        state: u64,
    }

    impl Machine {
        /// Costs in milliseconds.
        fn new(fixed: f64, per_row: f64) -> Self {
            Self {
                fixed,
                per_row,
                noise: 0.0,
                state: 1,
            }
        }

        fn took(&mut self, rows: usize) -> Duration {
            self.state = self.state.wrapping_mul(6364136223846793005).wrapping_add(1);
            let random = (self.state >> 33) as f64 / f64::from(1_u32 << 30) - 1.0;
            let time = (self.fixed + self.per_row * rows as f64) * (1.0 + self.noise * random);
            Duration::from_secs_f64(time / 1000.0)
        }

        /// The rows that really fit into the target less the margin.
        fn fitting(&self, pace: &Pace) -> f64 {
            let time = TARGET.as_secs_f64() * 1000.0 / (1.0 + pace.margin);
            (time - self.fixed) / self.per_row
        }

        /// Runs steps that are as large as the pace says; returns their rows.
        fn run(&mut self, pace: &mut Pace, steps: usize) -> Vec<usize> {
            let step = |_| {
                let rows = pace.rows_within_target(0, 2048);
                pace.observe(rows, self.took(rows));
                rows
            };
            (0..steps).map(step).collect()
        }
    }

    fn assert_near(rows: usize, expected: f64, within: f64) {
        let off = (rows as f64 / expected - 1.0).abs();
        assert!(off <= within, "{rows} rows, not {expected}");
    }

    #[test]
    fn starts_small_and_soon_fills_the_target() {
        for (fixed, per_row) in [
            (5.0, 0.2),
            (40.0, 1.0),
            (0.5, 0.05),
            (60.0, 0.1),
            (2.0, 8.0),
        ] {
            let mut machine = Machine::new(fixed, per_row);
            let mut pace = Pace::new(TARGET);
            let rows = machine.run(&mut pace, 40);
            assert_eq!(rows[0], START);
            for pair in rows.windows(2) {
                assert!(pair[1] <= pair[0].max(START) * GROWTH, "{rows:?}");
            }
            assert_near(rows[39], machine.fitting(&pace), 0.1);
        }
    }

    #[test]
    fn learns_from_answers_alone_what_it_can_and_then_the_rest() {
        let mut machine = Machine::new(20.0, 0.5);
        let mut pace = Pace::new(TARGET);
        for _ in 0..1000 {
            pace.observe(2, machine.took(2));
        }
        assert_eq!(pace.rows_within_target(0, 2048), START);
        let rows = machine.run(&mut pace, 20);
        assert_near(rows[19], machine.fitting(&pace), 0.1);
        // A long time without a prompt does not make it forget what a row costs.
        for step in 0..1000 {
            let rows = 1 + step % 3;
            pace.observe(rows, machine.took(rows));
        }
        assert_near(
            pace.rows_within_target(0, 2048),
            machine.fitting(&pace),
            0.1,
        );
    }

    #[test]
    fn soon_follows_a_machine_that_changes() {
        let mut pace = Pace::new(TARGET);
        for (fixed, per_row) in [(5.0, 0.2), (50.0, 2.0), (40.0, 8.0), (5.0, 0.1)] {
            let mut machine = Machine::new(fixed, per_row);
            let rows = machine.run(&mut pace, 12);
            assert_near(rows[11], machine.fitting(&pace), 0.15);
        }
    }

    #[test]
    fn noise_moves_it_little() {
        let mut machine = Machine::new(10.0, 0.4);
        machine.noise = 0.3;
        let mut pace = Pace::new(TARGET);
        let rows = machine.run(&mut pace, 500);
        for &rows in &rows[50..] {
            assert_near(rows, machine.fitting(&pace), 0.35);
        }
    }

    #[test]
    fn one_outlier_changes_little() {
        for factor in [100.0, 0.01] {
            let mut machine = Machine::new(10.0, 0.4);
            let mut pace = Pace::new(TARGET);
            machine.run(&mut pace, 40);
            let rows = pace.rows_within_target(0, 2048);
            pace.observe(rows, machine.took(rows).mul_f64(factor));
            assert_near(
                pace.rows_within_target(0, 2048),
                machine.fitting(&pace),
                0.25,
            );
            let after = machine.run(&mut pace, 40);
            assert_near(after[39], machine.fitting(&pace), 0.1);
        }
        // Nor does a first step that had to warm up.
        let mut machine = Machine::new(10.0, 0.4);
        let mut pace = Pace::new(TARGET);
        pace.observe(START, machine.took(START) * 50);
        let rows = machine.run(&mut pace, 60);
        assert_near(rows[59], machine.fitting(&pace), 0.15);
    }

    #[test]
    fn a_machine_that_is_too_slow_still_goes_on() {
        let mut machine = Machine::new(500.0, 300.0);
        let mut pace = Pace::new(TARGET);
        let rows = machine.run(&mut pace, 30);
        assert_eq!(rows[29], 1);
        assert_eq!(pace.rows_within_target(0, 0), 0);
    }

    #[test]
    fn few_steps_take_longer_than_the_target_and_a_step_of_the_answers() {
        // A prompt whose rows cost more and more, beside an answer.
        for (noise, growth) in [(0.0, 0.005), (0.05, 0.005), (0.2, 0.0)] {
            let mut machine = Machine::new(12.0, 2.0);
            machine.noise = noise;
            let mut pace = Pace::new(TARGET);
            for _ in 0..10 {
                pace.observe(1, machine.took(1));
            }
            let (mut late, mut used) = (0, 0.0);
            for step in 0..300 {
                let rows = pace.rows_within_target(1, 2048);
                let took = machine.took(rows);
                pace.observe(rows, took);
                let limit = TARGET.as_secs_f64() + (machine.fixed + machine.per_row) / 1000.0;
                if step >= 20 {
                    late += usize::from(took.as_secs_f64() > limit * 1.01);
                    used += took.as_secs_f64() / limit / 280.0;
                }
                machine.per_row += growth;
            }
            assert!(
                late <= 280 * 3 / 100,
                "{late} steps were late with a noise of {noise}"
            );
            assert!(
                used > 1.0 - 1.5 * noise - 0.1,
                "{used} was used with a noise of {noise}"
            );
        }
    }

    #[test]
    fn a_longer_target_allows_more() {
        let mut machine = Machine::new(10.0, 1.0);
        let mut pace = Pace::new(TARGET);
        machine.run(&mut pace, 40);
        let estimate = pace.estimate(50).as_secs_f64();
        assert!((estimate - 0.06).abs() < 0.006, "{estimate}");
        pace.set_target(TARGET / 2);
        assert_near(pace.rows_within_target(0, 2048), 40.0, 0.1);
        assert_eq!(pace.rows_within_target(0, 8), 8);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_is_observed_more_rows_never_take_less(
            seen in proptest::collection::vec((0usize..5000, any::<u64>(), 0u32..64), 0..100),
            most in 1usize..5000,
        ) {
            let mut pace = Pace::new(TARGET);
            for (rows, nanos, shift) in seen {
                pace.observe(rows, Duration::from_nanos(nanos >> shift));
                prop_assert!(pace.fixed >= 0.0 && pace.fixed.is_finite());
                prop_assert!(pace.per_row >= 0.0 && pace.per_row.is_finite());
                prop_assert!(pace.most == 0 || pace.seconds(1.0) > 0.0);
                prop_assert!(pace.estimate(10) <= pace.estimate(20));
                let rows = pace.rows_within_target(0, most);
                prop_assert!((1..=most).contains(&rows));
            }
        }
    }
}
