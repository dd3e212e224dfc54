//! What a blob is called by: the SHA-256 of its bytes.

use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Digest as _;

use crate::error::{Error, Kind, Result, shown};

/// How much of a digest that was refused its error repeats.
const MAX_SHOWN: usize = 100;

/// The SHA-256 of something, written `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of all that `reader` gives.
    ///
    /// # Errors
    /// What reading fails with.
    pub fn of(reader: impl Read) -> io::Result<Self> {
        let mut hasher = Hasher::new();
        io::copy(&mut BufReader::with_capacity(1 << 18, reader), &mut hasher)?;
        Ok(hasher.finish())
    }

    /// The digest of these bytes.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Reads what [`file_name`](Self::file_name) gives.
    #[must_use]
    pub fn from_file_name(name: &str) -> Option<Self> {
        from_hex(name.strip_prefix("sha256-")?)
    }

    /// The name of a blob's file: `sha256-` and the digits.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("sha256-{}", self.hex())
    }

    /// The 64 digits alone.
    #[must_use]
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |n: u8| char::from(DIGITS[usize::from(n & 15)]);
        self.0
            .iter()
            .flat_map(|&b| [digit(b >> 4), digit(b)])
            .collect()
    }

    /// The first 12 digits, which people see.
    #[must_use]
    pub fn short(&self) -> String {
        let mut hex = self.hex();
        hex.truncate(12);
        hex
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn from_hex(hex: &str) -> Option<Digest> {
    let digits: &[u8; 64] = hex.as_bytes().try_into().ok()?;
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(Digest(bytes))
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.strip_prefix("sha256:").and_then(from_hex).ok_or_else(|| {
            let shown = shown(text, MAX_SHOWN);
            Error::new(
                Kind::Invalid,
                format!("invalid digest {shown:?}: it is not sha256: and 64 lower-case hexadecimal digits"),
            )
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Makes a [`Digest`] of bytes that come in pieces.
#[derive(Debug, Clone)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// Of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self(sha2::Sha256::new())
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that was added.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn is_what_sha256sum_says() {
        assert_eq!(Digest::of(io::empty()).unwrap().to_string(), EMPTY);
        let abc = Digest::of_bytes(b"abc");
        assert_eq!(abc.short(), "ba7816bf8f01");
        assert_eq!(abc.file_name(), format!("sha256-{}", abc.hex()));
        assert_eq!(Digest::from_file_name(&abc.file_name()), Some(abc));
        assert_eq!(abc.to_string().parse::<Digest>().unwrap(), abc);
        let json = serde_json::to_string(&abc).unwrap();
        assert_eq!(json, format!("\"{abc}\""));
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), abc);
    }

    // CVE-2024-37032: a digest became a path that led out of the store.
    #[test]
    fn nothing_that_is_no_digest_is_one() {
        let hex = &EMPTY[7..];
        let traversal = "sha256:../x".to_owned() + &"/".repeat(60);
        for text in [
            "",
            "sha256:",
            hex,
            "sha256:../../x",
            "sha256-../../x",
            "sha256:..",
            "../../x",
            &format!("sha256:{}", &hex[1..]),
            &format!("sha256:{hex}0"),
            &format!("sha256-{hex}"),
            &format!("sha256:{}", hex.to_uppercase()),
            &format!("SHA256:{hex}"),
            &format!("sha256:{}/", &hex[1..]),
            &format!("sha256:{}g", &hex[1..]),
            &format!("sha256:{}\0", &hex[1..]),
            &format!(" {EMPTY}"),
            &format!("{EMPTY}\n"),
            &format!("sha512:{hex}"),
            &format!("sha256:{hex}/../../x"),
            &traversal,
            &format!("sha256:{}", "é".repeat(32)),
        ] {
            assert_eq!(
                text.parse::<Digest>().unwrap_err().kind(),
                Kind::Invalid,
                "{text:?}"
            );
            if !text.starts_with("sha256-e3") {
                assert_eq!(Digest::from_file_name(text), None, "{text:?}");
            }
        }
        let long = "x".repeat(1 << 20).parse::<Digest>().unwrap_err();
        assert!(long.to_string().len() < 300);
    }
}
