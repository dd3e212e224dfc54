//! What Hugging Face does in its own way: it speaks the registries' protocol for models of one file only, so
//! split models are found in its list of files.

use std::collections::BTreeMap;
use std::sync::Arc;

use llamakit::gguf::SplitName;
use reqwest::{Method, Url};
use serde::Deserialize;

use super::assemble::{self, Part};
use super::download::Origin;
use super::failure::Failure;
use super::http::Call;
use super::mirrors::canonical;
use super::pull::TRIES;
use super::session::Session;
use super::{Endpoint, Registry};
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::name::Name;
use crate::progress::Report;
use crate::store::Store;

const HOST: &str = "huggingface.co";
const MAX_LIST: usize = 16 << 20;
/// The quantisation that is meant when none is named, the first that there is.
const PREFERRED: [&str; 6] = ["Q4_K_M", "Q4_K_S", "Q4_0", "Q5_K_M", "Q8_0", "Q4_1"];

#[derive(Deserialize)]
struct Entry {
    path: String,
    #[serde(default)]
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    path: String,
    digest: Digest,
    size: u64,
}

/// Whether a manifest was refused because the model is split.
pub(super) fn is_sharded(name: &Name, failure: &Failure) -> bool {
    let refused = failure.status.is_some_and(|status| status.as_u16() == 400);
    let text = failure.error.to_string().to_ascii_lowercase();
    canonical(name.host()) == HOST && refused && text.contains("sharded")
}

/// The session with the token that the user has for Hugging Face, when the address is there.
pub(super) fn with_users_token(session: Session, url: &Url) -> Session {
    let there = canonical(url.host_str().unwrap_or_default()) == HOST && url.scheme() == "https";
    match std::env::var("HF_TOKEN") {
        Ok(token) if there && !token.trim().is_empty() => session.with_token(token.trim()),
        _ => session,
    }
}

impl Registry {
    /// Pulls a model that is split over several files: each becomes a layer.
    pub(super) async fn pull_shards(
        &self,
        store: &Store,
        name: &Name,
        endpoints: &[Endpoint],
        report: Report<'_>,
    ) -> Result<()> {
        let repository = format!("{}/{}", name.namespace(), name.model());
        let listed = |endpoint: Endpoint| async move {
            let mut url = endpoint.below(&format!(
                "api/models/{}/{}/tree/main",
                name.namespace(),
                name.model()
            ));
            url.set_query(Some("recursive=true"));
            endpoint
                .session
                .get(Call::new(Method::GET, url), MAX_LIST)
                .await
        };
        let mut found = Err(Failure::from(Error::new(
            Kind::NotFound,
            "file does not exist",
        )));
        for endpoint in endpoints {
            found = self.retried(TRIES, || listed(endpoint.clone())).await;
            if found.is_ok() {
                break;
            }
        }
        let list = found.map_err(|failure| {
            let what = format!(
                "pull model manifest: files of {repository}: {}",
                failure.error
            );
            Error::new(failure.error.kind(), what)
        })?;
        let files = choose(&list, name.tag()).map_err(|why| {
            Error::new(
                Kind::NotFound,
                format!("pull model manifest: {repository}: {why}"),
            )
        })?;
        let mut parts = Vec::new();
        for file in &files {
            let origins = endpoints.iter().map(|endpoint| {
                let url = endpoint.below(&format!("{repository}/resolve/main/{}", file.path));
                Arc::new(Origin::new(Arc::clone(&endpoint.session), url))
            });
            self.pull_blob(
                store,
                file.digest,
                file.size,
                origins.collect(),
                None,
                report,
            )
            .await?;
            parts.push(Part {
                digest: file.digest,
                size: file.size,
            });
        }
        let digests: Vec<String> = files.iter().map(|file| file.digest.to_string()).collect();
        assemble::assemble(store, name, &parts, &digests.join(" "), report)
    }
}

