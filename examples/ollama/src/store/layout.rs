//! Where things are, and how a file comes to be there at once.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::Store;
use crate::digest::Digest;
use crate::name::Name;

/// How the names of files begin that are not complete yet.
pub(super) const UNFINISHED: &str = ".tmp-";

impl Store {
    pub(super) fn manifests_dir(&self) -> PathBuf {
        self.root.join("manifests")
    }

    /// Where blobs are, and what is on the way to become one.
    #[must_use]
    pub fn blobs_dir(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub(super) fn manifest_path(&self, name: &Name) -> PathBuf {
        let mut path = self.manifests_dir();
        path.extend(name.parts());
        path
    }

    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blobs_dir().join(digest.file_name())
    }
}

/// A file without a lasting name in a folder, which is made when it is missing.
pub(super) fn unfinished(dir: &Path) -> io::Result<NamedTempFile> {
    fs::create_dir_all(dir)?;
    tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(dir)
}

/// Gives a complete file its name, for good: it is there after a power cut as well.
pub(super) fn name_it(file: NamedTempFile, path: &Path) -> io::Result<()> {
    readable_by_all(file.as_file())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|failed| failed.error)?;
    sync_parent(path)
}

/// Writes a whole file at once.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = unfinished(dir)?;
    file.write_all(bytes)?;
    name_it(file, path)
}

/// Makes sure that what was named or removed in the folder of `path` stays so.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) if cfg!(unix) => File::open(dir)?.sync_all(),
        _ => Ok(()),
    }
}

/// Temporary files are for their owner alone; a server may run as another user.
#[cfg(unix)]
fn readable_by_all(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(_: &File) -> io::Result<()> {
    Ok(())
}
