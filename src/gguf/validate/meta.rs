//! The metadata that upstream will see: the file's, with the caller's overrides on top.

use crate::error::{Error, Result};
use crate::gguf::cursor::invalid;
use crate::gguf::{ArrayRef, File, FromValue, OverrideValue, Overrides, ValueRef};

/// A file together with overrides; reads keys with the types that upstream reads them with.
#[derive(Clone, Copy)]
pub(super) struct Meta<'a> {
    pub(super) file: &'a File,
    pub(super) overrides: &'a Overrides,
}

impl<'a> Meta<'a> {
    /// A `u32` key.
    pub(super) fn u32(&self, key: &str) -> Result<Option<u32>> {
        self.scalar(key, |value| match value {
            OverrideValue::Int(value) => Some(u32::try_from(*value).map_err(|_| {
                Error::argument(format!("the override of {key} is {value}, outside of u32"))
            })),
            _ => None,
        })
    }

    /// An `f32` key.
    pub(super) fn f32(&self, key: &str) -> Result<Option<f32>> {
        self.scalar(key, |value| match value {
            OverrideValue::Float(value) => Some(Ok(*value as f32)),
            _ => None,
        })
    }

    /// A boolean key.
    pub(super) fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.scalar(key, |value| match value {
            OverrideValue::Bool(value) => Some(Ok(*value)),
            _ => None,
        })
    }

    /// A string key, as C code sees it: up to the first NUL.
    pub(super) fn str(&self, key: &str) -> Result<Option<&'a [u8]>> {
        let text: Option<&[u8]> = self.scalar(key, |value| match value {
            OverrideValue::Str(value) => Some(Ok(value.as_bytes())),
            _ => None,
        })?;
        Ok(text.map(c_text))
    }

    /// An array key; arrays cannot be overridden.
    pub(super) fn array(&self, key: &str) -> Result<Option<ArrayRef<'a>>> {
        if self.overrides.get(key).is_some() {
            return Err(Error::argument(format!(
                "{key} is an array and cannot be overridden"
            )));
        }
        self.file.get(key).map(|value| value.read(key)).transpose()
    }

    /// A key that holds one number for all `layers` or an array with a number for each.
    ///
    /// Upstream looks at overrides of such keys only when the file has the key.
    pub(super) fn per_layer(&self, key: &str, layers: u32) -> Result<Option<Vec<u32>>> {
        match self.file.get(key) {
            None => Ok(None),
            Some(ValueRef::Array(_)) => {
                let array = self
                    .array(key)?
                    .filter(|array| array.len() == layers as usize);
                let Some(array) = array else {
                    return Err(invalid(format!(
                        "{key} must have one element for each layer"
                    )));
                };
                integers(&array)
                    .map(Some)
                    .ok_or_else(|| invalid(format!("{key} must have elements 0 to {}", i32::MAX)))
            }
            Some(_) => Ok(self.u32(key)?.map(|value| vec![value; layers as usize])),
        }
    }

    /// Keys of the file and of the overrides, each once for each place it is in.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> {
        let file = self.file.metadata().map(|(key, _)| key);
        file.chain(self.overrides.iter().map(|(key, _)| key))
    }

    fn scalar<T: FromValue<'a>>(
        &self,
        key: &str,
        convert: impl Fn(&'a OverrideValue) -> Option<Result<T>>,
    ) -> Result<Option<T>> {
        let value = self
            .file
            .get(key)
            .map(|value| value.read(key))
            .transpose()?;
        match self.overrides.get(key) {
            None => Ok(value),
            Some(given) => convert(given).transpose()?.map(Some).ok_or_else(|| {
                Error::argument(format!(
                    "the override of {key} must be of type {}",
                    T::EXPECTED
                ))
            }),
        }
    }
}

/// The bytes before the first NUL.
pub(super) fn c_text(text: &[u8]) -> &[u8] {
    // Vocabularies have hundreds of thousands of texts without a NUL: eight bytes at a time.
    let (words, rest) = text.as_chunks();
    if words.iter().any(|word| has_nul(u64::from_le_bytes(*word))) || rest.contains(&0) {
        return text.split(|&byte| byte == 0).next().unwrap_or_default();
    }
    text
}

/// Whether a byte of the word is zero (Mycroft's test).
fn has_nul(word: u64) -> bool {
    const LOW: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    word.wrapping_sub(LOW) & !word & HIGH != 0
}

/// The elements of an integer or boolean array; `None` for other types and for negative numbers.
pub(super) fn integers(array: &ArrayRef<'_>) -> Option<Vec<u32>> {
    array
        .iter()
        .map(|value| match value {
            ValueRef::Bool(value) => Some(u32::from(value)),
            ValueRef::U32(value) => i32::try_from(value).ok().map(i32::cast_unsigned),
            ValueRef::I32(value) => u32::try_from(value).ok(),
            _ => None,
        })
        .collect()
}
