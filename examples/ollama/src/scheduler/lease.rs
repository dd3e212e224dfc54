//! The right to ask a runner, and the wait for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Refused;
use super::plan::Ticket;
use super::state::Shared;
use crate::runner::client::RunnerClient;

/// The right to ask a runner; dropping it tells that the request is done.
pub(crate) struct Lease {
    pub(super) shared: Arc<Shared>,
    pub(super) ticket: Ticket,
    pub(super) since: Instant,
    pub client: RunnerClient,
    /// How long it took to get it.
    pub waited: Duration,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let shared = &self.shared;
        let mut state = shared.lock();
        state.granted = state.granted.saturating_sub(1);
        state.typical = (state.typical * 7 + self.since.elapsed()) / 8;
        state.plan.finished(shared.now(), self.ticket);
        shared.carry_out(&mut state);
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease")
            .field("ticket", &self.ticket)
            .finish_non_exhaustive()
    }
}

/// A request that waits for its answer. Gives it up if it goes away before a lease has the ticket.
pub(super) struct Waiting<'s> {
    pub shared: &'s Arc<Shared>,
    pub ticket: Option<Ticket>,
    pub answer: oneshot::Receiver<Result<RunnerClient, Refused>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let mut state = self.shared.lock();
            state.waiters.remove(&ticket);
            if let Ok(Ok(_)) = self.answer.try_recv() {
                // It was granted while nobody looked.
                state.granted = state.granted.saturating_sub(1);
            }
            state.plan.cancel(self.shared.now(), ticket);
            self.shared.carry_out(&mut state);
        }
    }
}
