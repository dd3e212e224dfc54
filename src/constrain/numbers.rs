//! Follows JSON text byte by byte, and keeps numbers within what every parser reads.

use super::limits;

/// Where in a JSON text the last byte was. The text is valid JSON, which the grammar sees to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// In no string and no number.
    #[default]
    Between,
    InString,
    /// After a backslash in a string.
    Escaped,
    /// In a number, after so many digits of the part.
    Number(Part, u8),
}

/// A part of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Integer,
    Fraction,
    Exponent,
}

impl Part {
    fn most(self) -> u8 {
        match self {
            Self::Integer => limits::INT_DIGITS,
            Self::Fraction => limits::FRACTION_DIGITS,
            Self::Exponent => limits::EXPONENT_DIGITS,
        }
    }
}

impl Place {
    /// The place after these bytes; `None` if a number gets too long in them.
    pub(super) fn after(self, bytes: &[u8]) -> Option<Self> {
        bytes.iter().try_fold(self, |place, &byte| place.step(byte))
    }

    fn step(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Escaped, _) => Self::InString,
            (Self::InString, b'\\') => Self::Escaped,
            (Self::InString, b'"') => Self::Between,
            (Self::InString, _) => Self::InString,
            (_, b'"') => Self::InString,
            (Self::Number(part, count), b'0'..=b'9') if count < part.most() => {
                Self::Number(part, count + 1)
            }
            (Self::Number(..), b'0'..=b'9') => return None,
            (_, b'0'..=b'9') => Self::Number(Part::Integer, 1),
            (Self::Number(..), b'.') => Self::Number(Part::Fraction, 0),
            (Self::Number(..), b'e' | b'E') => Self::Number(Part::Exponent, 0),
            // The sign of an exponent.
            (Self::Number(Part::Exponent, 0), b'+' | b'-') => self,
            _ => Self::Between,
        })
    }
}
