//! The directory of fetched models: whole files only, each hashed once and re-hashed when it changed.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::error::Failure;
use super::{RemoteModel, open};

/// Temporary files older than this belong to a process that was killed.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

const TEMP_SUFFIX: &str = ".part";

pub(super) struct Cache {
    dir: PathBuf,
}

/// A file with a name of its own in the cache, removed when dropped.
pub(super) struct TempFile {
    pub(super) path: PathBuf,
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // Gone already when it was renamed; anything else the sweep repairs.
        let _ = fs::remove_file(&self.path);
    }
}

impl Cache {
    pub(super) fn open(dir: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(dir).map_err(|e| Failure::io(dir, e))?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// The model if it is here and whole. A damaged one is removed.
    pub(super) fn get(&self, model: &RemoteModel) -> Result<Option<PathBuf>, Failure> {
        let path = self.dir.join(model.file);
        let stamp = match stamp(&path, model) {
            Ok(stamp) => stamp,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Failure::io(&path, e)),
        };
        if fs::read_to_string(self.marker(model)).is_ok_and(|seen| seen == stamp) {
            return Ok(Some(path));
        }
        match verify(&path, model) {
            Ok(()) => {
                self.mark(model, &path);
                Ok(Some(path))
            }
            Err(Failure::Size { .. } | Failure::Hash { .. }) => {
                fs::remove_file(&path).map_err(|e| Failure::io(&path, e))?;
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    /// Checks a finished download and gives it its name.
    pub(super) fn put(&self, temp: TempFile, model: &RemoteModel) -> Result<PathBuf, Failure> {
        verify(&temp.path, model)?;
        let path = self.dir.join(model.file);
        if let Err(e) = fs::rename(&temp.path, &path) {
            // Windows refuses while another process, which was first, has the file open.
            return self.get(model)?.ok_or_else(|| Failure::io(&path, e));
        }
        self.mark(model, &path);
        Ok(path)
    }

    /// A name that no other process or thread uses.
    pub(super) fn temp_file(&self, name: &str) -> Result<TempFile, Failure> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        self.sweep()?;
        let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}.{}-{unique}{TEMP_SUFFIX}", std::process::id());
        Ok(TempFile {
            path: self.dir.join(name),
        })
    }

    fn sweep(&self) -> Result<(), Failure> {
        let entries = fs::read_dir(&self.dir).map_err(|e| Failure::io(&self.dir, e))?;
        for entry in entries.flatten() {
            let temporary = entry.file_name().to_string_lossy().ends_with(TEMP_SUFFIX);
            let age = entry
                .metadata()
                .and_then(|data| data.modified())
                .ok()
                .and_then(|time| SystemTime::now().duration_since(time).ok());
            if temporary && age.is_some_and(|age| age > ABANDONED) {
                // Another process may have swept it first.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    fn marker(&self, model: &RemoteModel) -> PathBuf {
        self.dir.join(format!("{}.checked", model.file))
    }

    /// Remembers that the file as it lies there was hashed. Without a marker it is hashed again.
    fn mark(&self, model: &RemoteModel, path: &Path) {
        if let Ok(stamp) = stamp(path, model) {
            let _ = fs::write(self.marker(model), stamp);
        }
    }
}

/// What identifies the state of a file: any write changes it.
fn stamp(path: &Path, model: &RemoteModel) -> io::Result<String> {
    let data = fs::metadata(path)?;
    let modified = data
        .modified()?
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Ok(format!(
        "{} {} {}\n",
        model.sha256,
        data.len(),
        modified.as_nanos()
    ))
}

/// Compares length and SHA-256 of the file with the model's.
pub(super) fn verify(path: &Path, model: &RemoteModel) -> Result<(), Failure> {
    let what = || path.display().to_string();
    let found = fs::metadata(path).map_err(|e| Failure::io(path, e))?.len();
    if found != model.size {
        return Err(Failure::Size {
            what: what(),
            expected: model.size,
            found,
        });
    }
    let mut file = open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer).map_err(|e| Failure::io(path, e))?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
    }
    let found = hex(hasher);
    if found != model.sha256 {
        return Err(Failure::Hash {
            what: what(),
            expected: model.sha256.to_owned(),
            found,
        });
    }
    Ok(())
}

/// The finished digest in lower-case hexadecimal.
pub(super) fn hex(hasher: Sha256) -> String {
    hasher
        .finalize()
        .iter()
        .fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// `llamakit` in the directory where this platform keeps a user's caches.
pub(super) fn user_cache_dir() -> Option<PathBuf> {
    let var = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = if cfg!(windows) {
        var("LOCALAPPDATA")
    } else if cfg!(target_vendor = "apple") {
        std::env::home_dir().map(|home| home.join("Library").join("Caches"))
    } else {
        var("XDG_CACHE_HOME").or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
    };
    base.map(|base| base.join("llamakit"))
}
