//! Fetches one file in parallel ranges, and goes on where an earlier attempt ended.
//!
//! Ranges of at most 8 MiB are asked for on several connections; each block of 1 MiB that is complete is
//! written, noted in the journal and hashed. What breaks off is asked for again from its last whole block. When
//! the digest is wrong at the end, `repair` finds the blocks that are.

mod hash;
mod journal;
mod origin;
mod repair;
mod system;
mod work;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::interval;

use super::Unfinished;
use super::limits::Limits;
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::progress::{Progress, Report};
use crate::tasks;

pub(super) use journal::{Partial, What};
pub(super) use origin::{Origin, Probe};
use work::Work;

/// How often progress is reported, as often as Ollama does.
const TICK: Duration = Duration::from_millis(60);
/// How often it is looked whether another download of the same has ended.
const POLL: Duration = Duration::from_millis(100);

/// A file to fetch.
pub(super) struct Job<'a> {
    /// The name of its files on the way.
    pub(super) key: String,
    pub(super) what: What,
    /// What it must hash to, if that is known.
    pub(super) digest: Option<Digest>,
    /// Where it is, the best place first.
    pub(super) origins: Vec<Arc<Origin>>,
    /// Lists of hashes of parts, where there may be one.
    pub(super) sums: Option<reqwest::Url>,
    /// What progress is reported of.
    pub(super) status: String,
    /// Whether somebody else has fetched it meanwhile.
    pub(super) present: &'a (dyn Fn() -> bool + Send + Sync),
}

/// A file that was fetched, still under its name on the way.
pub(super) struct Fetched {
    pub(super) partial: Arc<Partial>,
    pub(super) digest: Digest,
}

/// What all downloads share.
pub(super) struct Env<'a> {
    pub(super) dir: &'a Path,
    pub(super) limits: &'a Limits,
    /// The first pause after a failure.
    pub(super) backoff: Duration,
    /// Bytes that the disk has left.
    pub(super) available: &'a (dyn Fn() -> Result<u64> + Send + Sync),
}

impl Job<'_> {
    fn report(&self, report: Report<'_>, completed: u64) {
        report(Progress {
            status: self.status.clone(),
            digest: Some(
                self.digest
                    .map_or_else(|| self.key.clone(), |digest| digest.to_string()),
            ),
            total: Some(self.what.size),
            completed: (completed > 0).then_some(completed),
        });
    }
}

/// Every download in this folder that is not complete.
pub(super) fn unfinished(dir: &Path) -> Vec<Unfinished> {
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<Unfinished> = files
        .filter_map(|file| {
            let name = file.file_name().into_string().ok()?;
            let name = name.strip_suffix(journal::JOURNAL)?.to_owned();
            let (completed, total) = journal::progress(dir, &name).unwrap_or_default();
            Some(Unfinished {
                name,
                completed,
                total,
            })
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Fetches a file; nothing when somebody else did meanwhile.
///
/// # Errors
/// [`Kind::Damaged`] when what came is not what was asked for, [`Kind::Storage`] when the disk is too small, and
/// what the network says when trying again did not help.
pub(super) async fn fetch(
    env: &Env<'_>,
    job: &Job<'_>,
    report: Report<'_>,
) -> Result<Option<Fetched>> {
    job.report(report, 0);
    let Some(partial) = take(env.dir, job, report).await? else {
        return Ok(None);
    };
    let partial = Arc::new(partial);
    let result = fill(&partial, env, job, report).await;
    if result.is_err() && partial.is_empty() {
        // Nothing came that the next attempt could use.
        partial.remove().map_err(|e| disk(&e))?;
    }
    let digest = result?;
    job.report(report, job.what.size);
    Ok(Some(Fetched { partial, digest }))
}

async fn fill(
    partial: &Arc<Partial>,
    env: &Env<'_>,
    job: &Job<'_>,
    report: Report<'_>,
) -> Result<Digest> {
    let needed = partial.needs(&job.what);
    let available = (env.available)()?;
    if needed > available {
        return Err(Error::new(
            Kind::Storage,
            format!("not enough disk space: {needed} bytes are needed, {available} are available"),
        ));
    }
    let (files, what) = (Arc::clone(partial), job.what.clone());
    let here = blocking(move || files.resume(&what))
        .await?
        .map_err(|e| disk(&e))?;
    let work = Work::new(Arc::clone(partial), job, env, here);
    let digest = watched(work.run(), &work, job, report).await?;
    match job.digest {
        Some(expected) if expected != digest => {
            let repairing = repair::repair(&work, job, expected);
            watched(repairing, &work, job, report).await
        }
        _ => Ok(digest),
    }
}

/// Waits for the turn to download, with the progress of who does it now.
async fn take(dir: &Path, job: &Job<'_>, report: Report<'_>) -> Result<Option<Partial>> {
    let mut seen = 0;
    loop {
        if (job.present)() {
            return Ok(None);
        }
        if let Some(partial) = Partial::try_open(dir, &job.key).map_err(|e| disk(&e))? {
            // It may have got its name between the two looks.
            if (job.present)() {
                partial.remove().map_err(|e| disk(&e))?;
                return Ok(None);
            }
            return Ok(Some(partial));
        }
        if let Some((completed, _)) =
            journal::progress(dir, &job.key).filter(|&(now, _)| now > seen)
        {
            seen = completed;
            job.report(report, completed);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Runs work to its end, reporting how far it is.
async fn watched<T>(
    work: impl Future<Output = Result<T>>,
    state: &Work,
    job: &Job<'_>,
    report: Report<'_>,
) -> Result<T> {
    let mut work = std::pin::pin!(work);
    let mut tick = interval(TICK);
    let mut seen = 0;
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = tick.tick() => {
                let completed = state.completed();
                if completed != seen {
                    seen = completed;
                    job.report(report, completed);
                }
            }
        }
    }
}

/// Runs what reads or writes files where it disturbs nobody.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    tasks::on_thread(work).await.map_err(|_| stopped())
}

pub(super) fn stopped() -> Error {
    Error::new(Kind::Cancelled, "the download was stopped")
}

fn disk(error: &std::io::Error) -> Error {
    let reason = match error.raw_os_error() {
        Some(code) => std::io::Error::from_raw_os_error(code).to_string(),
        None => error.to_string(),
    };
    Error::new(
        Kind::Storage,
        format!("the download can't be stored: {reason}"),
    )
}
