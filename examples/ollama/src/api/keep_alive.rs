//! How long a model stays loaded: Go's way to write durations.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How long a model stays loaded after its last request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeepAlive {
    /// This long; zero unloads it at once.
    For(Duration),
    /// Until it is told to go, or memory is needed.
    Forever,
}

impl KeepAlive {
    /// Ollama's default.
    pub const DEFAULT: Self = Self::For(Duration::from_secs(300));

    /// Whether the model leaves at once.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::For(Duration::ZERO)
    }

    /// Reads `5m`, `1h30m`, `-1`, `300` (seconds).
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(seconds) = text.trim().parse::<f64>() {
            return Self::seconds(seconds);
        }
        let (negative, duration) = parse_go(text)?;
        Ok(match negative && !duration.is_zero() {
            true => Self::Forever,
            false => Self::For(duration),
        })
    }

    fn seconds(seconds: f64) -> Result<Self, String> {
        if seconds.is_nan() {
            return Err("a duration must be a number".to_owned());
        }
        if seconds < 0.0 {
            return Ok(Self::Forever);
        }
        // What is longer than anybody lives is for ever.
        Ok(Duration::try_from_secs_f64(seconds).map_or(Self::Forever, Self::For))
    }
}

/// Reads a duration as Go's `time.ParseDuration` does, with its sign.
fn parse_go(text: &str) -> Result<(bool, Duration), String> {
    let wrong = || {
        let shown: String = text.chars().take(40).collect();
        format!("invalid duration {shown:?}: write 5m, 1h30m or a number of seconds")
    };
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok((negative, Duration::ZERO));
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let letters = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        seconds += number * unit;
        rest = tail;
    }
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    Ok((negative, duration))
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = KeepAlive;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"5m\", or a number of seconds")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<KeepAlive, E> {
        KeepAlive::parse(text).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<KeepAlive, E> {
        Ok(KeepAlive::For(Duration::from_secs(seconds)))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<KeepAlive, E> {
        Ok(u64::try_from(seconds).map_or(KeepAlive::Forever, |seconds| {
            KeepAlive::For(Duration::from_secs(seconds))
        }))
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<KeepAlive, E> {
        KeepAlive::seconds(seconds).map_err(|_| E::invalid_value(Unexpected::Float(seconds), &self))
    }
}

impl<'de> Deserialize<'de> for KeepAlive {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(Reader)
    }
}

impl Serialize for KeepAlive {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Forever => json.serialize_i64(-1),
            Self::For(duration) => json.serialize_str(&format!("{}ns", duration.as_nanos())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::KeepAlive;
    use std::time::Duration;

    fn read(json: &str) -> Result<KeepAlive, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_what_ollama_reads() {
        let seconds = |seconds| Ok(KeepAlive::For(Duration::from_secs_f64(seconds)));
        for (json, value) in [
            ("300", seconds(300.0)),
            ("0", seconds(0.0)),
            ("0.5", seconds(0.5)),
            ("-1", Ok(KeepAlive::Forever)),
            ("-0.5", Ok(KeepAlive::Forever)),
            ("1e300", Ok(KeepAlive::Forever)),
            ("\"5m\"", seconds(300.0)),
            ("\"1h30m\"", seconds(5400.0)),
            ("\"1.5h\"", seconds(5400.0)),
            ("\"250ms\"", seconds(0.25)),
            ("\"0\"", seconds(0.0)),
            ("\"0s\"", seconds(0.0)),
            ("\"-1m\"", Ok(KeepAlive::Forever)),
            ("\"-1\"", Ok(KeepAlive::Forever)),
            ("\"10\"", seconds(10.0)),
        ] {
            assert_eq!(read(json), value, "{json}");
        }
    }

    #[test]
    fn refuses_the_rest_and_says_what_it_wants() {
        for json in ["\"\"", "\"5\u{3bc}\"", "\"m\"", "\"5 m\"", "\"5x\"", "true", "[]", "{}", "\"-\""] {
            let error = read(json).unwrap_err();
            assert!(error.contains("duration"), "{json}: {error}");
        }
        assert!(read("\"NaN\"").is_err());
    }

    #[test]
    fn writes_what_it_reads() {
        for value in [
            KeepAlive::Forever,
            KeepAlive::DEFAULT,
            KeepAlive::For(Duration::ZERO),
        ] {
            let json = serde_json::to_string(&value).unwrap();
            assert_eq!(read(&json), Ok(value));
        }
    }
}
