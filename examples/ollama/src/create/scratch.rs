//! A folder in the store for a file that is not a blob yet.
#![cfg(feature = "inference")]

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::TempDir;

use crate::error::{Error, Kind, Result};
use crate::store::Store;

/// How the names of such folders begin.
const PREFIX: &str = ".making-";

/// The file that whoever uses a folder holds a lock of.
const LOCK: &str = "lock";

/// The folder; gone when it is dropped, or else when the next one is made after its process died.
pub(super) struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    pub(super) fn new(store: &Store) -> Result<Self> {
        let make = || {
            fs::create_dir_all(store.root())?;
            remove_abandoned(store.root())?;
            let folder = tempfile::Builder::new()
                .prefix(PREFIX)
                .tempdir_in(store.root())?;
            let lock = File::create(folder.path().join(LOCK))?;
            fs4::FileExt::lock(&lock)?;
            Ok(Self {
                folder,
                _lock: lock,
            })
        };
        make().map_err(|error: io::Error| {
            let message = format!(
                "cannot make a folder in the models directory: {}",
                error.kind()
            );
            Error::new(Kind::Storage, message)
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn remove_abandoned(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)?.flatten() {
        if !entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes())
        {
            continue;
        }
        // One without a lock is of somebody who is about to make it.
        let lock = File::options().write(true).open(entry.path().join(LOCK));
        if lock.is_ok_and(|lock| fs4::FileExt::try_lock(&lock).is_ok()) {
            // What cannot be removed now can be the next time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_the_dead_go_and_those_of_the_living_stay() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let dead = root.path().join(".making-dead");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        fs::write(dead.join("model.gguf"), "much").unwrap();
        let living = Scratch::new(&store).unwrap();
        assert!(!dead.exists());
        let second = Scratch::new(&store).unwrap();
        assert!(living.path().exists() && second.path().exists());
        drop((living, second));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
