//! The bytes of a GGUF file: mapped from the file system, or owned.

use std::fs;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use crate::error::{Error, ErrorKind, Result};

/// Bytes that stay where they are for as long as this lives.
#[derive(Debug)]
pub(super) enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Bytes {
    /// Maps the whole file; `path` is for messages alone.
    pub(super) fn map(file: &fs::File, path: &Path) -> Result<Self> {
        let metadata = file
            .metadata()
            .map_err(|source| Error::io("cannot examine the file", path, source))?;
        if !metadata.is_file() {
            return Err(Error::new(ErrorKind::Io, "this is not a regular file").with_path(path));
        }
        if metadata.len() == 0 {
            return Err(Error::new(ErrorKind::InvalidGguf, "the file is empty").with_path(path));
        }
        let mapped =
            map_file(file).map_err(|source| Error::io("cannot map the file", path, source))?;
        Ok(Self::Mapped(mapped))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

#[allow(
    unsafe_code,
    reason = "mapping a file is unsafe by nature; this is the one place"
)]
fn map_file(file: &fs::File) -> std::io::Result<Mmap> {
    // SAFETY: the map is private and read-only, so nothing in this process changes the bytes. The
    // user of the library upholds that nobody else does while the file is open, as the
    // documentation of `gguf::File` demands: truncating the file raises SIGBUS on the next read of
    // the missing part, rewriting it in place makes later reads see other bytes. Every read is
    // bounds-checked against the length of the map and any bytes are valid as `u8`, so changed
    // bytes lead to wrong numbers or errors, never to reads outside the map.
    unsafe { Mmap::map(file) }
}
