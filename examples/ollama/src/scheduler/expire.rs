//! The clock of the scheduler.

use std::sync::Weak;
use std::time::{Duration, Instant};

use super::state::Shared;

/// Unloads what nobody used for long enough.
pub(super) async fn expire(shared: Weak<Shared>) {
    loop {
        let next = {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let mut state = shared.lock();
            state.plan.tick(shared.now());
            let actions = state.plan.has_actions();
            if actions {
                shared.carry_out(&mut state);
            }
            state.plan.next_expiry().map(|at| shared.start + at)
        };
        // Looked at now and then in any case, to end with the last handle.
        let most = Instant::now() + Duration::from_secs(60);
        let next = next.map_or(most, |at| at.min(most));
        let Some(strong) = shared.upgrade() else {
            return;
        };
        let sleep = tokio::time::sleep_until(next.into());
        tokio::select! {
            () = sleep => {}
            () = strong.timer.notified() => {}
        }
    }
}
