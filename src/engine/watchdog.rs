//! Watches the clock: deadlines of requests, and steps that do not end.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::shared::{Ended, Shared, lock};
use crate::error::{Error, ErrorKind, Result};

/// How often steps are looked at; deadlines are met exactly.
const LOOK: Duration = Duration::from_millis(500);

pub(super) fn start(shared: Arc<Shared>) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("llamakit-watchdog".to_owned())
        .spawn(move || watch(&shared))
        .map_err(|error| {
            Error::new(
                ErrorKind::OutOfMemory,
                format!("the engine's watchdog could not be started: {error}"),
            )
        })
}

fn watch(shared: &Shared) {
    loop {
        let late = {
            let mut state = lock(&shared.state);
            let now = Instant::now();
            if state.closing.is_some_and(|until| until <= now) {
                break;
            }
            let mut late = Vec::new();
            state.deadlines.retain(|control| {
                // Nobody else holds it: the request is over.
                if Arc::strong_count(control) == 1 || control.ended().is_some() {
                    return false;
                }
                let due = control.deadline.is_none_or(|deadline| deadline <= now);
                if due {
                    late.push(Arc::clone(control));
                }
                !due
            });
            if late.is_empty() {
                let next = state.deadlines.iter().filter_map(|c| c.deadline).min();
                let next = next.map_or(LOOK, |next| next - now).min(LOOK);
                let until_end = state.closing.map_or(next, |until| until - now);
                let (guard, _) = shared
                    .watch
                    .wait_timeout(state, next.min(until_end))
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                drop(guard);
            }
            late
        };
        for control in late {
            shared.end(&control, Ended::Deadline);
        }
        look_at_step(shared);
    }
    // Whatever still computes is not waited for.
    let step = lock(&shared.step);
    if let (Some(_), Some(abort)) = (step.started, &step.abort) {
        abort.abort();
    }
    shared.work.notify_all();
}

/// Aborts a step that takes too long; the worker then ends its requests and makes a new context.
fn look_at_step(shared: &Shared) {
    let mut step = lock(&shared.step);
    let hung = step
        .started
        .is_some_and(|started| started.elapsed() > shared.params.stall_limit);
    if hung && !step.stalled {
        tracing::error!(limit = ?shared.params.stall_limit, "a step does not end");
        step.stalled = true;
        if let Some(abort) = &step.abort {
            abort.abort();
        }
    }
    let stalled = hung;
    drop(step);
    lock(&shared.stats).now.stalled = stalled;
}
