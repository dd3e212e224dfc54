//! Looks for texts in a stream of bytes, cut anywhere.

use super::limits;
use crate::error::{Error, Result};

/// Texts to wait for: Knuth, Morris and Pratt's search, one per text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Triggers {
    texts: Vec<Text>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Text {
    bytes: Vec<u8>,
    /// Of each prefix, the length of the longest shorter one that it ends with.
    back: Vec<u16>,
}

/// How much of each text the bytes so far end with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Found([u16; limits::TRIGGERS]);

impl Triggers {
    pub(super) fn add(&mut self, text: &str) -> Result<()> {
        let bytes = text.as_bytes().to_vec();
        if bytes.is_empty() || bytes.len() > limits::TRIGGER_BYTES {
            return Err(Error::argument(format!(
                "a text to wait for has {} bytes; it may have 1 to {}",
                bytes.len(),
                limits::TRIGGER_BYTES
            )));
        }
        if self.texts.len() >= limits::TRIGGERS {
            return Err(Error::argument(format!(
                "more than {} texts to wait for",
                limits::TRIGGERS
            )));
        }
        let mut back = vec![0; bytes.len()];
        for end in 1..bytes.len() {
            back[end] = step(&bytes, &back, back[end - 1], bytes[end]);
        }
        self.texts.push(Text { bytes, back });
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether a text ends with this byte, so that it can be the one that completes it.
    pub(super) fn end_with(&self, byte: u8) -> bool {
        self.texts
            .iter()
            .any(|text| text.bytes.last() == Some(&byte))
    }

    /// Reads bytes up to the end of the first text that is complete: the length read, or what is found
    /// so far.
    pub(super) fn search(&self, mut found: Found, bytes: &[u8]) -> Result<usize, Found> {
        for (index, &byte) in bytes.iter().enumerate() {
            for (text, found) in self.texts.iter().zip(&mut found.0) {
                *found = step(&text.bytes, &text.back, *found, byte);
                if usize::from(*found) == text.bytes.len() {
                    return Ok(index + 1);
                }
            }
        }
        Err(found)
    }
}

fn step(bytes: &[u8], back: &[u16], mut found: u16, byte: u8) -> u16 {
    loop {
        if bytes.get(usize::from(found)) == Some(&byte) {
            return found + 1;
        }
        let Some(before) = found.checked_sub(1) else {
            return 0;
        };
        found = back[usize::from(before)];
    }
}
