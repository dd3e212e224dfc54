//! Pulls a GGUF file from any address, and all parts of a split one.

use std::sync::Arc;

use llamakit::gguf::SplitName;
use reqwest::Url;

use super::assemble::{self, Part};
use super::download::{self, Job, Origin, Partial, Probe, What};
use super::failure::redacted;
use super::http::Reach;
use super::pull::{TRIES, commit, done};
use super::session::{Rules, Session};
use super::{Options, Registry, hugging_face};
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::name::Name;
use crate::progress::Report;
use crate::store::Store;

impl Registry {
    pub(super) async fn pull_file(
        &self,
        store: &Store,
        name: &Name,
        url: &Url,
        options: &Options,
        report: Report<'_>,
    ) -> Result<()> {
        if url.scheme() == "http" && !options.insecure {
            return Err(Error::new(Kind::Invalid, "insecure protocol http"));
        }
        let reach = if options.remote {
            Reach::Public
        } else {
            Reach::Anywhere
        };
        let rules = Rules {
            asked: reach,
            others: reach,
            downgrade: options.insecure,
        };
        let session = Session::new(Arc::clone(&self.0.http), url, None, rules);
        let session = Arc::new(hugging_face::with_users_token(session, url));
        let mut origins = Vec::new();
        let mut version = String::new();
        for part in parts_of(url)? {
            let origin = Arc::new(Origin::new(Arc::clone(&session), part.clone()));
            let probe = self.retried(TRIES, || origin.probe()).await;
            let probe = probe.map_err(|failure| failure.of(&part))?;
            version += &format!("{} {} {}\n", redacted(&part), probe.size, probe.validator);
            origins.push((part, origin, probe));
        }
        let version = Digest::of_bytes(version.as_bytes()).to_string();
        if assemble::is_here(store, name, &version) {
            return Ok(());
        }
        let here = || assemble::is_here(store, name, &version);
        let (mut parts, mut locks) = (Vec::new(), Vec::new());
        for (url, origin, probe) in origins {
            match self
                .pull_unnamed(store, &url, origin, probe, &here, report)
                .await?
            {
                Some((part, lock)) => {
                    parts.push(part);
                    locks.push(lock);
                }
                // Somebody else pulled the whole model meanwhile.
                None => return Ok(()),
            }
        }
        let assembled = assemble::assemble(store, name, &parts, &version, report);
        locks.iter().try_for_each(|lock| done(lock))?;
        assembled
    }

    /// Fetches a file whose digest nobody told. Others wait until the lock is given back.
    async fn pull_unnamed(
        &self,
        store: &Store,
        url: &Url,
        origin: Arc<Origin>,
        probe: Probe,
        here: &(dyn Fn() -> bool + Send + Sync),
        report: Report<'_>,
    ) -> Result<Option<(Part, Arc<Partial>)>> {
        let key = format!("url-{}", Digest::of_bytes(url.as_str().as_bytes()).hex());
        let file = url
            .path_segments()
            .and_then(|mut parts| parts.next_back())
            .unwrap_or_default();
        let size = probe.size;
        let job = Job {
            key,
            what: What {
                size,
                validator: format!("v{}", probe.validator),
            },
            digest: None,
            origins: vec![origin],
            sums: None,
            status: format!("pulling {file}"),
            present: here,
        };
        let dir = store.partial_dir();
        let available = || store.available();
        let fetched = download::fetch(&self.env(&dir, &available), &job, report).await?;
        let Some(fetched) = fetched else {
            return Ok(None);
        };
        let digest = fetched.digest;
        let lock = commit(store, fetched).await?;
        Ok(Some((Part { digest, size }, lock)))
    }
}

/// The addresses of all parts of a split model, or the one address.
fn parts_of(url: &Url) -> Result<Vec<Url>> {
    let path = url.path();
    let (dir, file) = path.rsplit_once('/').unwrap_or(("", path));
    let Some(split) = SplitName::parse(file) else {
        return Ok(vec![url.clone()]);
    };
    let urls = split.paths().map(|part| {
        let part = part
            .to_str()
            .ok_or_else(|| Error::new(Kind::Invalid, "the name is not UTF-8"))?;
        let mut url = url.clone();
        url.set_path(&format!("{dir}/{part}"));
        Ok(url)
    });
    urls.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_of_a_split_model() {
        let url = Url::parse("https://h/a%20b/m-00002-of-00003.gguf?x=1").unwrap();
        let urls: Vec<String> = parts_of(&url).unwrap().iter().map(Url::to_string).collect();
        let expected = [1, 2, 3].map(|n| format!("https://h/a%20b/m-0000{n}-of-00003.gguf?x=1"));
        assert_eq!(urls, expected);
        let url = Url::parse("https://h/m.gguf").unwrap();
        assert_eq!(parts_of(&url).unwrap(), [url]);
    }
}
