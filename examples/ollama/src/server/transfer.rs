//! Pulls, pushes and creates in the background of their requests' streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;

use crate::api::TransferRequest;
use crate::create;
use crate::error::{Error, Kind, Result};
use crate::name::Name;
use crate::progress::Progress;
use crate::registry::{Options, Registry, Source};
use crate::store::Store;
use crate::tasks;

/// Who is told how far it is.
pub(crate) type Tell = Arc<dyn Fn(Progress) + Send + Sync>;

/// A pull, push or create that runs until it is done or dropped.
pub(crate) type Work = BoxFuture<'static, Result<()>>;

/// Begins what is asked for; the last is whether it was asked from elsewhere.
pub(crate) type Begin<R> = dyn Fn(Store, R, Tell, bool) -> Work + Send + Sync;

/// How models come and go. Behind an interface, so that the server is tested without a network.
pub(crate) struct Transfer {
    pub pull: Box<Begin<TransferRequest>>,
    pub push: Box<Begin<TransferRequest>>,
    pub create: Box<Begin<create::Request>>,
}

impl Transfer {
    /// With registries, and with what this program can make.
    pub(crate) fn new(registry: Registry, prune: bool) -> Self {
        let pushes = registry.clone();
        Self {
            pull: Box::new(
                move |store: Store, request: TransferRequest, tell: Tell, remote| -> Work {
                    let registry = registry.clone();
                    Box::pin(async move {
                        let source = Source::parse(&request.model)?;
                        let options = options(&request, remote);
                        let report = |progress| tell(progress);
                        registry.pull(&store, &source, &options, &report).await
                    })
                },
            ),
            push: Box::new(
                move |store: Store, request: TransferRequest, tell: Tell, remote| -> Work {
                    let registry = pushes.clone();
                    Box::pin(async move {
                        let name = Name::parse(&request.model)?;
                        let options = options(&request, remote);
                        let report = |progress| tell(progress);
                        registry.push(&store, &name, &options, &report).await
                    })
                },
            ),
            create: Box::new(move |store, request, tell, _| -> Work {
                Box::pin(make(store, request, tell, prune))
            }),
        }
    }
}

fn options(request: &TransferRequest, remote: bool) -> Options {
    Options {
        insecure: request.insecure,
        remote,
    }
}

/// Tells a thread to stop when nobody waits for it any more.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn make(store: Store, request: create::Request, tell: Tell, prune: bool) -> Result<()> {
    let stop = Stop(Arc::default());
    let flag = Arc::clone(&stop.0);
    let work = tasks::on_thread(move || {
        let report = |progress| tell(progress);
        let control = create::Control { stop: &flag, prune };
        create::create(&store, &request, &report, control)
    });
    let died = |_| Error::new(Kind::Storage, "the server failed");
    let done = work.await.map_err(died)?;
    drop(stop);
    done
}

#[cfg(test)]
impl Transfer {
    /// Refuses what needs a network.
    pub(crate) fn local() -> Self {
        Self {
            create: Box::new(|store, request, tell, _| Box::pin(make(store, request, tell, true))),
            ..Self::unavailable()
        }
    }

    /// Refuses everything.
    pub(crate) fn unavailable() -> Self {
        fn refuse() -> Work {
            Box::pin(async { Err(Error::new(Kind::Unsupported, "not in this test")) })
        }
        Self {
            pull: Box::new(|_, _, _, _| refuse()),
            push: Box::new(|_, _, _, _| refuse()),
            create: Box::new(|_, _, _, _| refuse()),
        }
    }
}
