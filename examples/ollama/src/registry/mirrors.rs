//! The list of mirrors: other places where what a registry has can be had.

use reqwest::Url;

use super::failure::redacted;
use crate::error::{Error, Kind, Result};

const DEFAULT_HOST: &str = "registry.ollama.ai";

/// A place that is asked before the registry itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The registry that it stands for.
    pub host: String,
    /// Where it is; `/v2/...` is appended.
    pub url: Url,
}

/// Reads entries `[HOST=]URL`; without a host a mirror stands for Ollama's own registry, without a
/// scheme it is reached by https.
///
/// # Errors
/// [`Kind::Invalid`] with the entry that is not as it should be.
pub(super) fn parse(entries: &[String]) -> Result<Vec<Mirror>> {
    entries.iter().map(|entry| parse_one(entry)).collect()
}

fn parse_one(entry: &str) -> Result<Mirror> {
    let (host, url) = match entry.split_once('=') {
        Some((host, url)) if !host.contains("://") => (host.trim(), url.trim()),
        _ => (DEFAULT_HOST, entry),
    };
    let url = if url.contains("://") {
        url.to_owned()
    } else {
        format!("https://{url}")
    };
    let url = match Url::parse(&url) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
        // Not shown: it may have credentials.
        _ => {
            return Err(Error::new(
                Kind::Invalid,
                format!("OLLAMA_MIRRORS: the mirror of {host} is no http or https URL"),
            ));
        }
    };
    if url.query().is_some() || url.fragment().is_some() {
        let shown = redacted(&url);
        return Err(Error::new(
            Kind::Invalid,
            format!("OLLAMA_MIRRORS: {shown} has a query or fragment"),
        ));
    }
    Ok(Mirror {
        host: canonical(host),
        url,
    })
}

/// The two names of Hugging Face are one.
pub(super) fn canonical(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    if host == "hf.co" {
        "huggingface.co".to_owned()
    } else {
        host
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_stand_for_the_registry_that_they_name() {
        let entries = [
            "https://a.example/x",
            "hf.co=http://b:8/",
            "h:5000=https://u:p@c",
            "d.example",
        ];
        let found = parse(&entries.map(str::to_owned)).unwrap();
        let hosts: Vec<&str> = found.iter().map(|mirror| mirror.host.as_str()).collect();
        assert_eq!(
            hosts,
            [DEFAULT_HOST, "huggingface.co", "h:5000", DEFAULT_HOST]
        );
        let urls: Vec<&str> = found.iter().map(|mirror| mirror.url.as_str()).collect();
        let expected = [
            "https://a.example/x",
            "http://b:8/",
            "https://u:p@c/",
            "https://d.example/",
        ];
        assert_eq!(urls, expected);
    }

    #[test]
    fn what_is_no_mirror_is_named_without_its_password() {
        for entry in [
            "mir ror",
            "ftp://u:secret@h/",
            "h=se cret:secret",
            "https://u:secret@h/?q=secret",
            "h=https://",
        ] {
            let error = parse(&[entry.to_owned()]).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
