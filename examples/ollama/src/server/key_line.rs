//! A line of the file of API keys: whose key it is and what it may do, read and written.

use std::fmt;

use crate::digest::Digest;

/// What a line says. The key itself is not there, only its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyLine {
    pub name: String,
    pub hash: Digest,
    /// It may ask models.
    pub infer: bool,
    /// It may change which there are, and ask them.
    pub manage: bool,
    /// Requests at the same time.
    pub parallel: Option<u32>,
    pub per_minute: Option<u32>,
}

/// Numbers that limits can be.
pub(crate) const LIMITS: std::ops::RangeInclusive<u32> = 1..=1_000_000;

impl KeyLine {
    /// Reads a line: a name, `sha256:` and the 64 digits of the key's hash, its scopes (`infer`, `manage`, or both
    /// with a comma), and perhaps `parallel=N` and `per-minute=N`; `#` begins a comment. Nothing, where it has only
    /// that.
    ///
    /// # Errors
    /// What is wrong, without a word of the line: somebody may have put a key there, and errors are logged.
    pub(crate) fn parse(line: &str) -> Result<Option<Self>, String> {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        let Some(name) = words.next() else {
            return Ok(None);
        };
        let hash = words.next().ok_or("the hash is missing")?;
        let hash = hash
            .parse()
            .map_err(|_| "the hash must be sha256: and 64 lower-case hexadecimal digits")?;
        if hash == Digest::of_bytes(b"") {
            return Err("the hash is that of an empty key".to_owned());
        }
        let scopes = words
            .next()
            .ok_or("the scopes are missing: infer, manage")?;
        let mut key = Self {
            name: name.to_owned(),
            hash,
            infer: false,
            manage: false,
            parallel: None,
            per_minute: None,
        };
        for scope in scopes.split(',') {
            match scope {
                "infer" => key.infer = true,
                "manage" => key.manage = true,
                _ => {
                    return Err("the scopes must be infer, manage, or both with a comma".to_owned());
                }
            }
        }
        for word in words {
            let (limit, number) = word.split_once('=').unwrap_or_default();
            let limit = match limit {
                "parallel" => &mut key.parallel,
                "per-minute" => &mut key.per_minute,
                _ => {
                    let known = "behind the scopes there may be parallel=N and per-minute=N";
                    return Err(known.to_owned());
                }
            };
            let number = number.parse().ok().filter(|number| LIMITS.contains(number));
            *limit = Some(number.ok_or("a limit must be a number from 1 to 1000000")?);
        }
        Ok(Some(key))
    }

    /// Its scopes, as the line has them.
    pub(crate) fn scopes(&self) -> &'static str {
        match (self.infer, self.manage) {
            (true, true) => "infer,manage",
            (_, true) => "manage",
            _ => "infer",
        }
    }
}

impl fmt::Display for KeyLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, self.hash, self.scopes())?;
        if let Some(parallel) = self.parallel {
            write!(f, " parallel={parallel}")?;
        }
        if let Some(per_minute) = self.per_minute {
            write!(f, " per-minute={per_minute}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (scopes, parallel, per_minute) in [
            ((true, false), None, None),
            ((false, true), Some(1), None),
            ((true, true), Some(7), Some(1_000_000)),
        ] {
            let line = KeyLine {
                name: "a-b.c".to_owned(),
                hash: Digest::of_bytes(b"x"),
                infer: scopes.0,
                manage: scopes.1,
                parallel,
                per_minute,
            };
            assert_eq!(KeyLine::parse(&line.to_string()), Ok(Some(line)));
        }
        assert_eq!(KeyLine::parse("  # a b c d"), Ok(None));
    }
}
