//! A page of a package index: the wheels that it has and which of them is the newest.

use std::str::FromStr;

use pep440_rs::Version;
use reqwest::Url;
use serde::Deserialize;

use super::super::source::normalised;
use crate::digest::Digest;

/// A wheel that an index offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wheel {
    pub(super) url: Url,
    pub(super) file: String,
    pub(super) version: Version,
    pub(super) sha256: Option<Digest>,
    pub(super) size: Option<u64>,
    /// Withdrawn: only for who asks for just this version.
    yanked: bool,
}

#[derive(Deserialize)]
struct Page {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: Hashes,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    yanked: serde_json::Value,
}

#[derive(Deserialize, Default)]
struct Hashes {
    #[serde(default)]
    sha256: Option<String>,
}

/// The wheels of this package on a page found at `url`, in the newer form (JSON) or the older one.
pub(super) fn wheels(url: &Url, body: &[u8], package: &str) -> Result<Vec<Wheel>, String> {
    let text = std::str::from_utf8(body).map_err(|_| "not a page of a package index")?;
    let files = if text.trim_start().starts_with('{') {
        let page: Page = serde_json::from_str(text)
            .map_err(|e| format!("not a page of a package index: {e}"))?;
        page.files
    } else {
        links(text)
    };
    Ok(files
        .into_iter()
        .filter_map(|file| wheel(url, file, package))
        .collect())
}

/// The wheel of the version that was asked for, or of the newest one that is meant for everybody.
pub(super) fn best(wheels: Vec<Wheel>, version: Option<&str>) -> Result<Wheel, String> {
    let wanted = match version {
        None => None,
        Some(text) => Some(Version::from_str(text).map_err(|_| format!("{text} is no version"))?),
    };
    let fits = |wheel: &Wheel| match &wanted {
        Some(wanted) => wheel.version == *wanted,
        None => !wheel.yanked,
    };
    let fitting: Vec<Wheel> = wheels.into_iter().filter(fits).collect();
    // Pre-releases count when there is nothing else.
    let released = fitting.iter().any(|wheel| !wheel.version.any_prerelease());
    let best = fitting
        .into_iter()
        .filter(|wheel| wanted.is_some() || !released || !wheel.version.any_prerelease())
        // The last of equal ones is taken, which is now the one of the first index.
        .rev()
        .max_by(|a, b| {
            let all = |wheel: &Wheel| wheel.file.ends_with("-any.whl");
            a.version.cmp(&b.version).then(all(a).cmp(&all(b)))
        });
    best.ok_or_else(|| match version {
        Some(version) => format!("there is no wheel of version {version}"),
        None => "there is no wheel".to_owned(),
    })
}

fn wheel(page: &Url, file: File, package: &str) -> Option<Wheel> {
    let stem = file.filename.strip_suffix(".whl")?;
    let parts: Vec<&str> = stem.split('-').collect();
    let [name, version, ..] = parts[..] else {
        return None;
    };
    if !matches!(parts.len(), 5 | 6) || normalised(name) != package {
        return None;
    }
    let mut url = page
        .join(&file.url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))?;
    url.set_fragment(None);
    // A hash that can't be read is as good as a wrong one.
    let sha256 = match file.hashes.sha256 {
        None => None,
        Some(hex) => Some(
            format!("sha256:{}", hex.to_ascii_lowercase())
                .parse()
                .ok()?,
        ),
    };
    Some(Wheel {
        url,
        version: Version::from_str(version).ok()?,
        file: file.filename,
        sha256,
        size: file.size,
        yanked: !matches!(
            file.yanked,
            serde_json::Value::Null | serde_json::Value::Bool(false)
        ),
    })
}

/// Every `<a href="URL#sha256=HASH">FILE</a>`.
fn links(text: &str) -> Vec<File> {
    let mut files = Vec::new();
    for piece in text.split("<a ").skip(1) {
        let Some((tag, rest)) = piece.split_once('>') else {
            continue;
        };
        let Some(href) = attribute(tag, "href") else {
            continue;
        };
        let (url, fragment) = href.split_once('#').unwrap_or((&href, ""));
        let sha256 = fragment
            .split('&')
            .find_map(|item| item.strip_prefix("sha256="));
        let name = rest.split('<').next().unwrap_or_default().trim();
        files.push(File {
            filename: unescaped(name),
            url: url.to_owned(),
            hashes: Hashes {
                sha256: sha256.map(str::to_owned),
            },
            size: None,
            yanked: tag.contains("data-yanked").into(),
        });
    }
    files
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, value) = tag.split_once(&format!("{name}="))?;
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    value.get(1..)?.split(quote).next().map(unescaped)
}

