//! Downloads on the way: a folder of their own, because the original program removes from its folder of
//! blobs at every start what is not complete.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Store, layout, storage};
use crate::digest::Digest;
use crate::error::Result;

/// A download that the original program has not completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign {
    /// What it will be.
    pub digest: Digest,
    /// Bytes that are here.
    pub completed: u64,
    /// Bytes of it.
    pub total: u64,
}

/// What the original program notes of a part.
#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Part {
    #[serde(default)]
    size: u64,
    #[serde(default)]
    completed: u64,
}

/// Bytes of such a note at most.
const MAX_NOTE: u64 = 4096;

impl Store {
    /// Downloads of the original program, in its own format, that are not complete. Nothing here goes on with them.
    #[must_use]
    pub fn foreign_partials(&self) -> Vec<Foreign> {
        let mut found: BTreeMap<Digest, Foreign> = BTreeMap::new();
        for entry in fs::read_dir(self.blobs_dir())
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name();
            let Some((blob, part)) = name.to_str().and_then(|name| name.split_once("-partial"))
            else {
                continue;
            };
            let Some(digest) = Digest::from_file_name(blob) else {
                continue;
            };
            let foreign = found.entry(digest).or_insert(Foreign {
                digest,
                completed: 0,
                total: 0,
            });
            let short = entry.metadata().is_ok_and(|found| found.len() <= MAX_NOTE);
            if !part.starts_with('-') || !short {
                continue;
            }
            let note = fs::read(entry.path()).unwrap_or_default();
            if let Ok(part) = serde_json::from_slice::<Part>(&note) {
                foreign.completed = foreign.completed.saturating_add(part.completed);
                foreign.total = foreign.total.saturating_add(part.size);
            }
        }
        found.into_values().collect()
    }

    /// Where downloads are until they are complete.
    pub(crate) fn partial_dir(&self) -> PathBuf {
        self.root.join("partial")
    }

    /// Makes a complete file of [`partial_dir`](Self::partial_dir) a blob, for good. Who calls has hashed it.
    ///
    /// # Errors
    /// [`Kind::Storage`](crate::Kind::Storage).
    pub(crate) fn name_blob(&self, file: &Path, digest: &Digest) -> Result<()> {
        let named = || -> io::Result<()> {
            fs::create_dir_all(self.blobs_dir())?;
            let blob = self.blob_path(digest);
            fs::rename(file, &blob)?;
            layout::sync_parent(&blob)
        };
        named().map_err(|error| storage(format_args!("cannot write blob {digest}"), &error))
    }
}
