//! One sequence as bytes or a file: header, model fingerprint, token record, state, checksum.

use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::KvCache;
use crate::atomic_file;
use crate::batch::SeqId;
use crate::error::{Error, ErrorKind, Result};
use crate::token::Token;

/// Starts every saved sequence; the last byte is the format's version.
const MAGIC: [u8; 8] = *b"LKITSEQ\x01";

impl KvCache {
    /// Saves a sequence as bytes (`llama_state_seq_get_data`): the memory's content and the record
    /// of its tokens, bound to this model and to the parameters that shape the memory.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a sequence that does not exist; [`ErrorKind::State`]
    /// while a shift or a copy between streams is pending; [`ErrorKind::Io`] when the model's file can no longer be read.
    pub fn save_sequence(&mut self, seq: SeqId) -> Result<Vec<u8>> {
        let index = self.check_sequence(seq)?;
        self.check_settled()?;
        let fingerprint = self.model.fingerprint()?;
        let got = self.raw.state_get(seq.raw(), 0);
        let state = self.poison_on_fault(got)?;
        let entries = self.ledger.entries(index);
        let mut out = Vec::with_capacity(64 + entries.len() * 8 + state.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&fingerprint.0);
        out.extend_from_slice(&xxh3_64(self.layout.as_bytes()).to_le_bytes());
        out.extend_from_slice(&(entries.len() as u64).to_le_bytes());
        for entry in entries {
            out.extend_from_slice(&entry.position.to_le_bytes());
            out.extend_from_slice(&entry.token.0.to_le_bytes());
        }
        out.extend_from_slice(&(state.len() as u64).to_le_bytes());
        out.extend_from_slice(&state);
        let checksum = xxh3_64(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        Ok(out)
    }

    /// Puts a saved sequence in the place of `seq` (`llama_state_seq_set_data`).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::State`] when the bytes are damaged, of another model, or of a context whose
    /// parameters shape the memory differently: nothing is changed then. When upstream itself
    /// refuses them, `seq` is empty afterwards.
    pub fn restore_sequence(&mut self, seq: SeqId, saved: &[u8]) -> Result<()> {
        let index = self.check_sequence(seq)?;
        self.check_settled()?;
        let saved = Saved::parse(saved)?;
        if saved.fingerprint != self.model.fingerprint()?.0 {
            return Err(refused("it was saved with another model"));
        }
        if saved.layout != xxh3_64(self.layout.as_bytes()) {
            return Err(refused(
                "it was saved by a context with other cache types, streams, adapters or attention",
            ));
        }
        for &(_, token) in &saved.entries {
            self.model.vocab().check_token(token)?;
        }
        if saved.entries.len() > self.capacity() {
            return Err(refused(&format!(
                "it has {} tokens, this context holds {}",
                saved.entries.len(),
                self.capacity()
            )));
        }
        self.remove_sequence(seq)?;
        if saved.entries.is_empty() {
            return Ok(());
        }
        let (restored, log) = self.raw.state_set(seq.raw(), saved.state, 0);
        let restored = self.poison_on_fault(restored)?;
        if !restored {
            self.remove_sequence(seq)?;
            return Err(refused("upstream does not accept it").with_log(log));
        }
        let stored = self.raw.memory_seq_pos(seq.raw());
        let (first, last) = self.poison_on_fault(stored)?;
        let expected_last = saved.entries.last().map_or(-1, |entry| entry.0);
        if first < 0 || last != expected_last {
            // Cells at impossible positions survive the removal of their sequence.
            self.clear()?;
            return Err(refused(&format!(
                "its memory ends at position {last}, its record at {expected_last}; \
                 the whole cache was cleared"
            )));
        }
        self.ledger.replace(index, saved.entries);
        Ok(())
    }

    /// Saves a sequence to a file of mode 0600, replacing it atomically.
    ///
    /// # Errors
    ///
    /// As [`save_sequence`](Self::save_sequence); [`ErrorKind::Io`] when the file cannot be
    /// written: an existing one stays as it was.
    pub fn save_sequence_to(&mut self, seq: SeqId, path: impl AsRef<Path>) -> Result<()> {
        let bytes = self.save_sequence(seq)?;
        atomic_file::write_private(path.as_ref(), &bytes)
    }

    /// Restores a sequence from a file.
    ///
    /// # Errors
    ///
    /// As [`restore_sequence`](Self::restore_sequence); [`ErrorKind::Io`] when the file cannot be
    /// read.
    pub fn restore_sequence_from(&mut self, seq: SeqId, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = std::fs::read(path)
            .map_err(|error| Error::io("cannot read the saved sequence", path, error))?;
        self.restore_sequence(seq, &bytes)
            .map_err(|error| error.with_path(path))
    }
}

struct Saved<'a> {
    fingerprint: [u8; 16],
    layout: u64,
    entries: Vec<(i32, Token)>,
    state: &'a [u8],
}

impl<'a> Saved<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self> {
        let truncated = || refused("it is cut short");
        let (rest, magic) = bytes
            .split_first_chunk::<8>()
            .map(|(a, b)| (b, a))
            .ok_or_else(truncated)?;
        if magic[..7] != MAGIC[..7] {
            return Err(refused("it is no saved sequence"));
        }
        if magic[7] != MAGIC[7] {
            return Err(refused(&format!(
                "its format is version {}, not {}",
                magic[7], MAGIC[7]
            )));
        }
        let (content, checksum) = bytes
            .split_last_chunk::<8>()
            .map(|(a, b)| (a, *b))
            .ok_or_else(truncated)?;
        if u64::from_le_bytes(checksum) != xxh3_64(content) {
            return Err(refused("its checksum is wrong"));
        }
        let mut reader = Reader {
            rest: &rest[..rest.len().saturating_sub(8)],
        };
        let fingerprint = reader.array::<16>().ok_or_else(truncated)?;
        let layout = reader.u64().ok_or_else(truncated)?;
        let count =
            usize::try_from(reader.u64().ok_or_else(truncated)?).map_err(|_| truncated())?;
        let size = count.checked_mul(8).ok_or_else(truncated)?;
        let record = reader.take(size).ok_or_else(truncated)?;
        let entries: Vec<(i32, Token)> = record
            .chunks_exact(8)
            .map(|entry| {
                let position = [entry[0], entry[1], entry[2], entry[3]];
                let token = [entry[4], entry[5], entry[6], entry[7]];
                (
                    i32::from_le_bytes(position),
                    Token(i32::from_le_bytes(token)),
                )
            })
            .collect();
        if entries.first().is_some_and(|entry| entry.0 < 0)
            || entries.windows(2).any(|pair| pair[0].0 >= pair[1].0)
        {
            return Err(refused("its positions do not ascend"));
        }
        let size = usize::try_from(reader.u64().ok_or_else(truncated)?).map_err(|_| truncated())?;
        let state = reader.take(size).ok_or_else(truncated)?;
        if !reader.rest.is_empty() {
            return Err(refused("it has bytes after its end"));
        }
        Ok(Self {
            fingerprint,
            layout,
            entries,
            state,
        })
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, size: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(size)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

fn refused(why: &str) -> Error {
    Error::new(
        ErrorKind::State,
        format!("cannot restore the sequence: {why}"),
    )
}
