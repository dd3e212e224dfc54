//! Whether blobs are what they are called, and which nobody needs.

use std::fs;
use std::io;

use super::manifests::Broken;
use super::{Store, remove, storage};
use crate::digest::Digest;
use crate::error::Result;
use crate::progress::{Progress, Report};

/// Blobs that no model uses, and files of writers that died.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unused {
    /// How many.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The manifest that can't be read, when nobody knows therefore what is used.
    pub unknown: Option<String>,
}

impl Store {
    /// All blobs with their lengths.
    ///
    /// # Errors
    /// [`Kind::Storage`](crate::Kind::Storage) when their folder can't be read.
    pub fn blobs(&self) -> Result<Vec<(Digest, u64)>> {
        let mut blobs: Vec<(Digest, u64)> = self
            .blob_files()?
            .into_iter()
            .filter_map(|(name, size)| Some((Digest::from_file_name(&name)?, size)))
            .collect();
        blobs.sort();
        Ok(blobs)
    }

    /// What [`prune`](Self::prune) would remove if it were old enough.
    ///
    /// # Errors
    /// [`Kind::Storage`](crate::Kind::Storage).
    pub fn unused(&self) -> Result<Unused> {
        let in_use = self.in_use()?;
        let mut unused = Unused {
            unknown: in_use.unreadable,
            ..Unused::default()
        };
        if unused.unknown.is_some() {
            return Ok(unused);
        }
        for (name, size) in self.blob_files()? {
            let needed = match Digest::from_file_name(&name) {
                Some(digest) => in_use.digests.contains(&digest),
                None => !remove::is_left_over(&self.blobs_dir().join(&name), &name),
            };
            if !needed {
                unused.files += 1;
                unused.bytes += size;
            }
        }
        Ok(unused)
    }

    /// Reads every blob, also those that no model uses, and gives those whose bytes are others than their names say.
    ///
    /// # Errors
    /// [`Kind::Storage`](crate::Kind::Storage) when the folder of blobs can't be read.
    pub fn verify_all(&self, report: Report<'_>) -> Result<Vec<Broken>> {
        let blobs = self.blobs()?;
        let total = blobs.iter().map(|(_, size)| size).sum();
        let mut before: u64 = 0;
        let mut broken = Vec::new();
        for (digest, size) in blobs {
            let mut completed = before;
            let verified = self.verify_telling(&digest, &mut |read| {
                completed += read as u64;
                report(Progress {
                    total: Some(total),
                    completed: Some(completed.min(total)),
                    ..Progress::status("verifying blobs")
                });
            });
            if let Err(error) = verified {
                let what = format!("blob {digest}");
                broken.push(Broken { what, error });
            }
            before += size;
        }
        Ok(broken)
    }

    /// Everything in the folder of blobs: its name and length.
    fn blob_files(&self) -> Result<Vec<(String, u64)>> {
        let cannot = |error: io::Error| storage("cannot read the directory of blobs", &error);
        let entries = match fs::read_dir(self.blobs_dir()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(cannot)?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.map_err(cannot)?;
            let size = fs::metadata(entry.path()).map_or(0, |found| found.len());
            files.extend(
                entry
                    .file_name()
                    .into_string()
                    .ok()
                    .map(|name| (name, size)),
            );
        }
        Ok(files)
    }
}
