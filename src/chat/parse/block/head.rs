//! Whether what has no marker begins as a call does.

use super::{Block, Next, fail};
use crate::chat::parse::calls::Known;
use crate::chat::parse::loose::is_word;

/// How much of a text is looked at.
const MAX_HEAD: usize = 1024;

impl Block {
    /// Whether what has no marker begins as a call does: with a name, or with what may come before
    /// it. The name of a tool that was offered makes it a call.
    pub(super) fn head(&mut self, known: &Known) -> Next {
        let text = self.raw.get(self.pos..).unwrap_or("");
        let read = || -> Option<Result<bool, ()>> {
            let text = text.trim_start();
            let text = match text.strip_prefix('[') {
                Some(inner) => inner.trim_start(),
                None => text,
            };
            let Ok(text) = after(text, "{")? else {
                return Some(Err(()));
            };
            let Ok(text) = after(text.trim_start(), "\"")? else {
                return Some(Err(()));
            };
            let (key, text) = text.split_once('"')?;
            if !HEADS.contains(&key) {
                return Some(Err(()));
            }
            let Ok(text) = after(text.trim_start(), ":")? else {
                return Some(Err(()));
            };
            let text = text.trim_start();
            if !matches!(key, "name" | "function") || text.starts_with('{') {
                return (!text.is_empty()).then_some(Ok(false));
            }
            let Ok(text) = after(text, "\"")? else {
                return Some(Err(()));
            };
            let (name, _) = text.split_once('"')?;
            Some(if known.has(name) {
                Ok(known.tool(name).is_some())
            } else {
                Err(())
            })
        };
        match read() {
            None if text.len() > MAX_HEAD => fail("it is no call"),
            // A key that cannot be one of those that calls have.
            None if hopeless(text) => fail("it is no call"),
            None => Next::More,
            Some(Ok(certain)) => {
                self.committed |= certain;
                Next::On
            }
            Some(Err(())) => fail("it is no call"),
        }
    }

    pub(super) fn python_head(&mut self, known: &Known) -> Next {
        let text = self.raw.get(self.pos..).unwrap_or("");
        let inner = text.trim_start();
        let inner = inner.strip_prefix('[').unwrap_or(inner).trim_start();
        let length = inner.find(|c| !is_word(c)).unwrap_or(inner.len());
        let (word, rest) = inner.split_at(length);
        if text.len() > MAX_HEAD {
            return fail("it is no call");
        }
        if rest.is_empty() {
            return Next::More;
        }
        if word.is_empty() || !rest.starts_with('(') || (self.bare && !known.has(word)) {
            return fail("it is no call");
        }
        self.committed |= known.tool(word).is_some();
        Next::On
    }
}

/// The keys that a call without marker may begin with.
const HEADS: [&str; 7] = [
    "name",
    "function",
    "type",
    "id",
    "tool_call_id",
    "arguments",
    "parameters",
];

/// What follows a text; `None` while there is nothing.
fn after<'a>(text: &'a str, expected: &str) -> Option<Result<&'a str, ()>> {
    if text.is_empty() {
        return None;
    }
    Some(text.strip_prefix(expected).ok_or(()))
}

/// Whether the first key, which is not complete, is none of a call's.
fn hopeless(text: &str) -> bool {
    let key = text.split_once('"').map_or("", |(_, key)| key);
    !key.contains('"') && !HEADS.iter().any(|head| head.starts_with(key))
}
