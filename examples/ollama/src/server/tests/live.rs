//! A server that other parts of the program talk to over a real connection.

use std::sync::Mutex;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::*;
use crate::api::TransferRequest;
use crate::error::{Error, Kind};
use crate::progress::Progress;
use crate::server::listen::listen;
use crate::server::transfer::Tell;

/// A server on a port of the system's choice, which ends with this.
pub(crate) struct Live {
    pub bench: Bench,
    pub settings: Settings,
    /// What was pulled.
    pub pulled: Arc<Mutex<Vec<TransferRequest>>>,
    runtime: Option<Runtime>,
}

impl Live {
    /// Pulls give every model but `nowhere`, which they know nothing of; creates are real.
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let pulled: Arc<Mutex<Vec<TransferRequest>>> = Arc::default();
        let noted = Arc::clone(&pulled);
        let (bench, port) = runtime.block_on(async move {
            let mut transfer = Transfer::local();
            transfer.pull = Box::new(move |store: Store, request, tell: Tell, _| {
                noted.lock().unwrap().push(TransferRequest::clone(&request));
                Box::pin(async move { pull(&store, &request, &tell) })
            });
            let bench = Bench::made(FakeLauncher::default(), transfer, &[]);
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let never = std::future::pending();
            tokio::spawn(listen(
                vec![listener],
                bench.router.clone(),
                never,
                Duration::ZERO,
            ));
            (bench, port)
        });
        let host = format!("127.0.0.1:{port}");
        Self {
            settings: settings(bench.dir.path(), &[("OLLAMA_HOST", &host)]),
            bench,
            pulled,
            runtime: Some(runtime),
        }
    }

    /// The server goes away, with all connections.
    pub(crate) fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn pull(store: &Store, request: &TransferRequest, tell: &Tell) -> crate::error::Result<()> {
    tell(Progress::status("pulling manifest"));
    if request.model.starts_with("nowhere") {
        return Err(Error::new(
            Kind::NotFound,
            "pull model manifest: file does not exist",
        ));
    }
    let source = crate::registry::Source::parse(&request.model)?;
    add(
        store,
        &source.name().to_string(),
        &tiny::llama(),
        Some(PLAIN),
    );
    Ok(())
}