/// The parts of the split model that the tag means, in their order.
fn choose(list: &[u8], tag: &str) -> Result<Vec<File>, String> {
    let entries: Vec<Entry> = serde_json::from_slice(list)
        .map_err(|e| format!("its list of files can't be read: {e}"))?;
    // By their common name: the number of parts, and those that there are.
    let mut models: BTreeMap<String, (u16, BTreeMap<u16, File>)> = BTreeMap::new();
    for Entry { path, lfs } in entries {
        let Some((split, lfs)) = SplitName::parse(&path).zip(lfs) else {
            continue;
        };
        let digest = format!("sha256:{}", lfs.oid)
            .parse()
            .map_err(|e| format!("{path}: {e}"))?;
        let stem = path
            .rsplit_once('-')
            .and_then(|(rest, _)| rest.strip_suffix("-of"));
        let Some((stem, _)) = stem.and_then(|stem| stem.rsplit_once('-')) else {
            continue;
        };
        let model = models
            .entry(stem.to_owned())
            .or_insert((split.count(), BTreeMap::new()));
        let size = lfs.size;
        model.1.insert(split.number(), File { path, digest, size });
    }
    let named = |wanted: &str| models.iter().find(|(stem, _)| means(wanted, stem));
    let found = if tag.eq_ignore_ascii_case("latest") {
        PREFERRED
            .iter()
            .find_map(|wanted| named(wanted))
            .or_else(|| models.iter().next())
    } else {
        named(tag)
    };
    let (stem, (count, parts)) = found.ok_or_else(|| format!("no split model of {tag}"))?;
    if parts.len() != usize::from(*count) {
        return Err(format!(
            "{stem}: {} of {count} parts are there",
            parts.len()
        ));
    }
    Ok(parts.values().cloned().collect())
}

/// Whether a tag means the files of this name: it is the quantisation in it or the whole name.
fn means(tag: &str, stem: &str) -> bool {
    let stem = stem.to_ascii_lowercase();
    let file = stem.rsplit('/').next().unwrap_or_default();
    let tag = tag.to_ascii_lowercase();
    let tag = tag.strip_suffix(".gguf").unwrap_or(&tag);
    let tag = tag
        .rsplit_once("-of-")
        .and_then(|(rest, _)| rest.rsplit_once('-'))
        .map_or(tag, |(t, _)| t);
    let part = |text: &str| {
        text == tag || text.ends_with(&format!("-{tag}")) || text.ends_with(&format!(".{tag}"))
    };
    part(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(paths: &[&str]) -> Vec<u8> {
        let entry = |path: &&str| {
            let oid = Digest::of_bytes(path.as_bytes()).hex();
            serde_json::json!({"type": "file", "path": path, "oid": "x", "size": 1, "lfs": {"oid": oid, "size": 7}})
        };
        serde_json::to_vec(&paths.iter().map(entry).collect::<Vec<_>>()).unwrap()
    }

    fn paths(list: &[u8], tag: &str) -> Result<Vec<String>, String> {
        Ok(choose(list, tag)?
            .into_iter()
            .map(|file| file.path)
            .collect())
    }

    #[test]
    fn the_tag_chooses_among_split_models() {
        let list = list(&[
            "README.md",
            "m-Q8_0.gguf",
            "Q8_0/m-Q8_0-00002-of-00002.gguf",
            "Q8_0/m-Q8_0-00001-of-00002.gguf",
            "m.Q4_K_M-00001-of-00001.gguf",
            "x/m-UD-Q4_K_M-00001-of-00001.gguf",
            "m-Q2_K-00001-of-00003.gguf",
        ]);
        let q8 = [
            "Q8_0/m-Q8_0-00001-of-00002.gguf",
            "Q8_0/m-Q8_0-00002-of-00002.gguf",
        ];
        for tag in ["Q8_0", "q8_0", "m-Q8_0", "m-Q8_0-00001-of-00002.gguf"] {
            assert_eq!(paths(&list, tag).unwrap(), q8, "{tag}");
        }
        assert_eq!(
            paths(&list, "latest").unwrap(),
            ["m.Q4_K_M-00001-of-00001.gguf"]
        );
        assert_eq!(
            paths(&list, "UD-Q4_K_M").unwrap(),
            ["x/m-UD-Q4_K_M-00001-of-00001.gguf"]
        );
        assert!(paths(&list, "Q2_K").unwrap_err().contains("1 of 3 parts"));
        assert!(paths(&list, "Q3_K").unwrap_err().contains("Q3_K"));
        assert!(paths(&list, "8_0").is_err());
    }

    #[test]
    fn lists_that_lie_are_errors() {
        for text in [
            "",
            "{}",
            "null",
            "[{}]",
            r#"[{"path":"m-00001-of-00001.gguf","lfs":{"oid":"../../x","size":1}}]"#,
        ] {
            assert!(choose(text.as_bytes(), "latest").is_err(), "{text}");
        }
    }
}
