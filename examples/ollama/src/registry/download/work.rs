//! The connections of one download: each takes a range, asks for it, and again for what did not come.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinSet;

use super::super::failure::Failure;
use super::super::limits::Limits;
use super::hash::{Announcer, Hashing};
use super::journal::{BLOCK, Partial, What};
use super::origin::{Origin, Part};
use super::{Env, Job, blocking, disk, stopped};
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::tasks;

/// The most that is asked for at once.
const RANGE: u64 = 8 << 20;
/// How often in a row a range may fail without a whole block of it having come.
const TRIES: u32 = 6;
/// So many bytes are brought to the disk at a time, beside the download.
const BEHIND: u64 = 32 << 20;
/// The longest pause between two tries.
const LONGEST: Duration = Duration::from_secs(10);

/// The state of a download, shared by its connections.
pub(super) struct Work(Arc<Shared>);

struct Shared {
    partial: Arc<Partial>,
    what: What,
    origins: Vec<Arc<Origin>>,
    limits: Limits,
    backoff: Duration,
    queue: Mutex<VecDeque<Range<u64>>>,
    here: Vec<AtomicBool>,
    completed: AtomicU64,
    /// Bytes that were written since the disk was last told.
    behind: AtomicU64,
    syncing: AtomicBool,
    /// The place that had something last.
    good: AtomicUsize,
    /// The server knows no ranges, and one connection takes everything.
    sequential: AtomicBool,
}

impl Work {
    /// What is left to do when these blocks are here.
    pub(super) fn new(
        partial: Arc<Partial>,
        job: &Job<'_>,
        env: &Env<'_>,
        here: Vec<bool>,
    ) -> Self {
        let what = job.what.clone();
        let done = (0..here.len()).filter(|&block| here[block]);
        let completed = done
            .map(|block| what.range(block))
            .map(|range| range.end - range.start)
            .sum();
        Self(Arc::new(Shared {
            queue: Mutex::new(missing(&what, &here)),
            partial,
            what,
            origins: job.origins.clone(),
            limits: env.limits.clone(),
            backoff: env.backoff,
            here: here.into_iter().map(AtomicBool::new).collect(),
            completed: AtomicU64::new(completed),
            behind: AtomicU64::new(0),
            syncing: AtomicBool::new(false),
            good: AtomicUsize::new(0),
            sequential: AtomicBool::new(false),
        }))
    }

    /// Bytes that are here.
    pub(super) fn completed(&self) -> u64 {
        self.0.completed.load(Ordering::Relaxed)
    }

    pub(super) fn partial(&self) -> &Arc<Partial> {
        &self.0.partial
    }

    pub(super) fn origins(&self) -> &[Arc<Origin>] {
        &self.0.origins
    }

    /// Fetches all that is missing and hashes everything.
    pub(super) async fn run(&self) -> Result<Digest> {
        let here = self
            .0
            .here
            .iter()
            .map(|here| here.load(Ordering::Relaxed))
            .collect();
        let (hashing, announcer) =
            Hashing::start(Arc::clone(&self.0.partial), self.0.what.clone(), here);
        let waiting = self.0.queue().len();
        let mut tasks = JoinSet::new();
        for _ in 0..self.0.limits.count().min(waiting) {
            let (shared, announcer) = (Arc::clone(&self.0), announcer.clone());
            tasks.spawn(async move { shared.connection(&announcer).await }.boxed());
        }
        drop(announcer);
        while let Some(done) = tasks.join_next().await {
            // The first failure ends the others: they are dropped with the set.
            done.map_err(|_| stopped())??;
        }
        hashing.finish().await
    }

    /// Fetches a block that is here once more.
    pub(super) async fn again(&self, block: usize) -> Result<Vec<u8>> {
        let range = self.0.what.range(block);
        let mut failures = 0;
        loop {
            match self.0.whole(range.clone(), failures).await {
                Ok(bytes) => return Ok(bytes),
                Err(failure) => self.0.pause(failure, &mut failures).await?,
            }
        }
    }

    /// Writes another version of a block.
    pub(super) async fn replace(&self, block: usize, bytes: Vec<u8>) -> Result<()> {
        let shared = Arc::clone(&self.0);
        let written = blocking(move || shared.partial.write(&shared.what, block, &bytes)).await?;
        written.map_err(|e| disk(&e))
    }
}

/// The ranges that are not here, none longer than what is asked for at once.
fn missing(what: &What, here: &[bool]) -> VecDeque<Range<u64>> {
    let mut ranges: VecDeque<Range<u64>> = VecDeque::new();
    for block in (0..here.len()).filter(|&block| !here[block]) {
        let range = what.range(block);
        match ranges.back_mut() {
            Some(last) if last.end == range.start && range.end - last.start <= RANGE => {
                last.end = range.end;
            }
            _ => ranges.push_back(range),
        }
    }
    ranges
}

impl Shared {
    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<Range<u64>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connection(self: &Arc<Self>, announcer: &Announcer) -> Result<()> {
        let mut takes_all = false;
        loop {
            let Some(mut range) = self.queue().pop_front() else {
                return Ok(());
            };
            let mut failures = 0;
            while !range.is_empty() {
                let permit = self.limits.stream().await;
                let before = range.start;
                let result = self
                    .stream(&mut range, &mut takes_all, announcer, failures)
                    .await;
                drop(permit);
                if range.start > before {
                    failures = 0;
                }
                if let Err(failure) = result {
                    self.pause(failure, &mut failures).await?;
                }
            }
        }
    }

