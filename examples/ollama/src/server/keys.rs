//! API keys: who has one, what it may do, and how often.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::key_line::KeyLine;
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};

/// What a request needs to be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    /// Nothing: anybody may know that the server lives.
    Open,
    /// To ask models, and to see which there are.
    Infer,
    /// To change which there are.
    Manage,
}

/// Whose key it is, and what it may do.
#[derive(Debug)]
pub(crate) struct Key {
    pub name: Arc<str>,
    infer: bool,
    manage: bool,
    parallel: Option<Arc<Semaphore>>,
    rate: Option<Mutex<Bucket>>,
}

/// Requests that may come at once, and how fast that grows again.
#[derive(Debug)]
struct Bucket {
    per_minute: f64,
    left: f64,
    filled: Instant,
}

/// A key was used too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMuch {
    /// Seconds.
    pub retry_after: u64,
}

/// All keys, by the hash of their text.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    keys: HashMap<Digest, Arc<Key>>,
}

/// Bytes of the file at most.
const FILE: u64 = 1 << 20;

impl Keys {
    /// Reads a file, of whose lines each is a [`KeyLine`].
    ///
    /// # Errors
    /// The line and what is wrong with it.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        Self::parse(&read(path)?)
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut keys = Self::default();
        for line in lines(text)? {
            keys.keys.insert(line.hash, Arc::new(Key::new(&line)));
        }
        if keys.keys.is_empty() {
            // A file that allows nothing is a mistake, and none at all would allow everything.
            return Err(Error::new(
                Kind::Invalid,
                "OLLAMA_API_KEYS: the file has no keys",
            ));
        }
        Ok(keys)
    }

    /// The key with this text.
    pub(crate) fn find(&self, text: &str) -> Option<&Arc<Key>> {
        self.keys.get(&Digest::of_bytes(text.as_bytes()))
    }
}

/// The text of the file.
pub(crate) fn read(path: &Path) -> Result<String> {
    let cannot = |error: std::io::Error| {
        let message = format!("OLLAMA_API_KEYS: cannot read {}: {error}", path.display());
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => Kind::NotFound,
            _ => Kind::Storage,
        };
        Error::new(kind, message)
    };
    let length = std::fs::metadata(path).map_err(cannot)?.len();
    if length > FILE {
        let message = format!("OLLAMA_API_KEYS: the file is longer than {FILE} bytes");
        return Err(Error::new(Kind::Invalid, message));
    }
    std::fs::read_to_string(path).map_err(cannot)
}

/// The keys of the file's text, of which no two have a name or a hash in common.
pub(crate) fn lines(text: &str) -> Result<Vec<KeyLine>> {
    let mut keys: Vec<KeyLine> = Vec::new();
    let (mut names, mut hashes) = (HashSet::new(), HashSet::new());
    for (number, line) in text.lines().enumerate() {
        let wrong = |why: &dyn std::fmt::Display| {
            let message = format!("OLLAMA_API_KEYS: line {}: {why}", number + 1);
            Error::new(Kind::Invalid, message)
        };
        let Some(key) = KeyLine::parse(line).map_err(|why| wrong(&why))? else {
            continue;
        };
        if !names.insert(key.name.clone()) || !hashes.insert(key.hash) {
            return Err(wrong(&format_args!("{:?} is there twice", key.name)));
        }
        keys.push(key);
    }
    Ok(keys)
}

impl Key {
    fn new(line: &KeyLine) -> Self {
        Self {
            name: line.name.as_str().into(),
            infer: line.infer,
            manage: line.manage,
            parallel: line
                .parallel
                .map(|most| Arc::new(Semaphore::new(most as usize))),
            rate: line.per_minute.map(|most| {
                let per_minute = f64::from(most);
                Mutex::new(Bucket {
                    per_minute,
                    left: per_minute,
                    filled: Instant::now(),
                })
            }),
        }
    }

    pub(crate) fn may(&self, access: Access) -> bool {
        match access {
            Access::Open => true,
            Access::Infer => self.infer || self.manage,
            Access::Manage => self.manage,
        }
    }

    /// Counts a request; what is given must be kept while it runs.
    pub(crate) fn enter(&self) -> std::result::Result<Option<OwnedSemaphorePermit>, TooMuch> {
        let permit = match &self.parallel {
            None => None,
            Some(parallel) => {
                let permit = Arc::clone(parallel).try_acquire_owned();
                Some(permit.map_err(|_| TooMuch { retry_after: 1 })?)
            }
        };
        if let Some(rate) = &self.rate {
            rate.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(Instant::now())?;
        }
        Ok(permit)
    }
}

impl Bucket {
    fn take(&mut self, now: Instant) -> std::result::Result<(), TooMuch> {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.left = (self.left + passed * self.per_minute / 60.0).min(self.per_minute);
        self.filled = now;
        if self.left < 1.0 {
            let seconds = (1.0 - self.left) * 60.0 / self.per_minute;
            return Err(TooMuch {
                retry_after: (seconds.ceil() as u64).max(1),
            });
        }
        self.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn line(name: &str, secret: &str, rest: &str) -> String {
        format!("{name} {} {rest}\n", Digest::of_bytes(secret.as_bytes()))
    }

    #[test]
    fn keys_are_found_by_their_text_and_scopes_hold() {
        let text = format!(
            "# all keys\n\n{}{}",
            line("a", "one", "infer # a comment"),
            line("b", "two", "manage parallel=1 per-minute=60")
        );
        let keys = Keys::parse(&text).unwrap();
        let a = keys.find("one").unwrap();
        assert_eq!(&*a.name, "a");
        assert!(a.may(Access::Infer) && !a.may(Access::Manage));
        let b = keys.find("two").unwrap();
        assert!(b.may(Access::Infer) && b.may(Access::Manage));
        for wrong in ["", "One", "one ", "three"] {
            assert!(keys.find(wrong).is_none(), "{wrong:?}");
        }
        let running = b.enter().unwrap();
        assert_eq!(b.enter().unwrap_err(), TooMuch { retry_after: 1 });
        drop(running);
        assert!(b.enter().is_ok());
    }

    #[test]
    fn rates_fill_up_again() {
        let start = Instant::now();
        let mut bucket = Bucket {
            per_minute: 2.0,
            left: 2.0,
            filled: start,
        };
        assert!(bucket.take(start).is_ok());
        assert!(bucket.take(start).is_ok());
        assert_eq!(bucket.take(start), Err(TooMuch { retry_after: 30 }));
        assert!(bucket.take(start + Duration::from_secs(31)).is_ok());
        assert!(bucket.take(start + Duration::from_secs(31)).is_err());
        assert!(bucket.take(start + Duration::from_secs(3600)).is_ok());
    }

    #[test]
    fn mistakes_name_the_line() {
        let good = line("a", "one", "infer");
        for (text, what) in [
            ("\nname".to_owned(), "line 2: the hash is missing"),
            (
                "name sha256:12 infer".to_owned(),
                "line 1: the hash must be",
            ),
            (line("a", "x", ""), "scopes are missing"),
            (line("a", "x", "infer,push"), "no scope \"push\""),
            (line("a", "x", "infer parallel=0"), "from 1 to"),
            (line("a", "x", "infer foo"), "\"foo\" is not understood"),
            (
                format!("{good}{}", line("a", "two", "infer")),
                "line 2: \"a\" is there twice",
            ),
            (
                format!("{good}{}", line("b", "one", "infer")),
                "line 2: \"b\" is there twice",
            ),
            ("# none".to_owned(), "no keys"),
        ] {
            let error = Keys::parse(&text).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
