//! Lengths of time as Go writes them, and how long a model stays loaded.

use std::time::Duration;

/// How long a model stays in memory after its last use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepAlive {
    /// This long; zero unloads it at once.
    For(Duration),
    /// Until it is stopped.
    Forever,
}

impl KeepAlive {
    /// Reads `5m`, `1h30m`, `300ms`, `-1` or a number of seconds; what is negative is for ever.
    ///
    /// # Errors
    /// A sentence on what can't be understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let time = match digits.parse::<u64>() {
            Ok(seconds) if !digits.starts_with('+') => Duration::from_secs(seconds),
            _ => with_units(digits).ok_or_else(|| {
                format!(
                    "{text:?} is neither a length of time like 5m or 1h30m nor a number of seconds"
                )
            })?,
        };
        Ok(Self::of(negative, time))
    }

    /// A number of seconds, as JSON can have it.
    #[must_use]
    pub fn from_seconds(seconds: f64) -> Self {
        let time = Duration::try_from_secs_f64(seconds.abs()).unwrap_or(Duration::MAX);
        Self::of(seconds < 0.0, time)
    }

    fn of(negative: bool, time: Duration) -> Self {
        // Longer than Go can count is for ever.
        if negative && !time.is_zero() || time.as_nanos() > i64::MAX as u128 {
            Self::Forever
        } else {
            Self::For(time)
        }
    }
}

/// Numbers with units, one after the other.
fn with_units(mut text: &str) -> Option<Duration> {
    let mut nanos: f64 = 0.0;
    if text.is_empty() {
        return None;
    }
    while !text.is_empty() {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, rest) = text.split_at(end);
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(end);
        let scale = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        nanos += number.parse::<f64>().ok()? * scale;
        text = rest;
    }
    Some(Duration::try_from_secs_f64(nanos / 1e9).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_understands() {
        for (text, millis) in [
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("300ms", 300),
            ("0", 0),
            ("0s", 0),
            ("-0", 0),
            ("60", 60_000),
            ("+5s", 5_000),
            ("1m1.5s", 61_500),
            (".5s", 500),
            ("2s30ms", 2_030),
        ] {
            let expected = KeepAlive::For(Duration::from_millis(millis));
            assert_eq!(KeepAlive::parse(text).unwrap(), expected, "{text}");
        }
        for text in ["-1", "-1s", "-5m", "9223372037", "99999999h"] {
            assert_eq!(
                KeepAlive::parse(text).unwrap(),
                KeepAlive::Forever,
                "{text}"
            );
        }
        assert_eq!(KeepAlive::from_seconds(-1.0), KeepAlive::Forever);
        assert_eq!(
            KeepAlive::from_seconds(1.5),
            KeepAlive::For(Duration::from_millis(1500))
        );
        assert_eq!(KeepAlive::from_seconds(f64::INFINITY), KeepAlive::Forever);
    }

    #[test]
    fn what_nobody_understands() {
        for text in [
            "", "-", "+", "5 m", "m", "5x", "5m3", "1e3", "--1", "+-1", "1..5s", ".",
        ] {
            assert!(KeepAlive::parse(text).is_err(), "{text}");
        }
    }
}
