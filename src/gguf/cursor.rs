//! Reads little-endian numbers and strings from bytes and never past their end.

use std::ops::Range;

use crate::error::{Error, ErrorKind, Result};

/// A position in the bytes of a file, and how to read on from there.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Bytes left.
    pub(super) fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// Passes over `count` bytes and says where they are; `what` names them in the error.
    pub(super) fn skip(&mut self, count: u64, what: &str) -> Result<Range<usize>> {
        if count > self.remaining() as u64 {
            return Err(invalid(format!(
                "the file ends inside {what}: {count} bytes wanted at byte {}, {} left",
                self.position,
                self.remaining()
            )));
        }
        let start = self.position;
        self.position += count as usize;
        Ok(start..self.position)
    }

    /// The length-prefixed string here, as a range of the file.
    pub(super) fn string(&mut self, what: &str) -> Result<Range<usize>> {
        let length = self.u64(what)?;
        self.skip(length, what)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        match self.bytes[self.position..].first_chunk() {
            Some(chunk) => {
                self.position += N;
                Ok(*chunk)
            }
            None => Err(invalid(format!(
                "the file ends inside {what}: {N} bytes wanted at byte {}, {} left",
                self.position,
                self.remaining()
            ))),
        }
    }
}

/// An [`ErrorKind::InvalidGguf`] error.
#[cold]
pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidGguf, message)
}

/// The text in quotes, escaped, and cut when it is long: for messages about hostile files.
pub(super) fn quote(text: &[u8]) -> String {
    const LONGEST: usize = 96;
    if text.len() <= LONGEST {
        format!("{:?}", String::from_utf8_lossy(text))
    } else {
        format!(
            "{:?}... ({} bytes)",
            String::from_utf8_lossy(&text[..LONGEST]),
            text.len()
        )
    }
}
