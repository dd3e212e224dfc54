//! What all requests together say: medians, and what all but one in a hundred reach.

use serde::Serialize;

use super::measure::{Plan, Sample};
use crate::cli::table;

/// Of one kind of number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub median: f64,
    /// 99 of 100 requests were at least as good.
    pub p99: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub model: String,
    pub clients: u32,
    pub words: u32,
    pub tokens: u32,
    pub requests: usize,
    /// From the first request to the end of the last.
    pub seconds: f64,
    pub prompt_tokens: u64,
    /// Those of them that were not computed.
    pub cached_tokens: u64,
    pub answer_tokens: u64,
    pub first_token_ms: Option<Spread>,
    pub request_ms: Option<Spread>,
    pub prompt_tokens_per_second: Option<Spread>,
    pub answer_tokens_per_second: Option<Spread>,
    /// Of all clients together.
    pub all_answer_tokens_per_second: f64,
    /// Prompts and answers of all clients together.
    pub all_tokens_per_second: f64,
}

impl Summary {
    pub(super) fn new(plan: &Plan, clients: u32, samples: &[Sample], seconds: f64) -> Self {
        let sum = |of: fn(&Sample) -> u64| samples.iter().map(of).sum::<u64>();
        let times = |of: fn(&Sample) -> std::time::Duration| {
            let times = samples.iter().map(|sample| of(sample).as_secs_f64() * 1e3);
            spread(times.collect(), f64::total_cmp)
        };
        // Of speeds the large ones are good.
        let speeds = |of: fn(&Sample) -> Option<f64>| {
            spread(samples.iter().filter_map(of).collect(), |a, b| {
                b.total_cmp(a)
            })
        };
        let (prompt, answer) = (sum(|s| s.prompt_tokens), sum(|s| s.answer_tokens));
        let seconds = seconds.max(1e-9);
        Self {
            model: plan.model.clone(),
            clients,
            words: plan.words,
            tokens: plan.tokens,
            requests: samples.len(),
            seconds,
            prompt_tokens: prompt,
            cached_tokens: sum(|s| s.cached_tokens),
            answer_tokens: answer,
            first_token_ms: times(|s| s.first_token),
            request_ms: times(|s| s.whole),
            prompt_tokens_per_second: speeds(|s| s.prompt_speed),
            answer_tokens_per_second: speeds(|s| s.answer_speed),
            all_answer_tokens_per_second: answer as f64 / seconds,
            all_tokens_per_second: (prompt + answer) as f64 / seconds,
        }
    }

    pub(super) fn table(&self) -> String {
        let row = |name: &str, unit: &str, spread: Option<Spread>| {
            let cell = |value: fn(&Spread) -> f64| {
                spread
                    .as_ref()
                    .map_or_else(|| "-".to_owned(), |spread| number(value(spread)))
            };
            let name = format!("{name}, {unit}");
            vec![name, cell(|s| s.median), cell(|s| s.p99)]
        };
        let rows = [
            ["", "MEDIAN", "P99"].map(str::to_owned).to_vec(),
            row("first token", "ms", self.first_token_ms),
            row("whole request", "ms", self.request_ms),
            row("prompt", "tokens/s", self.prompt_tokens_per_second),
            row("answer", "tokens/s", self.answer_tokens_per_second),
        ];
        let s = |n: u64| if n == 1 { "" } else { "s" };
        let each = |tokens: u64| tokens as f64 / self.requests.max(1) as f64;
        format!(
            "{}: {} client{}, {} request{}, {:.0} tokens of prompt and {:.0} of answer each\n\n{}\nall together: {} tokens/s of answers, {} with prompts, {:.1} s\n",
            self.model,
            self.clients,
            s(self.clients.into()),
            self.requests,
            s(self.requests as u64),
            each(self.prompt_tokens),
            each(self.answer_tokens),
            table::render(&rows),
            number(self.all_answer_tokens_per_second),
            number(self.all_tokens_per_second),
            self.seconds,
        )
    }
}

/// Three digits, as far as they say something.
fn number(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

/// The values are put in order, the best first.
fn spread(mut values: Vec<f64>, order: fn(&f64, &f64) -> std::cmp::Ordering) -> Option<Spread> {
    values.sort_by(order);
    let count = values.len();
    let middle = match count % 2 {
        1 => *values.get(count / 2)?,
        _ => (values.get((count / 2).checked_sub(1)?)? + values.get(count / 2)?) / 2.0,
    };
    // The nearest rank.
    let rank = (count * 99).div_ceil(100);
    Some(Spread {
        median: middle,
        p99: *values.get(rank.checked_sub(1)?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_the_worst_but_one_percent() {
        let upwards = |values: &[f64]| spread(values.to_vec(), f64::total_cmp);
        assert_eq!(upwards(&[]), None);
        assert_eq!(
            upwards(&[5.0]),
            Some(Spread {
                median: 5.0,
                p99: 5.0
            })
        );
        assert_eq!(
            upwards(&[3.0, 1.0]),
            Some(Spread {
                median: 2.0,
                p99: 3.0
            })
        );
        let many: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(
            upwards(&many),
            Some(Spread {
                median: 100.5,
                p99: 198.0
            })
        );
        let downwards = spread(many, |a, b| b.total_cmp(a));
        assert_eq!(
            downwards,
            Some(Spread {
                median: 100.5,
                p99: 3.0
            })
        );
    }

    #[test]
    fn of_times_the_longest_and_of_speeds_the_lowest_is_bad() {
        let sample = |n: u32| Sample {
            first_token: std::time::Duration::from_millis(n.into()),
            whole: std::time::Duration::from_secs(n.into()),
            prompt_tokens: 5,
            cached_tokens: 1,
            answer_tokens: 10,
            prompt_speed: None,
            answer_speed: Some(f64::from(n)),
            warnings: Vec::new(),
        };
        let plan = Plan {
            model: "m".to_owned(),
            words: 5,
            tokens: 10,
        };
        let summary = Summary::new(&plan, 2, &[sample(10), sample(20)], 0.5);
        let of = |median, p99| Some(Spread { median, p99 });
        assert_eq!(summary.first_token_ms, of(15.0, 20.0));
        assert_eq!(summary.request_ms, of(15_000.0, 20_000.0));
        assert_eq!(summary.answer_tokens_per_second, of(15.0, 10.0));
        assert_eq!(summary.prompt_tokens_per_second, None);
        assert_eq!(summary.all_answer_tokens_per_second, 40.0);
        assert_eq!(summary.all_tokens_per_second, 60.0);
    }

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in [
            (0.1234, "0.12"),
            (12.345, "12.3"),
            (123.4, "123"),
            (12345.6, "12346"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
