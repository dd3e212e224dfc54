//! Takes models and blobs out of the store, and nothing that is still in use.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::manifest::Manifest;
use super::manifests::Found;
use super::{Store, layout, storage};
use crate::digest::Digest;
use crate::error::{Kind, Result};
use crate::name::Name;

/// A blob that changed less than this ago may belong to a model whose manifest is still to come.
const GRACE: Duration = Duration::from_secs(60 * 60);

/// What removing a model took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many blobs.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Why blobs were left that may be unused.
    pub left: Option<String>,
}

/// What pruning took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many blobs and files that were never completed.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Why nothing was pruned.
    pub skipped: Option<String>,
}

/// The blobs that manifests name.
#[derive(Default)]
pub(super) struct InUse {
    pub(super) digests: HashSet<Digest>,
    /// The first manifest that may name more than could be read.
    pub(super) unreadable: Option<String>,
}

impl Store {
    /// Removes a model, also a damaged one, and its blobs that no other model uses.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such model; [`Kind::Storage`].
    pub fn remove(&self, name: &Name) -> Result<Removed> {
        let _lock = self.lock()?;
        let name = self.resolve(name)?;
        let path = self.manifest_path(&name);
        let digests = match self.manifest_bytes(&name) {
            Ok(bytes) => named_in(&bytes),
            Err(error) if error.kind() == Kind::Damaged => HashSet::new(),
            Err(error) => return Err(error),
        };
        let cannot = |error: io::Error| storage(format_args!("cannot remove '{name}'"), &error);
        fs::remove_file(&path).map_err(cannot)?;
        layout::sync_parent(&path).map_err(cannot)?;
        // The tag's folder and those above it go when they are empty.
        let mut dir = path.parent();
        for _ in 0..3 {
            match dir {
                Some(empty) if fs::remove_dir(empty).is_ok() => dir = empty.parent(),
                _ => break,
            }
        }
        self.remove_blobs(&digests)
    }

    /// Removes those of the blobs that no model uses (any more).
    ///
    /// # Errors
    /// [`Kind::Storage`].
    pub fn remove_unused(&self, blobs: &[Digest]) -> Result<Removed> {
        let _lock = self.lock()?;
        self.remove_blobs(&blobs.iter().copied().collect())
    }

    fn remove_blobs(&self, blobs: &HashSet<Digest>) -> Result<Removed> {
        let mut removed = Removed::default();
        let in_use = self.in_use()?;
        if let Some(manifest) = in_use.unreadable {
            removed.left = Some(format!("{manifest} can't be read and may use them"));
            return Ok(removed);
        }
        for digest in blobs.difference(&in_use.digests) {
            removed.add(&self.blob_path(digest))?;
        }
        Ok(removed)
    }

    /// Removes blobs that no model uses, and what writers that died have left. Never partial
    /// downloads, nothing younger than an hour, and nothing at all while a manifest can't be read,
    /// because nobody knows which blobs it uses.
    ///
    /// # Errors
    /// [`Kind::Storage`].
    pub fn prune(&self) -> Result<Pruned> {
        self.prune_before(SystemTime::now() - GRACE)
    }

