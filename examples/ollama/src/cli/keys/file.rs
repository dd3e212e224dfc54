//! The file of keys: changed as a whole or not at all, by one program at a time, and read by nobody else.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::server::keys;

/// The text of the file; none, when there is no file.
pub(super) fn read(path: &Path) -> Result<String> {
    match keys::read(path) {
        Err(error) if error.kind() == Kind::NotFound => Ok(String::new()),
        read => read,
    }
}

/// Puts another text into the file's place.
pub(super) fn change(path: &Path, edit: impl FnOnce(String) -> Result<String>) -> Result<()> {
    let cannot = |error: io::Error| {
        let message = format!("cannot change {}: {error}", path.display());
        Error::new(Kind::Storage, message)
    };
    // What a link points at is changed, and the link stays.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    fs::create_dir_all(&folder).map_err(cannot)?;
    let _lock = lock(&folder).map_err(cannot)?;
    let text = edit(read(path)?)?;
    let mut new = tempfile::Builder::new()
        .prefix(".keys-")
        .tempfile_in(&folder)
        .map_err(cannot)?;
    let written = new
        .write_all(text.as_bytes())
        .and_then(|()| like_before(path, new.as_file()))
        .and_then(|()| new.as_file().sync_all());
    written.map_err(cannot)?;
    new.persist(path).map_err(|failed| cannot(failed.error))?;
    if cfg!(unix) {
        File::open(&folder)
            .and_then(|folder| folder.sync_all())
            .map_err(cannot)?;
    }
    Ok(())
}

/// Held while the file is changed. Folders can be locked on Unix alone.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    if !cfg!(unix) {
        return Ok(None);
    }
    let folder = File::open(folder)?;
    match fs4::FileExt::lock(&folder) {
        Err(error) if error.kind() != io::ErrorKind::Unsupported => Err(error),
        _ => Ok(Some(folder)),
    }
}

/// The new file belongs to whom the old one belongs, and their group may read it if nobody else might: a server
/// runs as another user than who adds keys. Without an old one it is its owner's alone.
#[cfg(unix)]
fn like_before(old: &Path, new: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

    let found = match fs::metadata(old) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return new.set_permissions(fs::Permissions::from_mode(0o600));
        }
        found => found?,
    };
    let own = new.metadata()?;
    if (own.uid(), own.gid()) != (found.uid(), found.gid()) {
        fchown(new, Some(found.uid()), Some(found.gid()))?;
    }
    let mode = match found.mode() & 0o777 {
        mode if mode & 0o007 == 0 => mode & 0o640 | 0o600,
        _ => 0o600,
    };
    new.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn like_before(_: &Path, _: &File) -> io::Result<()> {
    Ok(())
}
