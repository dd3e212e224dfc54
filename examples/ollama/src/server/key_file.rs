//! The file of API keys while the server runs: who is added or removed there needs no restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use super::keys::{self, Keys};
use crate::error::{Error, Kind, Result};
use crate::tasks;

/// How often the file is looked at. What is seen twice in a row is in force.
const EVERY: Duration = Duration::from_millis(500);

/// The keys of a file that may change.
#[derive(Debug)]
pub(crate) struct KeyFile {
    path: PathBuf,
    /// Those of the file as it was when it could last be understood.
    keys: RwLock<Arc<Keys>>,
    seen: Mutex<Seen>,
}

/// The text of the file, or why there is none. Dates and lengths can stay the same when a text changes.
type Look = std::result::Result<String, String>;

#[derive(Debug)]
struct Seen {
    last: Look,
    /// What was acted upon.
    settled: Look,
}

impl KeyFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// Why it can't be used, with the line.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let text = keys::read(path)?;
        let keys = Keys::parse(&text, &Keys::default())?;
        if keys.len() == 0 {
            // A server that lets nobody in is a mistake.
            let message = "OLLAMA_API_KEYS: the file has no keys";
            return Err(Error::new(Kind::Invalid, message));
        }
        Ok(Self {
            path: path.to_owned(),
            keys: RwLock::new(Arc::new(keys)),
            seen: Mutex::new(Seen {
                last: Ok(text.clone()),
                settled: Ok(text),
            }),
        })
    }

    /// The keys that are in force.
    pub(crate) fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the file from time to time, as long as somebody has it.
    pub(crate) async fn watch(file: Weak<Self>) {
        loop {
            tokio::time::sleep(EVERY).await;
            let Some(file) = file.upgrade() else {
                return;
            };
            // Whatever became of this look, there will be another.
            let _ = tasks::on_thread(move || file.look()).await;
        }
    }

    /// Looks at the file once. Without a file that can be understood, the keys stay as they are: a mistake locks
    /// nobody out and lets nobody in. Not for threads that serve many.
    pub(crate) fn look(&self) {
        let look = read_again(&self.path).map_err(|error| error.to_string());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if look != seen.last {
            // It may be half written.
            seen.last = look;
            return;
        }
        if look == seen.settled {
            return;
        }
        let text = look.as_deref().map_err(String::clone);
        let parse = |text| Keys::parse(text, &self.keys()).map_err(|error| error.to_string());
        match text.and_then(parse) {
            Ok(keys) => {
                match keys.len() {
                    0 => tracing::warn!("no API key is left: nobody gets in"),
                    count => tracing::info!(keys = count, "the API keys have changed"),
                }
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
            }
            Err(error) => tracing::warn!(error, "the API keys stay as they were"),
        }
        seen.settled = look;
    }
}

fn read_again(path: &Path) -> Result<String> {
    // A pipe can be read once, and may wait for ever for who writes to it.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        let message = format!("OLLAMA_API_KEYS: {} is not a file", path.display());
        return Err(Error::new(Kind::Storage, message));
    }
    keys::read(path)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::digest::Digest;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        /// The lines since the last time.
        fn lines(&self) -> Vec<String> {
            let bytes = std::mem::take(&mut *self.0.lock().unwrap());
            let text = String::from_utf8(bytes).unwrap();
            text.lines().map(str::to_owned).collect()
        }
    }

    fn line(key: &str) -> String {
        format!("{key} {} infer\n", Digest::of_bytes(key.as_bytes()))
    }

    #[test]
    fn half_a_file_removes_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let whole = line("a") + &line("b");
        std::fs::write(&path, &whole).unwrap();
        let file = KeyFile::open(&path).unwrap();
        for half in [String::new(), line("a")] {
            std::fs::write(&path, half).unwrap();
            file.look();
            std::fs::write(&path, &whole).unwrap();
            for _ in 0..3 {
                assert!(file.keys().find("b").is_some());
                file.look();
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let good = line("a");
        std::fs::write(&path, &good).unwrap();
        let file = KeyFile::open(&path).unwrap();
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        let look = || {
            for _ in 0..5 {
                file.look();
            }
            log.lines()
        };
        tracing::subscriber::with_default(subscriber, || {
            assert_eq!(look(), [""; 0], "nothing has changed");
            std::fs::write(&path, format!("{good}b ollama-secret infer\n")).unwrap();
            let lines = look();
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].contains("line 2: the hash must be"), "{lines:?}");
            assert!(!lines[0].contains("secret"), "{lines:?}");
            std::fs::remove_file(&path).unwrap();
            let lines = look();
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(
                lines[0].contains("WARN") && lines[0].contains("cannot read"),
                "{lines:?}"
            );
            std::fs::write(&path, &good).unwrap();
            let lines = look();
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].contains("keys=1"), "{lines:?}");
        });
    }
}
