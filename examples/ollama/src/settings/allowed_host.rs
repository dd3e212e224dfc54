//! Names by which clients may call the server.

/// A name, or all names of some kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedHost {
    /// Every name: the check is off.
    Any,
    /// This name, in lower case.
    Name(String),
    /// Every name below this one, in lower case.
    Below(String),
}

impl AllowedHost {
    /// Reads `name`, `*.name` or `*`.
    ///
    /// # Errors
    /// A sentence on what can't be understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (name, make): (&str, fn(String) -> Self) = match text.strip_prefix("*.") {
            Some(name) => (name, Self::Below),
            None => (text, Self::Name),
        };
        host_name(name).map(make).ok_or_else(|| {
            format!(
                "{text:?} is not the name of a host, *. and a name, or *; it has no scheme and no port"
            )
        })
    }

    /// Whether it means this host, which is in lower case and without a port.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Name(name) => name == host,
            Self::Below(name) => host
                .strip_suffix(name.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        }
    }
}

/// The name of a host, or its address in version 4, in lower case and without a dot at its end. `None`: it is none.
pub(crate) fn host_name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let part = |part: &str| !part.is_empty() && part.chars().all(letter);
    name.split('.').all(part).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_is_below_them() {
        for (pattern, host, is) in [
            ("*", "anything.example", true),
            ("AI.Example.com.", "ai.example.com", true),
            ("ai.example.com", "b.ai.example.com", false),
            ("*.example.com", "ai.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "evilexample.com", false),
            ("*.example.com", "ai.example.com.evil.example", false),
        ] {
            let allowed = AllowedHost::parse(pattern).unwrap();
            assert_eq!(allowed.matches(host), is, "{pattern} {host}");
        }
        for text in [
            "", ".", "*.", "a..b", "a:1", "http://a", "a/b", "*a", "**", "a b", "[::1]",
        ] {
            assert!(AllowedHost::parse(text).is_err(), "{text:?}");
        }
    }
}
