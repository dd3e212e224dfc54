//! Takes an answer from the runner as fast as it comes, whether its client reads it or not.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::timeout;

use super::refit::Events;
use crate::runner::wire::{Event, Failure, FailureKind};
use crate::tasks;

/// How many parts a client may be behind.
const BEHIND: usize = 1 << 14;
/// How long a client that is so far behind may read nothing.
const STALL: Duration = Duration::from_secs(300);

/// The events of an answer. `held` is kept until the last of them has come: a client that reads slowly, or no more, must
/// not keep a model from leaving. Dropping the receiver stops the work.
pub(super) fn hold<T: Send + 'static>(events: Events, held: T) -> Receiver<Event> {
    hold_within(events, held, BEHIND, STALL)
}

fn hold_within<T: Send + 'static>(
    mut events: Events,
    held: T,
    behind: usize,
    stall: Duration,
) -> Receiver<Event> {
    let (sender, receiver) = mpsc::channel(behind + 1);
    tasks::spawn(async move {
        let _held = held;
        // There is always room to say how it ended.
        let Ok(last) = sender.clone().reserve_owned().await else {
            return;
        };
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = sender.closed() => return,
            };
            let Some(event) = event else {
                return;
            };
            match timeout(stall, sender.send(event)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => {
                    let message = "the answer was stopped: its client had stopped reading it";
                    last.send(Event::Failed(Failure::new(FailureKind::Stopped, message)));
                    return;
                }
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn who_reads_no_more_gets_no_more() {
        let held = Arc::new(());
        let endless = stream::repeat_with(|| Event::Text("x".to_owned()));
        let stall = Duration::from_millis(20);
        let mut receiver = hold_within(endless.boxed(), Arc::clone(&held), 3, stall);
        while Arc::strong_count(&held) > 1 {
            tokio::time::sleep(stall).await;
        }
        let mut got = Vec::new();
        while let Some(event) = receiver.recv().await {
            got.push(event);
        }
        let Some(Event::Failed(failure)) = got.pop() else {
            panic!("{got:?}");
        };
        assert_eq!(failure.kind, FailureKind::Stopped);
        assert_eq!(got, vec![Event::Text("x".to_owned()); 3]);
    }
}
