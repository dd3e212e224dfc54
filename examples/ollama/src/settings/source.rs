//! How values of environment variables are written.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use super::Debug;
use crate::error::{Error, Kind, Result};

/// Gets variables by their names.
pub(super) struct Source<'a>(pub(super) &'a dyn Fn(&str) -> Option<OsString>);

impl Source<'_> {
    /// The value without spaces and quotes around it; nothing when that is empty.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>> {
        let Some(value) = (self.0)(name) else {
            return Ok(None);
        };
        let value = value
            .into_string()
            .map_err(|_| invalid(name, "it is not UTF-8".into()))?;
        let value = value.trim().trim_matches(['"', '\'']);
        Ok((!value.is_empty()).then(|| value.to_owned()))
    }

    /// As [`text`](Self::text), of any bytes that can be a path.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        match self.text(name) {
            Ok(text) => text.map(PathBuf::from),
            Err(_) => (self.0)(name).map(PathBuf::from),
        }
    }

    pub(super) fn parsed<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>> {
        let text = self.text(name)?;
        text.map(|text| parse(&text).map_err(|why| invalid(name, why)))
            .transpose()
    }

    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        self.parsed(name, |text| {
            text.parse()
                .map_err(|_| format!("{text:?} is not a number that it can have"))
        })
    }

    /// What is neither true nor false counts as true, as with Ollama.
    pub(super) fn switch(&self, name: &str) -> Result<Option<bool>> {
        self.parsed(name, |text| Ok(boolean(text).unwrap_or(true)))
    }

    pub(super) fn list(&self, name: &str) -> Result<Vec<String>> {
        self.list_of(name, |item| Ok(item.to_owned()))
    }

    /// What commas separate.
    pub(super) fn list_of<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>> {
        let text = self.text(name)?.unwrap_or_default();
        let items = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty());
        items
            .map(|item| parse(item).map_err(|why| invalid(name, why)))
            .collect()
    }

    pub(super) fn debug(&self) -> Result<Debug> {
        let level = self.parsed("OLLAMA_DEBUG", |text| {
            Ok(match (boolean(text), text.parse::<i64>()) {
                (Some(true), _) => Debug::Debug,
                (None, Ok(n)) if n >= 2 => Debug::Trace,
                _ => Debug::Info,
            })
        })?;
        Ok(level.unwrap_or_default())
    }
}

pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A number of bytes, also with K, M, G or T (1000 each) or KiB, MiB, GiB, TiB.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "k" | "kb" => Some(1_000),
        "m" | "mb" => Some(1_000_000),
        "g" | "gb" => Some(1_000_000_000),
        "t" | "tb" => Some(1_000_000_000_000),
        "ki" | "kib" => Some(1 << 10),
        "mi" | "mib" => Some(1 << 20),
        "gi" | "gib" => Some(1 << 30),
        "ti" | "tib" => Some(1 << 40),
        _ => None,
    };
    unit.and_then(|unit| times(digits, unit))
        .ok_or_else(|| format!("{text:?} is not a number of bytes, such as 500K or 12GiB"))
}

/// Bytes per second.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    bytes(text.strip_suffix("/s").unwrap_or(text))
}

/// A decimal number, with at most 9 digits behind its point, times a unit.
fn times(number: &str, unit: u64) -> Option<u64> {
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if !all_digits(whole) || !all_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let parts = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let fraction = u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit) / u128::from(parts);
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    whole.checked_add(u64::try_from(fraction).ok()?)
}

fn invalid(name: &str, why: String) -> Error {
    Error::new(Kind::Invalid, format!("environment variable {name}: {why}"))
}
