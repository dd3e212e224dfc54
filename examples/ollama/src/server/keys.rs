//! API keys: who has one, what it may do, and how often.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

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

/// Whose key it is, what it may do, and how often.
#[derive(Debug)]
pub(crate) struct Key {
    pub name: Arc<str>,
    infer: bool,
    manage: bool,
    parallel: Option<u32>,
    per_minute: Option<u32>,
    usage: Arc<Mutex<Usage>>,
}

/// How much a key is used; a changed file does not change it.
#[derive(Debug)]
struct Usage {
    /// Requests at this moment.
    running: u32,
    /// Requests that count towards those of a minute: ever fewer, as time goes by.
    recent: f64,
    /// When so many counted.
    counted: Instant,
}

/// A request that counts as running as long as this lives.
#[derive(Debug)]
pub(crate) struct Running(Arc<Mutex<Usage>>);

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
    /// Reads the text of a file, of whose lines each is a [`KeyLine`]. Keys that were there `before` are used as
    /// much as they were.
    ///
    /// # Errors
    /// The line and what is wrong with it.
    pub(crate) fn parse(text: &str, before: &Self) -> Result<Self> {
        let key = |line: KeyLine| {
            let known = before.keys.get(&line.hash);
            let usage = known.map_or_else(Usage::none, |key| Arc::clone(&key.usage));
            (line.hash, Arc::new(Key::new(&line, usage)))
        };
        Ok(Self {
            keys: lines(text)?.into_iter().map(key).collect(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
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
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(cannot)?;
    file.take(FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > FILE {
        let message = format!("OLLAMA_API_KEYS: the file is longer than {FILE} bytes");
        return Err(Error::new(Kind::Invalid, message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = error.as_bytes().iter().take(good);
        let line = before.filter(|&&byte| byte == b'\n').count() + 1;
        let message = format!("OLLAMA_API_KEYS: line {line}: it is not UTF-8");
        Error::new(Kind::Invalid, message)
    })
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
        if !names.insert(key.name.clone()) {
            return Err(wrong(&"its name is that of a line before"));
        }
        if !hashes.insert(key.hash) {
            return Err(wrong(&"its hash is that of a line before"));
        }
        keys.push(key);
    }
    Ok(keys)
}

impl Key {
    fn new(line: &KeyLine, usage: Arc<Mutex<Usage>>) -> Self {
        Self {
            name: line.name.as_str().into(),
            infer: line.infer,
            manage: line.manage,
            parallel: line.parallel,
            per_minute: line.per_minute,
            usage,
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
    pub(crate) fn enter(&self) -> std::result::Result<Running, TooMuch> {
        let mut usage = lock(&self.usage);
        if self.parallel.is_some_and(|most| usage.running >= most) {
            return Err(TooMuch { retry_after: 1 });
        }
        if let Some(per_minute) = self.per_minute {
            usage.count(per_minute, Instant::now())?;
        }
        usage.running += 1;
        Ok(Running(Arc::clone(&self.usage)))
    }
}

impl Usage {
    fn none() -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            running: 0,
            recent: 0.0,
            counted: Instant::now(),
        }))
    }

    /// Counts a request of so many a minute, all of which may come at once.
    fn count(&mut self, per_minute: u32, now: Instant) -> std::result::Result<(), TooMuch> {
        let per_minute = f64::from(per_minute);
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.recent = (self.recent - passed * per_minute / 60.0).max(0.0);
        self.counted = now;
        let too_many = self.recent + 1.0 - per_minute;
        if too_many > 0.0 {
            let seconds = too_many * 60.0 / per_minute;
            return Err(TooMuch {
                retry_after: (seconds.ceil() as u64).max(1),
            });
        }
        self.recent += 1.0;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        lock(&self.0).running -= 1;
    }
}

fn lock(usage: &Mutex<Usage>) -> MutexGuard<'_, Usage> {
    usage.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn line(name: &str, secret: &str, rest: &str) -> String {
        format!("{name} {} {rest}\n", Digest::of_bytes(secret.as_bytes()))
    }

    fn parse(text: &str) -> Result<Keys> {
        Keys::parse(text, &Keys::default())
    }

    #[test]
    fn keys_are_found_by_their_text_and_scopes_hold() {
        let text = format!(
            "# all keys\n\n{}{}",
            line("a", "one", "infer # a comment"),
            line("b", "two", "manage parallel=1 per-minute=60")
        );
        let keys = parse(&text).unwrap();
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
    fn what_came_long_ago_counts_no_more() {
        let start = Instant::now();
        let mut usage = Usage {
            running: 0,
            recent: 0.0,
            counted: start,
        };
        let mut count = |seconds| usage.count(2, start + Duration::from_secs(seconds));
        assert!(count(0).is_ok());
        assert!(count(0).is_ok());
        assert_eq!(count(0), Err(TooMuch { retry_after: 30 }));
        assert!(count(31).is_ok());
        assert!(count(31).is_err());
        assert!(count(3600).is_ok());
    }

    #[test]
    fn mistakes_name_the_line_and_nothing_of_it() {
        let good = line("a", "one", "infer");
        let scopes = "line 1: the scopes must be infer, manage, or both";
        let limits = "line 1: behind the scopes there may be";
        for (text, what) in [
            ("\nname".to_owned(), "line 2: the hash is missing"),
            (
                "name ollama-secret infer".to_owned(),
                "line 1: the hash must be",
            ),
            (
                line("a", "", "infer"),
                "line 1: the hash is that of an empty key",
            ),
            (line("a", "x", ""), "line 1: the scopes are missing"),
            (line("a", "x", "infer,ollama-secret"), scopes),
            (line("a", "x", "infer parallel=0"), "from 1 to 1000000"),
            (line("a", "x", "infer parallel=ollama-secret"), "from 1 to"),
            (line("a", "x", "infer ollama-secret"), limits),
            (line("a", "x", "infer ollama-secret=1"), limits),
            (
                format!("{good}{}", line("a", "two", "infer")),
                "line 2: its name is that of a line before",
            ),
            (
                format!("{good}{}", line("ollama-secret", "one", "infer")),
                "line 2: its hash is that of a line before",
            ),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
            assert!(!error.contains("secret"), "it may be logged: {error}");
        }
    }
}
