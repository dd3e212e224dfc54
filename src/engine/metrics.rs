//! Counters and distributions of what an engine does.

use std::collections::VecDeque;
use std::time::Duration;

/// A snapshot of what an engine does now and did since it was made.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Metrics {
    /// Requests that wait.
    pub queued: usize,
    /// Requests that run.
    pub running: usize,
    /// Cells of the KV cache in use, shared ones counted once.
    pub cells_used: usize,
    /// Cells there are.
    pub cells: usize,
    /// Sequence ids in use, by running requests and cached prefixes.
    pub sequences_used: usize,
    /// Sequence ids there are.
    pub sequences: usize,
    /// Cached prefixes.
    pub cached_prefixes: usize,
    /// Bytes of host memory that snapshots of sequences take.
    pub snapshot_bytes: u64,
    /// Requests that finished, for whatever reason.
    pub requests: u64,
    /// Of these, those that failed.
    pub failed: u64,
    /// Of these, those that were cancelled or missed their deadline.
    pub cancelled: u64,
    /// Requests that were refused because the queue was full.
    pub refused: u64,
    /// Requests that began from a cached prefix.
    pub cache_hits: u64,
    /// Tokens of prompts that were not computed because they were cached.
    pub cached_tokens: u64,
    /// Tokens of prompts that were computed.
    pub evaluated_tokens: u64,
    /// Tokens drawn.
    pub generated_tokens: u64,
    /// Tokens that were guessed ahead.
    pub drafted_tokens: u64,
    /// Of these, those that were right.
    pub accepted_tokens: u64,
    /// Cached prefixes that made room for others.
    pub evictions: u64,
    /// Cached prefixes that were lost with a context.
    pub dropped_prefixes: u64,
    /// Prefixes that were read from the [`state_dir`](super::EngineParams::state_dir) for a request.
    pub prefixes_restored: u64,
    /// Prefixes that were written there; those it had already are not counted.
    pub prefixes_written: u64,
    /// Decodes.
    pub steps: u64,
    /// Steps that were aborted.
    pub aborted_steps: u64,
    /// Contexts that were made anew, after a failure or for a larger window.
    pub rebuilds: u64,
    /// Threads that the last step was computed with.
    pub threads: u32,
    /// Bytes of weights, KV caches and compute buffers.
    pub memory: Memory,
    /// From submission to the first token, of the last 1,024 answers.
    pub first_token: Summary,
    /// Between two tokens of one answer, of the last 1,024.
    pub gap: Summary,
    /// Whether a step takes longer than the limit at this moment.
    pub stalled: bool,
}

/// Bytes by what they are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// Weights.
    pub weights: u64,
    /// KV caches and recurrent states.
    pub context: u64,
    /// Temporary buffers of computations.
    pub compute: u64,
}

impl Memory {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.weights + self.context + self.compute
    }
}

/// A distribution of durations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// How many there were in all.
    pub count: u64,
    /// The median of those remembered.
    pub p50: Duration,
    /// 95 of 100 are at most this.
    pub p95: Duration,
    /// 99 of 100 are at most this.
    pub p99: Duration,
    /// The longest of those remembered.
    pub max: Duration,
}

/// The numbers behind [`Metrics`].
#[derive(Default)]
pub(super) struct Stats {
    pub(super) now: Metrics,
    pub(super) first_token: Samples,
    pub(super) gap: Samples,
    /// How long finished requests ran, to tell when a place may be free.
    pub(super) run: Samples,
}

impl Stats {
    pub(super) fn snapshot(&self, queued: usize) -> Metrics {
        Metrics {
            queued,
            first_token: self.first_token.summary(),
            gap: self.gap.summary(),
            ..self.now.clone()
        }
    }
}

/// The last durations of a kind.
#[derive(Default)]
pub(super) struct Samples {
    count: u64,
    last: VecDeque<Duration>,
}

impl Samples {
    const MOST: usize = 1024;

    pub(super) fn add(&mut self, duration: Duration) {
        if self.last.len() == Self::MOST {
            self.last.pop_front();
        }
        self.last.push_back(duration);
        self.count += 1;
    }

    pub(super) fn summary(&self) -> Summary {
        let mut sorted: Vec<Duration> = self.last.iter().copied().collect();
        sorted.sort_unstable();
        let at = |hundredths: usize| {
            let rank = (sorted.len() * hundredths).div_ceil(100);
            sorted
                .get(rank.saturating_sub(1))
                .copied()
                .unwrap_or_default()
        };
        Summary {
            count: self.count,
            p50: at(50),
            p95: at(95),
            p99: at(99),
            max: at(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_last_samples() {
        let mut samples = Samples::default();
        assert_eq!(samples.summary(), Summary::default());
        for ms in 1..=2_000_u64 {
            samples.add(Duration::from_millis(ms));
        }
        let summary = samples.summary();
        assert_eq!(summary.count, 2_000);
        assert_eq!(summary.max, Duration::from_millis(2_000));
        assert_eq!(summary.p50, Duration::from_millis(976 + 512));
        assert_eq!(summary.p99, Duration::from_millis(976 + 1014));
    }
}
