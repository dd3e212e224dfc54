//! Follows one runner from its start to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::plan::Stage;
use super::state::Shared;
use super::{Key, count, watch};
use crate::runner::client::RunnerClient;
use crate::runner::launch::Launched;
use crate::runner::wire::{Failure, FailureKind, Info, Report, Spec};
use crate::tasks;

/// How long a process may take to say what its model needs.
const START: Duration = Duration::from_secs(60);

pub(super) async fn drive(shared: Arc<Shared>, key: Key, spec: Spec) {
    match shared.launcher.launch(spec).await {
        Ok(launched) => follow(&shared, &key, launched).await,
        Err(failure) => shared.fail(&key, &failure),
    }
    let mut state = shared.lock();
    let runner = state.runners.remove(&key);
    if runner.is_some_and(|runner| !runner.ended) {
        count(&shared.counters.crashes);
    }
    count(&shared.counters.unloads);
    state.plan.gone(shared.now(), &key);
    shared.carry_out(&mut state);
}

async fn follow(shared: &Arc<Shared>, key: &Key, mut launched: Launched) {
    {
        let mut state = shared.lock();
        if let Some(runner) = state.runners.get_mut(key) {
            runner.control = Some(launched.control.clone());
            if runner.ended {
                launched.control.end();
            }
        }
    }
    let mut watchdog = None;
    let mut changes = shared.changes.subscribe();
    loop {
        let report = match patience(shared, key) {
            Patience::Endless => launched.reports.recv().await,
            // Once it has its memory, loading may stand still.
            Patience::ForMemory => tokio::select! {
                report = launched.reports.recv() => report,
                _ = changes.changed() => continue,
            },
            Patience::For(limit) => match timeout(limit, launched.reports.recv()).await {
                Ok(report) => report,
                // It was told to leave meanwhile.
                Err(_) if !matches!(patience(shared, key), Patience::For(_)) => continue,
                Err(_) => {
                    let message = format!("loading the model stood still for {limit:?}");
                    shared.fail(key, &Failure::new(FailureKind::Load, message));
                    launched.control.end();
                    continue;
                }
            },
        };
        match report {
            // The process is no more.
            None => break,
            Some(Report::Measured(memory)) => {
                let mut state = shared.lock();
                state.plan.measured(shared.now(), key, memory.total());
                shared.carry_out(&mut state);
            }
            Some(Report::Loading(share)) => {
                if let Some(runner) = shared.lock().runners.get_mut(key) {
                    runner.progress = share;
                }
            }
            Some(Report::Ready(info)) => {
                let client = RunnerClient::new(info.port, &launched.token);
                ready(shared, key, client.clone(), *info);
                watchdog = Some(tasks::spawn(watch::watch(
                    Arc::clone(shared),
                    Arc::clone(key),
                    client,
                    launched.control.clone(),
                )));
            }
            Some(Report::Failed(failure)) => {
                tracing::warn!(pid = launched.pid, %failure, "a model can't be loaded");
                shared.fail(key, &failure);
            }
        }
    }
    if let Some(watchdog) = watchdog {
        watchdog.abort();
        // It must not see the runner that comes after this one.
        let _ = watchdog.await;
    }
    // What waited for a process that died without a word.
    let loading = shared
        .lock()
        .plan
        .model(key)
        .is_some_and(|model| !matches!(model.stage, Stage::Ready | Stage::Leaving));
    if loading {
        let message = "the model's runner stopped while it was loading";
        shared.fail(key, &Failure::new(FailureKind::Stopped, message));
    }
}

/// How long the next report may take.
enum Patience {
    For(Duration),
    /// As long as there is no memory for it.
    ForMemory,
    Endless,
}

fn patience(shared: &Shared, key: &Key) -> Patience {
    let state = shared.lock();
    match state.plan.model(key).map(|model| model.stage) {
        Some(Stage::Starting) => Patience::For(START),
        Some(Stage::Measured) => Patience::ForMemory,
        Some(Stage::Loading) => shared
            .config
            .load_timeout
            .map_or(Patience::Endless, Patience::For),
        Some(Stage::Ready | Stage::Leaving) | None => Patience::Endless,
    }
}

fn ready(shared: &Arc<Shared>, key: &Key, client: RunnerClient, info: Info) {
    count(&shared.counters.loads);
    let memory = info.memory.total();
    let mut state = shared.lock();
    if let Some(runner) = state.runners.get_mut(key) {
        runner.client = Some(client);
        runner.info = Arc::new(info);
        runner.progress = 1.0;
        runner.moved = std::time::Instant::now();
    }
    state.plan.ready(shared.now(), key, memory);
    shared.carry_out(&mut state);
}
