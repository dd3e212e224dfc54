//! How much of the network transfers may use: connections at once and bytes per second, over all of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// Shared by all transfers of a client.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    streams: Arc<Semaphore>,
    count: usize,
    pace: Option<Arc<Pace>>,
}

#[derive(Debug)]
struct Pace {
    bytes_per_second: u64,
    /// When all that was let through so far will have taken its time.
    free: Mutex<Instant>,
}

impl Limits {
    /// At most so many connections, at least one, and so many bytes per second.
    pub(super) fn new(streams: usize, bytes_per_second: Option<u64>) -> Self {
        let count = streams.clamp(1, Semaphore::MAX_PERMITS);
        let pace = bytes_per_second.map(|bytes_per_second| {
            Arc::new(Pace {
                bytes_per_second: bytes_per_second.max(1),
                free: Mutex::new(Instant::now()),
            })
        });
        Self {
            streams: Arc::new(Semaphore::new(count)),
            count,
            pace,
        }
    }

    /// How many connections there may be.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Waits for a connection to be free.
    pub(super) async fn stream(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.streams).acquire_owned().await.ok()
    }

    /// Waits until these bytes, which were received or will be sent, are within the rate.
    pub(super) async fn bytes(&self, bytes: usize) {
        let Some(pace) = &self.pace else {
            return;
        };
        let until = {
            let mut free = pace.free.lock().await;
            let nanos =
                u128::from(bytes as u64) * 1_000_000_000 / u128::from(pace.bytes_per_second);
            let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
            *free = (*free).max(Instant::now()) + Duration::from_nanos(nanos);
            *free
        };
        sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_of_all_transfers_take_their_time() {
        let limits = Limits::new(4, Some(1000));
        let start = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let limits = limits.clone();
            tasks.spawn(async move {
                for _ in 0..5 {
                    limits.bytes(500).await;
                }
            });
        }
        tasks.join_all().await;
        assert_eq!(start.elapsed().as_secs(), 10);
        Limits::new(4, None).bytes(usize::MAX).await;
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test]
    async fn no_more_connections_than_allowed() {
        let limits = Limits::new(0, None);
        assert_eq!(limits.count(), 1);
        let first = limits.stream().await;
        let second = limits.clone();
        assert!(
            tokio::time::timeout(Duration::from_millis(1), second.stream())
                .await
                .is_err()
        );
        drop(first);
        assert!(second.stream().await.is_some());
    }
}
