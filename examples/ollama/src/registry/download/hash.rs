//! Hashes the blocks in their order while they come in any order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::journal::{Partial, What};
use super::{disk, stopped};
use crate::digest::{Digest, Hasher};
use crate::error::Result;
use crate::tasks;

/// So many blocks are kept in memory for hashing; the others are read again.
const KEPT: usize = 16;

/// Where finished blocks are announced.
#[derive(Clone)]
pub(super) struct Announcer {
    sender: mpsc::UnboundedSender<(usize, Option<Vec<u8>>)>,
    kept: Arc<AtomicUsize>,
}

/// Hashing, in a thread of its own.
pub(super) struct Hashing {
    task: Option<oneshot::Receiver<Result<Option<Digest>>>>,
    stop: Arc<AtomicBool>,
}

impl Announcer {
    /// This block is complete and on disk.
    pub(super) fn complete(&self, block: usize, bytes: Vec<u8>) {
        let keep = self.kept.load(Ordering::Relaxed) < KEPT;
        if keep {
            self.kept.fetch_add(1, Ordering::Relaxed);
        }
        // When hashing has ended with an error, that is what is reported.
        let _ = self.sender.send((block, keep.then_some(bytes)));
    }
}

impl Hashing {
    /// Begins with the blocks that are here.
    pub(super) fn start(partial: Arc<Partial>, what: What, here: Vec<bool>) -> (Self, Announcer) {
        let (sender, mut receiver) = mpsc::unbounded_channel::<(usize, Option<Vec<u8>>)>();
        let kept = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (left, stopped) = (Arc::clone(&kept), Arc::clone(&stop));
        let task = tasks::on_thread(move || {
            let mut here = here;
            let mut hasher = Hasher::new();
            let mut buffer = Vec::new();
            let mut next = 0;
            loop {
                while here.get(next).copied().unwrap_or(false) {
                    if stopped.load(Ordering::Relaxed) {
                        return Ok(None);
                    }
                    partial
                        .read(&what, next, &mut buffer)
                        .map_err(|e| disk(&e))?;
                    hasher.update(&buffer);
                    next += 1;
                }
                if next == here.len() {
                    return Ok(Some(hasher.finish()));
                }
                let Some((block, bytes)) = receiver.blocking_recv() else {
                    return Ok(None);
                };
                if let Some(bytes) = &bytes {
                    left.fetch_sub(1, Ordering::Relaxed);
                    if block == next {
                        hasher.update(bytes);
                        next += 1;
                        continue;
                    }
                }
                if let Some(here) = here.get_mut(block) {
                    *here = true;
                }
            }
        });
        let hashing = Self {
            task: Some(task),
            stop,
        };
        (hashing, Announcer { sender, kept })
    }

    /// The digest of all blocks, when all were announced.
    pub(super) async fn finish(mut self) -> Result<Digest> {
        match self.task.take() {
            Some(task) => task.await.map_err(|_| stopped())??.ok_or_else(stopped),
            None => Err(stopped()),
        }
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
