//! Models on disk, in the layout that Ollama uses: manifests by name, blobs by digest.
//!
//! Everything that reads or changes the store goes through here, in the server and on the command
//! line alike. Files appear whole or not at all. Several processes may use one store: what decides
//! over files of others (a manifest that replaces one, removal) happens under a lock.

mod adopt;
mod blobs;
mod config;
mod health;
mod layout;
mod lock;
pub mod manifest;
mod manifests;
mod model;
mod neighbours;
mod partial;
mod remove;

use std::io;
use std::path::{Path, PathBuf};

pub use blobs::BlobWriter;
pub use config::Config;
pub(crate) use config::or_default;
pub use health::Unused;
pub use manifest::{Layer, Manifest};
pub use manifests::{Broken, Entry, Listing};
pub use model::{Blob, Model, StoredMessage};
pub use neighbours::Neighbour;
pub use partial::Foreign;
pub use remove::{Pruned, Removed};

use crate::error::{Error, Kind, Result};

/// The models of one folder. Cheap to clone; nothing is read before it is asked for.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store in this folder, which need not exist yet: it is made when something is put into it.
    ///
    /// # Errors
    /// [`Kind::Storage`] when there is something else in its place, or it can't be looked at.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        match std::fs::metadata(&root) {
            Ok(found) if !found.is_dir() => Err(Error::new(
                Kind::Storage,
                "the models directory is not a directory; OLLAMA_MODELS says where it is",
            )),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(storage("cannot open the models directory", &error))
            }
            _ => Ok(Self { root }),
        }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Tells this folder from others on this machine, without saying where it is. `None`: it is not there, or
    /// the system does not say.
    #[must_use]
    pub fn identity(&self) -> Option<String> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let found = std::fs::metadata(&self.root).ok()?;
            Some(format!("{:x}-{:x}", found.dev(), found.ino()))
        }
        #[cfg(not(unix))]
        None
    }

    /// Bytes that can still be stored.
    ///
    /// # Errors
    /// [`Kind::Storage`] when the system does not say.
    pub fn available(&self) -> Result<u64> {
        let there = self.root.ancestors().find(|path| path.exists());
        fs4::available_space(there.unwrap_or(Path::new(".")))
            .map_err(|error| storage("cannot see how much space is left", &error))
    }
}

/// An error of the file system, without the path that some of them carry.
fn storage(what: impl std::fmt::Display, error: &io::Error) -> Error {
    let reason = match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code).to_string(),
        None => error.kind().to_string(),
    };
    Error::new(Kind::Storage, format!("{what}: {reason}"))
}
