//! API keys: a file of hashes with what each key may do.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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
    /// Reads a file: on each line a name, `sha256:` and the 64 digits of the key's hash, its scopes (`infer`,
    /// `manage`, or both with a comma), and perhaps `parallel=N` and `per-minute=N`; `#` begins a comment.
    ///
    /// # Errors
    /// The line and what is wrong with it.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let cannot = |error: std::io::Error| {
            let message = format!("OLLAMA_API_KEYS: cannot read {}: {error}", path.display());
            Error::new(Kind::Storage, message)
        };
        let length = std::fs::metadata(path).map_err(cannot)?.len();
        if length > FILE {
            let message = format!("OLLAMA_API_KEYS: the file is longer than {FILE} bytes");
            return Err(Error::new(Kind::Invalid, message));
        }
        Self::parse(&std::fs::read_to_string(path).map_err(cannot)?)
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut keys = Self::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let (hash, key) = parse_line(line).map_err(|why| {
                let message = format!("OLLAMA_API_KEYS: line {}: {why}", number + 1);
                Error::new(Kind::Invalid, message)
            })?;
            let name = Arc::clone(&key.name);
            let known = keys.keys.values().any(|other| other.name == name);
            if known || keys.keys.insert(hash, Arc::new(key)).is_some() {
                let message = format!(
                    "OLLAMA_API_KEYS: line {}: {name:?} is there twice",
                    number + 1
                );
                return Err(Error::new(Kind::Invalid, message));
            }
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

fn parse_line(line: &str) -> std::result::Result<(Digest, Key), String> {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or_default();
    let hash = words.next().ok_or("the hash is missing")?;
    let hash: Digest = hash
        .parse()
        .map_err(|_| "the hash must be sha256: and 64 lower-case hexadecimal digits".to_owned())?;
    let scopes = words
        .next()
        .ok_or("the scopes are missing: infer, manage")?;
    let mut key = Key {
        name: name.into(),
        infer: false,
        manage: false,
        parallel: None,
        rate: None,
    };
    for scope in scopes.split(',') {
        match scope {
            "infer" => key.infer = true,
            "manage" => key.manage = true,
            other => {
                return Err(format!(
                    "there is no scope {other:?}; there are infer and manage"
                ));
            }
        }
    }
    for word in words {
        let number = |text: &str| -> std::result::Result<u32, String> {
            let number = text
                .parse()
                .ok()
                .filter(|&number| (1..=1_000_000).contains(&number));
            number.ok_or_else(|| format!("{word:?} must have a number from 1 to 1000000"))
        };
        if let Some(text) = word.strip_prefix("parallel=") {
            key.parallel = Some(Arc::new(Semaphore::new(number(text)? as usize)));
        } else if let Some(text) = word.strip_prefix("per-minute=") {
            let per_minute = f64::from(number(text)?);
            key.rate = Some(Mutex::new(Bucket {
                per_minute,
                left: per_minute,
                filled: Instant::now(),
            }));
        } else {
            return Err(format!("{word:?} is not understood"));
        }
    }
    Ok((hash, key))
}

impl Key {
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
