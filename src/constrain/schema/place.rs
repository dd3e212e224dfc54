//! Places in a schema, as JSON Pointers (RFC 6901).

use std::fmt;

use serde_json::Value;

/// A JSON Pointer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Place(String);

impl Place {
    /// The place of a member of what is here.
    pub(super) fn member(&self, name: impl fmt::Display) -> Self {
        let name = name.to_string().replace('~', "~0").replace('/', "~1");
        Self(format!("{}/{name}", self.0))
    }

    /// The place that a `$ref` leads to within its own schema: `#` and a pointer, with `%` for bytes.
    pub(super) fn of_reference(reference: &str) -> Option<Self> {
        let pointer = reference.strip_prefix('#')?;
        let pointer = percent_decoded(pointer)?;
        // "#/" is how many write the root.
        match pointer.as_str() {
            "" | "/" => Some(Self::default()),
            _ if pointer.starts_with('/') => Some(Self(pointer)),
            _ => None,
        }
    }

    /// What is there in a document.
    pub(super) fn find<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        document.pointer(&self.0)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 300;
        match self.0.char_indices().nth(MOST) {
            _ if self.0.is_empty() => f.write_str("the root"),
            Some((end, _)) => write!(f, "{}...", &self.0[..end]),
            None => f.write_str(&self.0),
        }
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}
