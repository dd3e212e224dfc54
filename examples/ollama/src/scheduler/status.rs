//! What is loaded and what goes on, for those who ask.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::plan::Stage;
use super::state::Runner;
use super::{Card, Scheduler};
use crate::api::MemoryByKind;
use crate::runner::wire::{Health, Info};
use crate::settings::KeepAlive;

/// A model, as `ps` tells it.
#[derive(Debug, Clone)]
pub(crate) struct LoadedModel {
    pub card: Arc<Card>,
    pub state: &'static str,
    pub memory: MemoryByKind,
    pub info: Arc<Info>,
    pub health: Health,
    pub requests: usize,
    /// `None`: never, or it is busy.
    pub expires: Option<SystemTime>,
    pub keep_alive: KeepAlive,
    /// Share of the weights that is loaded.
    pub progress: f32,
}

impl Scheduler {
    /// What is loaded, or about to be.
    pub(crate) fn loaded(&self) -> Vec<LoadedModel> {
        let state = self.shared.lock();
        let now = self.shared.now();
        let models = state.plan.models().filter_map(|(key, model)| {
            let runner = state.runners.get(key)?;
            let until = |time: Duration| SystemTime::now().checked_add(time.saturating_sub(now));
            Some(LoadedModel {
                card: Arc::clone(&runner.card),
                state: match model.stage {
                    Stage::Starting | Stage::Measured | Stage::Loading => "loading",
                    Stage::Ready => "ready",
                    Stage::Leaving => "stopping",
                },
                memory: match runner.health.memory.total() {
                    0 => runner.info.memory,
                    _ => runner.health.memory,
                },
                info: Arc::clone(&runner.info),
                health: runner.health.clone(),
                requests: model.running.len() + state.plan.pending_of(key),
                expires: model.expires().and_then(until),
                keep_alive: model.keep_alive,
                progress: runner.progress,
            })
        });
        models.collect()
    }

    /// Requests that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.lock().plan.waiting()
    }

    /// Requests that were let through and are not done.
    pub(crate) fn granted(&self) -> usize {
        self.shared.lock().granted
    }

    /// Whether all that is to be done moves on.
    pub(crate) fn moves(&self) -> bool {
        let limit = self.shared.config.hang_limit.min(Duration::from_secs(30));
        let state = self.shared.lock();
        // How long loading may stand still is looked after elsewhere.
        let stuck = |runner: &Runner| {
            let loaded = runner.client.is_some();
            loaded && (runner.moved.elapsed() > limit || runner.health.stalled)
        };
        !state.closing && !state.runners.values().any(stuck)
    }
}
