//! From the bytes of a Modelfile to its text.

use std::borrow::Cow;

use super::{at_line, invalid};
use crate::error::Result;

/// The text without its byte order mark. Without one it is UTF-8.
pub(super) fn text(bytes: &[u8]) -> Result<Cow<'_, str>> {
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => utf8(bytes),
    }
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        at_line(
            line,
            "the Modelfile is neither UTF-8 nor UTF-16 with a byte order mark",
        )
    })?;
    Ok(Cow::Borrowed(text))
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'static, str>> {
    let (units, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(invalid(
            "the Modelfile is UTF-16 and ends within a character",
        ));
    }
    let mut text = String::with_capacity(units.len());
    let mut line = 1;
    for decoded in char::decode_utf16(units.iter().map(|two| unit(*two))) {
        let c = decoded
            .map_err(|_| at_line(line, "the Modelfile is UTF-16 with half a surrogate pair"))?;
        line += usize::from(c == '\n');
        text.push(c);
    }
    Ok(Cow::Owned(text))
}