fn unescaped(text: &str) -> String {
    text.replace("&amp;", "&")
        .replace("&#x27;", "'")
        .replace("&quot;", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url() -> Url {
        Url::parse("https://user:secret@host:8/root/simple/tiny-model/").unwrap()
    }

    fn json(files: &[(&str, bool)]) -> Vec<u8> {
        let file = |(name, yanked): &(&str, bool)| {
            serde_json::json!({
                "filename": name, "url": format!("https://f/x/{name}"), "size": 5, "yanked": yanked,
                "hashes": {"sha256": "AB".repeat(32)},
            })
        };
        let files: Vec<_> = files.iter().map(file).collect();
        serde_json::to_vec(&serde_json::json!({"meta": {}, "files": files})).unwrap()
    }

    fn chosen(files: &[(&str, bool)], version: Option<&str>) -> Result<String, String> {
        let wheels = wheels(&url(), &json(files), "tiny-model")?;
        best(wheels, version).map(|wheel| wheel.file)
    }

    #[test]
    fn the_newest_release_is_taken_unless_a_version_is_named() {
        let files = [
            ("tiny_model-1.9-py3-none-any.whl", false),
            ("tiny_model-1.10-py3-none-linux_x86_64.whl", false),
            ("Tiny.Model-1.10-py3-none-any.whl", false),
            ("tiny_model-1.10.0-1-py3-none-win32.whl", false),
            ("tiny_model-2.0rc1-py3-none-any.whl", false),
            ("tiny_model-3.0-py3-none-any.whl", true),
            ("tiny_model-4.0.tar.gz", false),
            ("tiny_model_more-5.0-py3-none-any.whl", false),
            ("other-6.0-py3-none-any.whl", false),
            ("tiny_model-x-py3-none-any.whl", false),
        ];
        assert_eq!(
            chosen(&files, None).unwrap(),
            "Tiny.Model-1.10-py3-none-any.whl"
        );
        assert_eq!(chosen(&files, Some("1.9.0")).unwrap(), files[0].0);
        assert_eq!(chosen(&files, Some("2.0rc1")).unwrap(), files[4].0);
        assert_eq!(chosen(&files, Some("3.0")).unwrap(), files[5].0);
        assert!(chosen(&files, Some("9")).unwrap_err().contains("version 9"));
        assert!(chosen(&files, Some("newest")).is_err());
        assert_eq!(chosen(&files[4..6], None).unwrap(), files[4].0);
        assert!(chosen(&files[5..], None).is_err());
    }

    #[test]
    fn both_forms_of_a_page_say_the_same() {
        let body = json(&[("tiny_model-1.0-py3-none-any.whl", false)]);
        let newer = wheels(&url(), &body, "tiny-model").unwrap();
        assert_eq!(newer[0].sha256.unwrap().hex(), "ab".repeat(32));
        assert_eq!(newer[0].size, Some(5));
        let html = format!(
            "<!DOCTYPE html><a class='x' data-yanked=\"bad\" href='../../f/tiny_model-1.0-py3-none-any.whl#egg=1&amp;sha256={}' >\n\
             tiny_model-1.0-py3-none-any.whl </a><a href=x>y</a><a ><a href='",
            "ab".repeat(32)
        );
        let older = wheels(&url(), html.as_bytes(), "tiny-model").unwrap();
        assert_eq!(older.len(), 1);
        assert_eq!(older[0].sha256, newer[0].sha256);
        assert_eq!(
            older[0].url.as_str(),
            "https://user:secret@host:8/root/f/tiny_model-1.0-py3-none-any.whl"
        );
        assert!(older[0].yanked);
    }

    #[test]
    fn what_is_no_page_or_no_wheel_is_not_taken() {
        for body in ["{", "{}", "{\"files\":{}}", "{\"files\":[1]}"] {
            assert!(
                wheels(&url(), body.as_bytes(), "tiny-model").is_err(),
                "{body}"
            );
        }
        assert!(wheels(&url(), b"\xff", "tiny-model").is_err());
        assert_eq!(wheels(&url(), b"", "tiny-model").unwrap(), []);
        let file = "tiny_model-1.0-py3-none-any.whl";
        for (link, hash) in [
            ("file:///etc/passwd", "ab"),
            ("https://h/x", "../../x"),
            ("https://h/x", ""),
        ] {
            let body = serde_json::json!({"files": [{"filename": file, "url": link, "hashes": {"sha256": hash}}]});
            let body = serde_json::to_vec(&body).unwrap();
            assert_eq!(
                wheels(&url(), &body, "tiny-model").unwrap(),
                [],
                "{link} {hash}"
            );
        }
    }
}
