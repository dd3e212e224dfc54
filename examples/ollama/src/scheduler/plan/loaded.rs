//! What is known of a model that has a runner, and of a request that waits.

use super::{Ticket, Time, Wants};
use crate::settings::KeepAlive;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) enum Stage {
    /// The runner was started and has not said yet what it needs.
    Starting,
    /// It waits for memory.
    Measured,
    Loading,
    Ready,
    /// It was told to end.
    Leaving,
}

/// A model that has a runner.
#[derive(Debug)]
pub(in crate::scheduler) struct Loaded<W> {
    pub stage: Stage,
    pub wants: W,
    /// Bytes that it takes, or will.
    pub memory: u64,
    /// Requests that it was given.
    pub running: Vec<Ticket>,
    /// Which model came before which.
    pub(super) born: u64,
    /// When a request last began or ended.
    pub(super) used: Time,
    /// How long it stays after the last request.
    pub keep_alive: KeepAlive,
    /// Nobody may begin, so that it becomes idle and makes room.
    pub(super) draining: bool,
}

impl<W: Wants> Loaded<W> {
    /// Gives it a request if it will do for that.
    pub(super) fn take<K>(&mut self, now: Time, one: &Pending<K, W>) -> bool {
        let fits = self.wants.will_do(&one.wants);
        if fits {
            self.running.push(one.ticket);
            self.used = now;
            self.keep_alive = one.keep_alive;
        }
        fits
    }
}

impl<W> Loaded<W> {
    pub(super) fn idle(&self) -> bool {
        self.stage == Stage::Ready && self.running.is_empty()
    }

    /// When it is unloaded if nothing happens; `None`: never, or not yet.
    pub(in crate::scheduler) fn expires(&self) -> Option<Time> {
        match self.keep_alive {
            KeepAlive::For(time) if self.idle() => self.used.checked_add(time),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Pending<K, W> {
    pub ticket: Ticket,
    pub key: K,
    pub wants: W,
    pub keep_alive: KeepAlive,
}
