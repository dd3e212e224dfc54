//! Notices a runner that hangs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::state::Shared;
use super::{Key, count};
use crate::runner::client::RunnerClient;
use crate::runner::launch::Control;

/// Between two looks at a runner that has work, and at one that has none.
const BUSY: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(10);

pub(super) async fn watch(shared: Arc<Shared>, key: Key, client: RunnerClient, control: Control) {
    let mut answered = Instant::now();
    loop {
        let pause = if busy(&shared, &key) { BUSY } else { IDLE };
        let pause = pause.min(shared.config.health_timeout / 2);
        tokio::time::sleep(pause).await;
        let limit = shared.config.health_timeout;
        let health = tokio::time::timeout(limit, client.health()).await;
        let mut guard = shared.lock();
        let state = &mut *guard;
        let Some(runner) = state.runners.get_mut(&key) else {
            return;
        };
        let why = match health {
            Ok(Ok(health)) => {
                answered = Instant::now();
                let idle = health.running == 0 && health.queued == 0;
                if idle || health.steps != runner.health.steps {
                    runner.moved = answered;
                }
                let memory = health.memory.total();
                runner.health = health;
                let still = runner.moved.elapsed();
                if memory > 0 {
                    state.plan.takes(&key, memory);
                }
                (still > shared.config.hang_limit).then_some("it computes nothing")
            }
            // A closed connection is the process' end, which is noticed elsewhere.
            Ok(Err(_)) | Err(_) => (answered.elapsed() > limit).then_some("it does not answer"),
        };
        if let Some(why) = why {
            tracing::error!(why, "a runner hangs and is replaced");
            count(&shared.counters.hangs);
            control.end();
            // Those who wait get another one.
            state.plan.stop(shared.now(), &key);
            shared.carry_out(state);
            return;
        }
    }
}

fn busy(shared: &Shared, key: &Key) -> bool {
    let state = shared.lock();
    let running = |model: &super::plan::Loaded<super::Want>| !model.running.is_empty();
    state.plan.model(key).is_some_and(running)
}
