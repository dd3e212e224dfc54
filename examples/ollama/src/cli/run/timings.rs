//! What an answer took, worded as Ollama does.

use crate::api::Metrics;

/// The lines of `--verbose`.
pub(super) fn summary(metrics: &Metrics) -> String {
    let mut lines = Vec::new();
    let mut time = |label: &str, nanos: u64| {
        if nanos > 0 {
            lines.push(format!("{label:<21} {}", duration(nanos)));
        }
    };
    time("total duration:", metrics.total_duration);
    time("load duration:", metrics.load_duration);
    let phases = [
        (
            "prompt eval",
            metrics.prompt_eval_count,
            metrics.prompt_eval_duration,
        ),
        ("eval", metrics.eval_count, metrics.eval_duration),
    ];
    for (phase, count, nanos) in phases {
        let label = |what: &str| format!("{phase} {what}:");
        if count > 0 {
            lines.push(format!("{:<21} {count} token(s)", label("count")));
        }
        if nanos > 0 {
            let rate = count as f64 / (nanos as f64 / 1e9);
            lines.push(format!("{:<21} {}", label("duration"), duration(nanos)));
            lines.push(format!("{:<21} {rate:.2} tokens/s", label("rate")));
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A time as Go writes it.
fn duration(nanos: u64) -> String {
    const SECOND: u64 = 1_000_000_000;
    if nanos < SECOND {
        return match nanos {
            0..1_000 => format!("{nanos}ns"),
            1_000..1_000_000 => format!("{}µs", decimal(nanos, 1_000)),
            _ => format!("{}ms", decimal(nanos, 1_000_000)),
        };
    }
    let (minutes, rest) = (nanos / (60 * SECOND), nanos % (60 * SECOND));
    let seconds = decimal(rest, SECOND);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// A quotient with as many decimals as it has; `unit` is a power of ten.
fn decimal(value: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let text = format!("{}.{:0digits$}", value / unit, value % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_go_writes_them() {
        for (nanos, text) in [
            (1, "1ns"),
            (1_500, "1.5µs"),
            (1_000_000, "1ms"),
            (45_600_100, "45.6001ms"),
            (1_000_000_000, "1s"),
            (1_234_567_891, "1.234567891s"),
            (10_000_000_000, "10s"),
            (62_500_000_000, "1m2.5s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(duration(nanos), text);
        }
    }

    #[test]
    fn worded_as_ollama_does() {
        let metrics = Metrics {
            total_duration: 2_500_000_000,
            load_duration: 20_000_000,
            prompt_eval_count: 26,
            prompt_eval_duration: 130_000_000,
            eval_count: 100,
            eval_duration: 2_000_000_000,
            ..Metrics::default()
        };
        assert_eq!(
            summary(&metrics),
            "total duration:       2.5s\n\
             load duration:        20ms\n\
             prompt eval count:    26 token(s)\n\
             prompt eval duration: 130ms\n\
             prompt eval rate:     200.00 tokens/s\n\
             eval count:           100 token(s)\n\
             eval duration:        2s\n\
             eval rate:            50.00 tokens/s\n"
        );
        assert_eq!(summary(&Metrics::default()), "");
    }
}
