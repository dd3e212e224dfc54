//! The unbounded channel of a request's events: one sender, which never waits, and one receiver.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
#[cfg(feature = "stream")]
use std::task::{Context, Poll};
use std::time::Instant;

/// The sending end. Dropping it ends the stream after what was sent.
#[derive(Debug)]
pub(super) struct Sender<T>(Arc<Shared<T>>);

/// The receiving end. Dropping it drops what was not received.
#[derive(Debug)]
pub(super) struct Receiver<T>(Arc<Shared<T>>);

/// Nothing is there yet, but more may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing has come yet")]
pub struct NotYet;

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    sending: bool,
    receiving: bool,
    /// Of the task that waits for the next change.
    waker: Option<Waker>,
}

pub(super) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            items: VecDeque::new(),
            sending: true,
            receiving: true,
            waker: None,
        }),
        changed: Condvar::new(),
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T> Shared<T> {
    /// Every change under the lock is one assignment or call, so that a poisoned one guards a whole
    /// state.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the receiver look again.
    fn notify(&self, mut state: MutexGuard<'_, State<T>>) {
        let waker = state.waker.take();
        drop(state);
        self.changed.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> State<T> {
    /// The next item, or `None` at the end of the stream.
    fn next(&mut self) -> Result<Option<T>, NotYet> {
        match self.items.pop_front() {
            None if self.sending => Err(NotYet),
            item => Ok(item),
        }
    }
}

impl<T> Sender<T> {
    /// False when the receiver is gone; the item is dropped then.
    pub(super) fn send(&self, item: T) -> bool {
        let mut state = self.0.lock();
        if !state.receiving {
            return false;
        }
        state.items.push_back(item);
        self.0.notify(state);
        true
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.sending = false;
        self.0.notify(state);
    }
}

impl<T> Receiver<T> {
    /// Waits for the next item. `None` at the end of the stream.
    pub(super) fn recv(&self) -> Option<T> {
        let mut state = self.0.lock();
        loop {
            if let Ok(next) = state.next() {
                return next;
            }
            let waited = self.0.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// As [`recv`](Self::recv), but waits no longer than until `deadline`.
    pub(super) fn recv_deadline(&self, deadline: Instant) -> Result<Option<T>, NotYet> {
        let mut state = self.0.lock();
        loop {
            if let Ok(next) = state.next() {
                return Ok(next);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(NotYet);
            }
            let waited = self.0.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// As [`recv`](Self::recv) for tasks: wakes the last one that asked.
    #[cfg(feature = "stream")]
    pub(super) fn poll_recv(&self, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        match state.next() {
            Ok(next) => Poll::Ready(next),
            Err(NotYet) => {
                let before = state.waker.replace(context.waker().clone());
                drop(state);
                drop(before);
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.receiving = false;
        let unread = std::mem::take(&mut state.items);
        drop(state);
        drop(unread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_sent_arrives_in_order_and_then_the_end() {
        let (sender, receiver) = channel();
        let producer = std::thread::spawn(move || {
            for i in 0..10_000 {
                assert!(sender.send(i));
            }
        });
        let received: Vec<i32> = std::iter::from_fn(|| receiver.recv()).collect();
        producer.join().unwrap();
        assert_eq!(received, (0..10_000).collect::<Vec<_>>());
        assert_eq!(receiver.recv(), None);
        assert_eq!(receiver.recv_deadline(Instant::now()), Ok(None));
    }

    #[test]
    fn a_waiting_receiver_learns_of_the_end() {
        let (sender, receiver) = channel::<i32>();
        let waiting = std::thread::spawn(move || receiver.recv());
        drop(sender);
        assert_eq!(waiting.join().unwrap(), None);
    }

    #[test]
    fn sending_to_nobody_is_told_and_what_was_sent_is_dropped() {
        let (sender, receiver) = channel();
        let item = Arc::new(());
        assert!(sender.send(Arc::clone(&item)));
        drop(receiver);
        assert_eq!(Arc::strong_count(&item), 1);
        assert!(!sender.send(Arc::clone(&item)));
        assert_eq!(Arc::strong_count(&item), 1);
    }

    #[test]
    fn nothing_there_yet_is_not_the_end() {
        let (sender, receiver) = channel();
        assert_eq!(receiver.recv_deadline(Instant::now()), Err(NotYet));
        assert_eq!(receiver.recv_deadline(Instant::now()), Err(NotYet));
        assert!(sender.send(1));
        assert_eq!(receiver.recv_deadline(Instant::now()), Ok(Some(1)));
        let far = Instant::now() + std::time::Duration::from_secs(3600);
        let later = std::thread::spawn(move || sender.send(2));
        assert_eq!(receiver.recv_deadline(far), Ok(Some(2)));
        assert!(later.join().unwrap());
        assert_eq!(receiver.recv_deadline(far), Ok(None));
    }

    #[cfg(feature = "stream")]
    mod poll {
        use std::sync::atomic::{AtomicUsize, Ordering};
        use std::task::Wake;

        use super::*;

        #[derive(Default)]
        struct Count(AtomicUsize);

        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }

        impl Count {
            fn get(&self) -> usize {
                self.0.load(Ordering::SeqCst)
            }
        }

        #[test]
        fn the_last_task_that_asked_is_woken_once() {
            let (first, last) = (Arc::new(Count::default()), Arc::new(Count::default()));
            let wakers = [&first, &last].map(|count| Waker::from(Arc::clone(count)));
            let (sender, receiver) = channel();
            for waker in &wakers {
                let asked = receiver.poll_recv(&mut Context::from_waker(waker));
                assert_eq!(asked, Poll::Pending);
            }
            sender.send(1);
            sender.send(2);
            assert_eq!((first.get(), last.get()), (0, 1));
            let mut context = Context::from_waker(&wakers[1]);
            assert_eq!(receiver.poll_recv(&mut context), Poll::Ready(Some(1)));
            assert_eq!(receiver.poll_recv(&mut context), Poll::Ready(Some(2)));
            assert_eq!(receiver.poll_recv(&mut context), Poll::Pending);
            drop(sender);
            assert_eq!(last.get(), 2);
            assert_eq!(receiver.poll_recv(&mut context), Poll::Ready(None));
        }

        #[test]
        fn a_parked_thread_is_woken_for_every_item() {
            struct Unpark(std::thread::Thread);
            impl Wake for Unpark {
                fn wake(self: Arc<Self>) {
                    self.0.unpark();
                }
            }
            let (sender, receiver) = channel();
            let producer = std::thread::spawn(move || (0..1000).all(|i| sender.send(i)));
            let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
            let mut context = Context::from_waker(&waker);
            let mut received = Vec::new();
            loop {
                match receiver.poll_recv(&mut context) {
                    Poll::Ready(Some(item)) => received.push(item),
                    Poll::Ready(None) => break,
                    Poll::Pending => std::thread::park(),
                }
            }
            assert!(producer.join().unwrap());
            assert_eq!(received, (0..1000).collect::<Vec<_>>());
        }
    }
}
