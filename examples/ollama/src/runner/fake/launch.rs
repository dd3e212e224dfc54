//! Fake runners, started as threads of this process or as processes of their own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::FakeBackend;
use crate::api::MemoryByKind;
use crate::runner::http::{Backend, serve};
use crate::runner::launch::{Control, Launched, Launcher, Order, new_token};
use crate::runner::process::Loader;
use crate::runner::wire::{Completion, Failure, Go, Info, Report, Spec};

/// What a fake runner is like.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nature {
    pub memory: u64,
    pub load_time: Duration,
    /// It can't load.
    pub fail: Option<Failure>,
    /// It never becomes ready, and reports nothing.
    pub stands_still: bool,
}

fn info(spec: &Spec, memory: u64) -> Info {
    Info {
        memory: MemoryByKind {
            weights: memory,
            ..MemoryByKind::default()
        },
        context_length: spec.context_length,
        trained_context: 8192,
        threads: 1,
        cpu_reason: "it is a fake".to_owned(),
        ..Info::default()
    }
}

/// Loads a fake in a process of its own.
#[derive(Debug, Default)]
pub(crate) struct FakeLoader;

impl Loader for FakeLoader {
    fn measure(&mut self, _: &Spec) -> Result<MemoryByKind, Failure> {
        Ok(MemoryByKind {
            weights: 1000,
            ..MemoryByKind::default()
        })
    }

    fn load(
        &mut self,
        spec: &Spec,
        _: &Go,
        progress: &mut dyn FnMut(f32),
    ) -> Result<(Arc<dyn Backend>, Info), Failure> {
        progress(0.5);
        let (die, mut dying) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            if dying.blocking_recv().is_some() {
                std::process::abort();
            }
        });
        let backend = FakeBackend {
            parallel: spec.parallel as usize,
            queue: spec.queue,
            memory: 1000,
            die: Some(die),
            ..FakeBackend::default()
        };
        Ok((Arc::new(backend), info(spec, 1000)))
    }
}

/// Runs fakes in this process, each in a runtime of its own, so that it can die.
#[derive(Clone)]
pub(crate) struct FakeLauncher {
    pub nature: Arc<dyn Fn(&Spec) -> Nature + Send + Sync>,
    pub launches: Arc<AtomicUsize>,
    pub seen: Arc<Mutex<Vec<Completion>>>,
    pub specs: Arc<Mutex<Vec<Spec>>>,
}

impl Default for FakeLauncher {
    fn default() -> Self {
        Self {
            nature: Arc::new(|_| Nature {
                memory: 1000,
                ..Nature::default()
            }),
            launches: Arc::default(),
            seen: Arc::default(),
            specs: Arc::default(),
        }
    }
}

impl Launcher for FakeLauncher {
    fn launch(&self, spec: Spec) -> BoxFuture<'static, Result<Launched, Failure>> {
        self.launches.fetch_add(1, Ordering::SeqCst);
        self.specs.lock().unwrap().push(spec.clone());
        let nature = (self.nature)(&spec);
        let seen = Arc::clone(&self.seen);
        Box::pin(async move {
            let token = new_token()?;
            let (control, orders) = Control::new();
            let (reports_in, reports) = mpsc::unbounded_channel();
            let of_thread = token.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(1)
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(live(spec, nature, seen, of_thread, orders, &reports_in));
                runtime.shutdown_background();
                drop(reports_in);
            });
            Ok(Launched {
                reports,
                control,
                token: token.into(),
                pid: None,
            })
        })
    }
}

async fn live(
    spec: Spec,
    nature: Nature,
    seen: Arc<Mutex<Vec<Completion>>>,
    token: String,
    mut orders: mpsc::UnboundedReceiver<Order>,
    reports: &mpsc::UnboundedSender<Report>,
) {
    let send = |report| drop(reports.send(report));
    if nature.stands_still {
        while !matches!(orders.recv().await, Some(Order::End) | None) {}
        return;
    }
    let memory = MemoryByKind {
        weights: nature.memory,
        ..MemoryByKind::default()
    };
    send(Report::Measured(memory));
    if !matches!(orders.recv().await, Some(Order::Go(_))) {
        return;
    }
    tokio::select! {
        () = tokio::time::sleep(nature.load_time) => {}
        _ = orders.recv() => return,
    }
    if let Some(failure) = nature.fail {
        send(Report::Failed(failure));
        return;
    }
    let (die, mut dying) = mpsc::unbounded_channel();
    let backend = FakeBackend {
        parallel: spec.parallel as usize,
        queue: spec.queue,
        memory: nature.memory,
        die: Some(die),
        seen,
        ..FakeBackend::default()
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let mut info = info(&spec, nature.memory);
    info.port = listener.local_addr().expect("its address").port();
    send(Report::Ready(Box::new(info)));
    tokio::select! {
        () = serve(listener, Arc::new(backend), &token) => {}
        _ = orders.recv() => {}
        _ = dying.recv() => {}
    }
}
