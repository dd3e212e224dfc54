//! Work for tokio, given to it by pointer: all that it does for a task is compiled anew for every kind of future and
//! closure otherwise, which took a tenth of the time of compiling this crate.

use futures_util::FutureExt;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Runs work to its end on this thread.
pub(crate) fn block_on<T>(runtime: &Runtime, work: impl Future<Output = T>) -> T {
    runtime.block_on(work.boxed_local())
}

/// Runs work beside what runs here.
pub(crate) fn spawn<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    tokio::spawn(work.boxed())
}

/// Runs what reads files or computes on a thread for it, whether or not anybody waits for what comes of it. Nothing
/// comes of work that panics, or that has not begun when the runtime ends.
pub(crate) fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    let work: Box<dyn FnOnce() + Send> = Box::new(move || {
        let _ = sender.send(work());
    });
    tokio::task::spawn_blocking(work);
    receiver
}
