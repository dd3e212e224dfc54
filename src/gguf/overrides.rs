//! Metadata values that a caller puts in the place of a file's own.

use crate::error::{Error, Result};

/// Longest key and longest text of an override, in bytes: upstream's fields have a NUL after them.
const MAX_BYTES: usize = 127;

/// The value of one override (`llama_model_kv_override`).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum OverrideValue {
    /// For keys whose value is an integer of any width.
    Int(i64),
    /// For keys whose value is a float.
    Float(f64),
    /// For keys whose value is a boolean.
    Bool(bool),
    /// For keys whose value is a string; at most 127 bytes.
    Str(String),
}

impl From<i64> for OverrideValue {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for OverrideValue {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for OverrideValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for OverrideValue {
    fn from(value: &str) -> Self {
        Self::Str(value.to_owned())
    }
}

impl From<String> for OverrideValue {
    fn from(value: String) -> Self {
        Self::Str(value)
    }
}

/// Metadata overrides: scalar values that loading uses instead of those in the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    entries: Vec<(String, OverrideValue)>,
}

impl Overrides {
    /// No overrides.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Overrides a key; doing it again replaces the value.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for a key that is empty,
    /// longer than 127 bytes or has a NUL byte, and for a text of more than 127 bytes or with a NUL.
    pub fn set(
        &mut self,
        key: impl Into<String>,
        value: impl Into<OverrideValue>,
    ) -> Result<&mut Self> {
        let (key, value) = (key.into(), value.into());
        if key.is_empty() || key.len() > MAX_BYTES || key.contains('\0') {
            return Err(Error::argument(format!(
                "the key of an override must have 1 to {MAX_BYTES} bytes and no NUL: {key:?}"
            )));
        }
        if let OverrideValue::Str(text) = &value
            && (text.len() > MAX_BYTES || text.contains('\0'))
        {
            return Err(Error::argument(format!(
                "the override of {key} must have at most {MAX_BYTES} bytes and no NUL"
            )));
        }
        match self.entries.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.entries.push((key, value)),
        }
        Ok(self)
    }

    /// The override of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&OverrideValue> {
        self.entries
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value)
    }

    /// All overrides in the order they were first set.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &OverrideValue)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_str(), value))
    }

    /// Whether nothing is overridden.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