    /// As [`prune`](Self::prune), of what last changed before this time.
    ///
    /// # Errors
    /// [`Kind::Storage`].
    pub fn prune_before(&self, time: SystemTime) -> Result<Pruned> {
        let _lock = self.lock()?;
        let in_use = self.in_use()?;
        if let Some(manifest) = in_use.unreadable {
            return Ok(Pruned {
                skipped: Some(format!("{manifest} is damaged; pull it again or remove it")),
                ..Pruned::default()
            });
        }
        let entries = match fs::read_dir(self.blobs_dir()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Pruned::default()),
            Err(error) => return Err(storage("cannot read the directory of blobs", &error)),
        };
        let mut removed = Removed::default();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let unused = match name.to_str() {
                Some(name) => match Digest::from_file_name(name) {
                    Some(digest) => !in_use.digests.contains(&digest),
                    None => is_left_over(&entry.path(), name),
                },
                None => false,
            };
            if unused && changed(&entry.path()).is_some_and(|changed| changed < time) {
                removed.add(&entry.path())?;
            }
        }
        Ok(Pruned {
            blobs: removed.blobs,
            bytes: removed.bytes,
            skipped: None,
        })
    }

    /// Gives blobs the names that Ollama uses since its version 0.1.29.
    ///
    /// # Errors
    /// [`Kind::Storage`].
    pub fn rename_old_blobs(&self) -> Result<()> {
        let Ok(entries) = fs::read_dir(self.blobs_dir()) else {
            return Ok(());
        };
        for entry in entries.flatten() {
            if let Some(digest) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            {
                fs::rename(entry.path(), self.blob_path(&digest)).map_err(|error| {
                    storage(format_args!("cannot rename blob {digest}"), &error)
                })?;
            }
        }
        Ok(())
    }

    pub(super) fn in_use(&self) -> Result<InUse> {
        let mut in_use = InUse::default();
        for Found { name, place, bytes } in self.found()? {
            let unreadable = match bytes {
                Ok((bytes, _)) => {
                    in_use.digests.extend(named_in(&bytes));
                    serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_err()
                }
                Err(_) => true,
            };
            if unreadable && in_use.unreadable.is_none() {
                in_use.unreadable = Some(name.map_or(place, |name| name.to_string()));
            }
        }
        Ok(in_use)
    }
}

/// Every digest that a manifest names, also one that is not valid.
fn named_in(manifest: &[u8]) -> HashSet<Digest> {
    let mut digests: HashSet<Digest> = Manifest::parse(manifest)
        .map(|manifest| manifest.blobs().map(|layer| layer.digest).collect())
        .unwrap_or_default();
    const LENGTH: usize = "sha256:".len() + 64;
    digests.extend(manifest.windows(LENGTH).filter_map(|window| {
        window.starts_with(b"sha256").then_some(())?;
        std::str::from_utf8(window).ok()?.parse::<Digest>().ok()
    }));
    digests
}

impl Removed {
    fn add(&mut self, path: &Path) -> Result<()> {
        let bytes = fs::symlink_metadata(path).map_or(0, |found| found.len());
        match fs::remove_file(path) {
            Ok(()) => {
                self.blobs += 1;
                self.bytes += bytes;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(storage("cannot remove a blob", &error)),
        }
    }
}

/// Whether this is a file of a writer that died. Partial downloads are not.
pub(super) fn is_left_over(path: &Path, name: &str) -> bool {
    match is_ours(name) {
        true => is_abandoned(path),
        false => is_ollamas(name),
    }
}

/// Whether this is a file of [`BlobWriter`](super::BlobWriter).
fn is_ours(name: &str) -> bool {
    name.starts_with(layout::UNFINISHED)
}

/// Whether this is what Ollama calls blobs while it writes them; partial downloads have other names.
fn is_ollamas(name: &str) -> bool {
    name.strip_prefix("sha256-").is_some_and(|rest| {
        (1..=20).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Whether nobody writes this file any more.
fn is_abandoned(path: &Path) -> bool {
    let file = fs::File::options().write(true).open(path);
    file.is_ok_and(|file| fs4::FileExt::try_lock(&file).is_ok())
}

/// When a file was written or got its name, whatever was later.
fn changed(path: &Path) -> Option<SystemTime> {
    let found = fs::symlink_metadata(path).ok()?;
    Some(found.modified().ok()?.max(linked_at(&found)))
}

/// When the file got its last name: a file that was linked here is older than its blob.
#[cfg(unix)]
fn linked_at(found: &fs::Metadata) -> SystemTime {
    use std::os::unix::fs::MetadataExt;
    let seconds = u64::try_from(found.ctime()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(not(unix))]
fn linked_at(found: &fs::Metadata) -> SystemTime {
    found.created().unwrap_or(SystemTime::UNIX_EPOCH)
}
