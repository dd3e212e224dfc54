//! The file of one prefix: a header that says whose state follows and has a checksum of its own, so
//! that it can be read alone; then the state as `KvCache::save_sequence` wrote it, with its checksum.

use std::io::{self, Read};

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::Fingerprint;
use crate::token::Token;

/// Starts every file; the last byte is the format's version.
const MAGIC: [u8; 8] = *b"LKITKVS\x01";
/// Magic, model, settings, and the lengths of namespace, tokens and state.
const FIXED: usize = 8 + 16 + 16 + 4 + 4 + 8;
const CHECKSUM: usize = 8;
/// Longest name of a namespace in bytes.
pub(super) const MAX_NAMESPACE: usize = 1 << 16;

/// Whose state an engine can use: of this model, computed with these settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct Owner {
    model: [u8; 16],
    settings: [u8; 16],
}

impl Owner {
    pub(in crate::engine) fn new(model: Fingerprint, settings: &str) -> Self {
        Self {
            model: model.0,
            settings: xxh3_128(settings.as_bytes()).to_le_bytes(),
        }
    }
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) namespace: String,
    pub(super) tokens: Vec<Token>,
    pub(super) state_len: u64,
}

/// A header as bytes; the state goes after them.
pub(super) fn encode(owner: &Owner, namespace: &str, tokens: &[Token], state_len: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(FIXED + namespace.len() + tokens.len() * 4 + CHECKSUM);
    let len = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&owner.model);
    out.extend_from_slice(&owner.settings);
    out.extend_from_slice(&len(namespace.len()));
    out.extend_from_slice(&len(tokens.len()));
    out.extend_from_slice(&state_len.to_le_bytes());
    out.extend_from_slice(namespace.as_bytes());
    for token in tokens {
        out.extend_from_slice(&token.0.to_le_bytes());
    }
    let checksum = xxh3_64(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// Reads and checks the header of a file of `file_len` bytes; the state is what `file` reads next.
/// More tokens than `most_tokens` are refused before any memory is taken for them.
pub(super) fn decode(
    file: &mut impl Read,
    file_len: u64,
    owner: &Owner,
    most_tokens: usize,
) -> Result<Header> {
    let mut head = vec![0; FIXED];
    fill(file, &mut head)?;
    if head[..7] != MAGIC[..7] {
        return Err(refused("it is no saved prefix"));
    }
    if head[7] != MAGIC[7] {
        return Err(refused(&format!(
            "its format is version {}, not {}",
            head[7], MAGIC[7]
        )));
    }
    if head[8..24] != owner.model {
        return Err(refused("it is of another model"));
    }
    if head[24..40] != owner.settings {
        return Err(refused("it was computed with other settings"));
    }
    let number =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let namespace_len = number(40) as usize;
    let n_tokens = number(44) as usize;
    let state_len = u64::from(number(48)) | u64::from(number(52)) << 32;
    if namespace_len > MAX_NAMESPACE || n_tokens == 0 {
        return Err(refused("its lengths are out of range"));
    }
    if n_tokens > most_tokens {
        return Err(refused(&format!(
            "it has {n_tokens} tokens, this engine has {most_tokens} cells"
        )));
    }
    let rest = namespace_len + n_tokens * 4 + CHECKSUM;
    let whole = state_len.checked_add((FIXED + rest) as u64);
    if whole != Some(file_len) {
        return Err(refused("its length is not what its header says"));
    }
    head.resize(FIXED + rest, 0);
    fill(file, &mut head[FIXED..])?;
    let (content, checksum) = head.split_at(FIXED + rest - CHECKSUM);
    if xxh3_64(content).to_le_bytes() != checksum {
        return Err(refused("the checksum of its header is wrong"));
    }
    let (namespace, tokens) = content[FIXED..].split_at(namespace_len);
    let namespace = std::str::from_utf8(namespace)
        .map_err(|_| refused("its namespace is not valid text"))?
        .to_owned();
    let tokens = tokens
        .chunks_exact(4)
        .map(|id| Token(i32::from_le_bytes([id[0], id[1], id[2], id[3]])))
        .collect();
    Ok(Header {
        namespace,
        tokens,
        state_len,
    })
}

fn fill(file: &mut impl Read, buffer: &mut [u8]) -> Result<()> {
    file.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => refused("it is cut short"),
        _ => refused(&format!("it cannot be read: {error}")),
    })
}

pub(super) fn refused(why: &str) -> Error {
    Error::new(ErrorKind::State, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn owner() -> Owner {
        Owner::new(Fingerprint([7; 16]), "settings")
    }

    fn file(namespace: &str, tokens: &[i32], state: &[u8]) -> Vec<u8> {
        let tokens: Vec<Token> = tokens.iter().copied().map(Token).collect();
        let mut bytes = encode(&owner(), namespace, &tokens, state.len() as u64);
        bytes.extend_from_slice(state);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Header> {
        decode(&mut &bytes[..], bytes.len() as u64, &owner(), 100)
    }

    #[track_caller]
    fn assert_refused(bytes: &[u8], why: &str) {
        let error = read(bytes).unwrap_err();
        assert!(error.message().contains(why), "{error}");
    }

    #[test]
    fn each_reason_to_refuse_is_said() {
        let good = file("space", &[1, 2, 3], b"state");
        let at = |place: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[place] = value;
            bytes
        };
        assert_refused(b"", "cut short");
        assert_refused(&good[..good.len() - 1], "length");
        assert_refused(&[&good[..], b"x"].concat(), "length");
        assert_refused(&at(0, b'G'), "no saved prefix");
        assert_refused(&at(7, 2), "version 2");
        assert_refused(&at(8, 1), "another model");
        assert_refused(&at(24, !good[24]), "other settings");
        assert_refused(&at(42, 0xff), "out of range");
        assert_refused(&at(44, 0), "out of range");
        assert_refused(&at(44, 101), "101 tokens");
        assert_refused(&at(55, 0xff), "length");
        assert_refused(&at(56, b'S'), "checksum");
        assert_refused(&at(61, 9), "checksum");
        let many: Vec<i32> = (0..101).collect();
        assert_refused(&file("", &many, b""), "101 tokens");
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            namespace in ".{0,20}",
            tokens in proptest::collection::vec(any::<i32>(), 1..100),
            state in proptest::collection::vec(any::<u8>(), 0..50),
        ) {
            let bytes = file(&namespace, &tokens, &state);
            let mut rest = &bytes[..];
            let header = decode(&mut rest, bytes.len() as u64, &owner(), 100).unwrap();
            prop_assert_eq!(header.namespace, namespace);
            prop_assert_eq!(header.tokens, tokens.into_iter().map(Token).collect::<Vec<_>>());
            prop_assert_eq!((header.state_len, rest), (state.len() as u64, &state[..]));
        }

        #[test]
        fn a_changed_header_is_refused(
            place in 0..FIXED + 5 + 40 + CHECKSUM,
            change in 1..=u8::MAX,
            cut in 0..FIXED + 5 + 40 + CHECKSUM,
        ) {
            let good = file("space", &[5; 10], b"state");
            let mut bytes = good.clone();
            bytes[place] ^= change;
            prop_assert!(read(&bytes).is_err());
            prop_assert!(read(&good[..cut]).is_err());
        }

        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), len: u64) {
            let mut bytes = bytes;
            let start = bytes.len().min(40);
            bytes[..start].copy_from_slice(&file("", &[1], b"")[..start]);
            prop_assert!(decode(&mut &bytes[..], len, &owner(), usize::MAX / 8).is_err());
        }
    }
}