    /// Takes blocks of the range until it is complete or the answer ends.
    async fn stream(
        self: &Arc<Self>,
        range: &mut Range<u64>,
        takes_all: &mut bool,
        announcer: &Announcer,
        failures: u32,
    ) -> Result<(), Failure> {
        let (origin, Part { mut response, all }) = self.part(range.clone(), failures).await?;
        if all {
            if !*takes_all && self.sequential.swap(true, Ordering::Relaxed) {
                // Another connection gets this range with all the rest.
                *range = range.end..range.end;
                return Ok(());
            }
            *takes_all = true;
            self.queue().clear();
            *range = 0..self.what.size;
        }
        let mut buffer: Vec<u8> = Vec::new();
        while !range.is_empty() {
            let block = usize::try_from(range.start / BLOCK).unwrap_or(usize::MAX);
            let end = self.what.range(block).end;
            let length = usize::try_from(end - range.start).unwrap_or(usize::MAX);
            let Some(bytes) = origin.session().http.next(&mut response).await? else {
                return Err(Failure::passing(format!(
                    "the answer ended {} bytes early",
                    range.end - range.start
                )));
            };
            self.limits.bytes(bytes.len()).await;
            let mut bytes = &bytes[..];
            let mut wanted = length;
            while !bytes.is_empty() && !range.is_empty() {
                if buffer.capacity() < wanted {
                    buffer.reserve_exact(wanted - buffer.len());
                }
                let (taken, rest) = bytes.split_at(bytes.len().min(wanted - buffer.len()));
                buffer.extend_from_slice(taken);
                bytes = rest;
                if buffer.len() < wanted {
                    break;
                }
                let block = usize::try_from(range.start / BLOCK).unwrap_or(usize::MAX);
                self.complete(block, std::mem::take(&mut buffer), announcer)
                    .await?;
                range.start = self.what.range(block).end;
                let next = self.what.range(block.saturating_add(1));
                wanted = usize::try_from(next.end - next.start).unwrap_or(usize::MAX);
            }
        }
        Ok(())
    }

    async fn complete(
        self: &Arc<Self>,
        block: usize,
        bytes: Vec<u8>,
        announcer: &Announcer,
    ) -> Result<()> {
        let Some(here) = self.here.get(block) else {
            return Ok(());
        };
        if here.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let (partial, what) = (Arc::clone(&self.partial), self.what.clone());
        let length = bytes.len() as u64;
        let bytes = blocking(move || partial.write(&what, block, &bytes).map(|()| bytes)).await?;
        announcer.complete(block, bytes.map_err(|e| disk(&e))?);
        self.completed.fetch_add(length, Ordering::Relaxed);
        let behind = self.behind.fetch_add(length, Ordering::Relaxed) + length;
        if behind >= BEHIND && !self.syncing.swap(true, Ordering::Relaxed) {
            self.behind.store(0, Ordering::Relaxed);
            let shared = Arc::clone(self);
            // Nobody waits for it: at the end all is synced once more.
            tasks::on_thread(move || {
                shared.partial.sync_behind();
                shared.syncing.store(false, Ordering::Relaxed);
            });
        }
        Ok(())
    }

    /// All bytes of a short range.
    async fn whole(&self, range: Range<u64>, failures: u32) -> Result<Vec<u8>, Failure> {
        let _permit = self.limits.stream().await;
        let (origin, Part { mut response, all }) = self.part(range.clone(), failures).await?;
        let mut skip = if all { range.start } else { 0 };
        let mut out = Vec::new();
        let wanted = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        while out.len() < wanted {
            let Some(bytes) = origin.session().http.next(&mut response).await? else {
                return Err(Failure::passing("the answer ended early"));
            };
            self.limits.bytes(bytes.len()).await;
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
            skip -= skipped as u64;
            let taken = &bytes[skipped..];
            out.extend_from_slice(&taken[..taken.len().min(wanted - out.len())]);
        }
        Ok(out)
    }

    /// Waits before the next try, or gives up.
    async fn pause(&self, failure: Failure, failures: &mut u32) -> Result<()> {
        *failures += 1;
        // Another place may have what the first one lacks.
        let elsewhere = (*failures as usize) < self.origins.len();
        let wait = match failure.retry {
            Some(wait) if *failures < TRIES => wait,
            None if elsewhere => return Ok(()),
            _ => return Err(failure.error),
        };
        tracing::info!("{}; trying again", failure.error);
        let pause = self
            .backoff
            .saturating_mul(failures.saturating_mul(*failures))
            .min(LONGEST);
        tokio::time::sleep(pause.max(wait)).await;
        Ok(())
    }

    /// Asks the place that is best known, another one after each failure.
    async fn part(&self, range: Range<u64>, failures: u32) -> Result<(Arc<Origin>, Part), Failure> {
        let count = self.origins.len().max(1);
        let at = (self.good.load(Ordering::Relaxed) + failures as usize) % count;
        let Some(origin) = self.origins.get(at) else {
            return Err(Error::new(Kind::NotFound, "there is no place to fetch it from").into());
        };
        let part = origin.part(range, self.what.size).await?;
        self.good.store(at, Ordering::Relaxed);
        Ok((Arc::clone(origin), part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_asked_for_in_few_ranges() {
        let what = What {
            size: 20 * BLOCK + 1,
            validator: String::new(),
        };
        let mut here = vec![false; 21];
        let all: Vec<_> = missing(&what, &here).into();
        assert_eq!(
            all,
            [
                0..8 * BLOCK,
                8 * BLOCK..16 * BLOCK,
                16 * BLOCK..20 * BLOCK + 1
            ]
        );
        here[..3].fill(true);
        here[5] = true;
        let some: Vec<_> = missing(&what, &here).into();
        let expected = [
            3 * BLOCK..5 * BLOCK,
            6 * BLOCK..14 * BLOCK,
            14 * BLOCK..20 * BLOCK + 1,
        ];
        assert_eq!(some, expected);
        assert!(missing(&what, &[true; 21]).is_empty());
    }
}
