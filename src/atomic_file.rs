//! Writes a file so that readers see the old content or the new, never a part.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "inference")]
use crate::error::{Error, Result};

/// Writes `bytes` to `path`, readable and writable by its owner only.
#[cfg(feature = "inference")]
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, true, |file| io::Write::write_all(file, bytes))
        .map_err(|error| Error::io("cannot write the file", path, error))
}

/// Lets `fill` write into a new file beside `path` by its name, which is then renamed over `path`.
#[cfg(feature = "inference")]
pub(crate) fn make(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let cannot_write = |source| Error::io("cannot write the file", path, source);
    let temporary = beside(path).map_err(cannot_write)?;
    let made = create(&temporary, false)
        .map_err(cannot_write)
        .and_then(|_| fill(&temporary))
        .and_then(|()| {
            let file = fs::OpenOptions::new().write(true).open(&temporary);
            file.and_then(|file| file.sync_all())
                .and_then(|()| fs::rename(&temporary, path))
                .map_err(cannot_write)
        });
    if made.is_err() {
        // The first error is the one to report; a file that was never made cannot be removed.
        let _ = fs::remove_file(&temporary);
    }
    made
}

/// Writes to a new file beside `path`, which is then renamed over it.
pub(crate) fn write(
    path: &Path,
    private: bool,
    content: impl FnOnce(&mut fs::File) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = beside(path)?;
    let written = create(&temporary, private)
        .and_then(|mut file| {
            content(&mut file)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report; a file that was never made cannot be removed.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn create(path: &Path, private: bool) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = private;
    options.open(path)
}

/// A name in the same folder that no other writer uses.
fn beside(path: &Path) -> io::Result<PathBuf> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    temporary.push(format!(".{}-{number}.tmp", std::process::id()));
    Ok(path.with_file_name(temporary))
}
