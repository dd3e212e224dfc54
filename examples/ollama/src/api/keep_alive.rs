//! How long a model stays loaded, as JSON has it.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use crate::settings::KeepAlive;

struct Reader;

impl Visitor<'_> for Reader {
    type Value = KeepAlive;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a length of time like \"5m\", or a number of seconds")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<KeepAlive, E> {
        KeepAlive::parse(text).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<KeepAlive, E> {
        Ok(KeepAlive::from_seconds(seconds as f64))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<KeepAlive, E> {
        Ok(KeepAlive::from_seconds(seconds as f64))
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<KeepAlive, E> {
        Ok(KeepAlive::from_seconds(seconds))
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
            ("\"250ms\"", seconds(0.25)),
            ("\"-1m\"", Ok(KeepAlive::Forever)),
        ] {
            assert_eq!(read(json), value, "{json}");
        }
        for json in ["\"\"", "\"5x\"", "true", "[]", "{}", "\"-\""] {
            let error = read(json).unwrap_err();
            assert!(error.contains("length of time"), "{json}: {error}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for value in [
            KeepAlive::Forever,
            KeepAlive::For(Duration::from_secs(300)),
            KeepAlive::For(Duration::ZERO),
        ] {
            let json = serde_json::to_string(&value).unwrap();
            assert_eq!(read(&json), Ok(value));
        }
    }
}
