//! Pushes a model: every blob that the registry lacks, then the manifest.

use bytes::Bytes;
use reqwest::{Method, StatusCode, header};

use super::failure::Failure;
use super::http::Call;
use super::pull::TRIES;
use super::{Endpoint, Options, Registry};
use crate::error::{Error, Kind, Result};
use crate::name::Name;
use crate::progress::{Progress, Report};
use crate::store::Store;
use crate::store::manifest::{self, Layer, Manifest};

impl Registry {
    /// Brings a model of the store to the registry of its name. Dropping the future stops it.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the store has no such model, [`Kind::Damaged`] when it is not whole,
    /// [`Kind::Unauthorized`], [`Kind::Network`].
    pub async fn push(
        &self,
        store: &Store,
        name: &Name,
        options: &Options,
        report: Report<'_>,
    ) -> Result<()> {
        self.0.http.check_online()?;
        report(Progress::status("retrieving manifest"));
        let endpoint = self.origin(name, options)?;
        let bytes = store.manifest_bytes(name).inspect_err(|_| {
            report(Progress::status("couldn't retrieve manifest"));
        })?;
        let manifest = Manifest::parse(&bytes)?;
        let mut pushed = std::collections::HashSet::new();
        for layer in manifest.blobs() {
            if pushed.insert(layer.digest) {
                self.push_layer(store, name, layer, &endpoint, report)
                    .await?;
            }
        }
        report(Progress::status("pushing manifest"));
        let url = endpoint.url(name, &format!("manifests/{}", name.tag()));
        let mut call =
            Call::new(Method::PUT, url).header(header::CONTENT_TYPE, manifest::MEDIA_TYPE)?;
        call.body = Some(Bytes::from(bytes));
        self.retried(TRIES, || endpoint.session.ok(call.clone()))
            .await
            .map_err(refused)?;
        report(Progress::status("success"));
        Ok(())
    }

    async fn push_layer(
        &self,
        store: &Store,
        name: &Name,
        layer: &Layer,
        endpoint: &Endpoint,
        report: Report<'_>,
    ) -> Result<()> {
        let path = store.layer(layer)?;
        let url = endpoint.url(name, &format!("blobs/{}", layer.digest));
        let has = self
            .retried(TRIES, || async {
                let (response, _) = endpoint
                    .session
                    .send(Call::new(Method::HEAD, url.clone()))
                    .await?;
                match response.status() {
                    status if status.is_success() => Ok(true),
                    StatusCode::NOT_FOUND => Ok(false),
                    _ => Err(Failure::answered(response).await),
                }
            })
            .await
            .map_err(refused)?;
        let progress = |completed: u64| {
            report(Progress {
                status: format!("pushing {}", layer.digest.short()),
                digest: Some(layer.digest.to_string()),
                total: Some(layer.size),
                completed: (completed > 0).then_some(completed),
            });
        };
        progress(0);
        if !has {
            let from = layer
                .from
                .as_deref()
                .and_then(|from| Name::parse(from).ok());
            self.upload(endpoint, name, layer, &path, from.as_ref(), &progress)
                .await
                .map_err(refused)?;
        }
        progress(layer.size);
        Ok(())
    }
}

fn refused(failure: Failure) -> Error {
    match failure.error.kind() {
        Kind::NotFound => Error::new(Kind::NotFound, "the registry has no place of this name"),
        _ => failure.error,
    }
}
