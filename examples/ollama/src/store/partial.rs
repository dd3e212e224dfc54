//! Downloads on the way: a folder of their own, because the original program removes from its folder of
//! blobs at every start what is not complete.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Store, layout, storage};
use crate::digest::Digest;
use crate::error::Result;

impl Store {
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
