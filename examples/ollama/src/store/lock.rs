//! One process at a time decides what is in the store.

use std::fs::{self, File};
use std::io;

use super::{Store, storage};
use crate::error::Result;

/// Held until dropped; the system lets go of it when the process dies.
#[must_use]
pub(super) struct Lock(#[expect(dead_code, reason = "closing the file lets go")] File);

impl Store {
    /// Waits for its turn. Held for moments only, never while something is downloaded.
    pub(super) fn lock(&self) -> Result<Lock> {
        let open = || -> io::Result<File> {
            fs::create_dir_all(&self.root)?;
            let path = self.root.join(".lock");
            let mut options = File::options();
            let file = match options.create(true).truncate(false).write(true).open(&path) {
                // Made by another user: reading is enough to lock.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(&path)?,
                opened => opened?,
            };
            match fs4::FileExt::lock(&file) {
                // Some file systems have no locks; files still appear whole there.
                Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
                locked => locked.map(|()| file),
            }
        };
        open()
            .map(Lock)
            .map_err(|error| storage("cannot lock the models directory", &error))
    }
}
