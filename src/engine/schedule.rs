//! Who may start and from what, who waits for whom, and which rows a step has. Decided from plain
//! numbers, without a context, so that every decision is tested against a slow, obvious model.

use std::cmp::Reverse;

use super::cache::CacheKey;
use crate::token::Token;

/// A prefix that another request still computes is waited for when it is at least this much longer
/// than what is there already.
pub(super) const WORTH_WAITING: usize = 16;

/// A request that waits for another one to compute the prefix that both share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) leader: u64,
    /// Tokens that they share.
    pub(super) len: usize,
}

/// Whether a request can run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Now,
    /// When others are done.
    Later,
    /// In a context of more cells, which can be made when nothing runs.
    Grow,
}

/// What a request starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// The longest prefix that is cached, or nothing.
    Cached,
    /// What a running request has computed: its place among these, and how many tokens.
    Shared(usize, usize),
    /// What a running request is going to compute.
    Wait(Wait),
}

/// What has become of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    NotYet,
    /// The prefix is there, in the running request at this place.
    There(usize),
    /// The prefix will not come.
    Never,
}

/// A request as others see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer<'a> {
    pub(super) id: u64,
    pub(super) key: &'a CacheKey,
    /// What it shares with others begins with this.
    pub(super) prompt: &'a [Token],
    /// Whether others may start from it and it from others.
    pub(super) reuse: bool,
    /// Tokens that it will have computed at most.
    pub(super) worst: usize,
    /// Tokens that it has computed.
    pub(super) done: usize,
    pub(super) wait: Option<Wait>,
    /// Whether tokens may leave its window. Cells that it shared stay with the others then and it
    /// takes new ones, so that all of its worst case counts, always.
    pub(super) shifts: bool,
}

/// What a context allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Requests that run at the same time.
    pub(super) parallel: usize,
    /// Tokens of one request.
    pub(super) longest: usize,
    /// Cells that all requests take theirs from; `None` where each has its own.
    pub(super) pool: Option<usize>,
    /// Whether requests share the cells of what they have in common.
    pub(super) shares_cells: bool,
    /// Requests share multiples of this many tokens.
    pub(super) grain: usize,
}

impl Limits {
    /// Whether `new` can run beside the running requests. `held`: cells of those that do not shift,
    /// shared ones counted once. `saved`: what [`saved`](Self::saved) says.
    pub(super) fn fit(
        &self,
        running: &[Peer<'_>],
        new: &Peer<'_>,
        held: impl FnOnce() -> usize,
        saved: impl FnOnce() -> usize,
    ) -> Fit {
        if running.len() >= self.parallel {
            return Fit::Later;
        }
        if new.worst > self.longest {
            return match running.is_empty() {
                true => Fit::Grow,
                false => Fit::Later,
            };
        }
        match self.pool {
            Some(pool) if self.promised(running, held()) + new.worst > pool + saved() => Fit::Later,
            _ => Fit::Now,
        }
    }

    /// Cells that the running requests hold or may still take.
    pub(super) fn promised(&self, running: &[Peer<'_>], held: usize) -> usize {
        let may_take = |peer: &Peer<'_>| {
            if peer.shifts {
                return peer.worst;
            }
            let awaited = peer.wait.map_or(0, |wait| self.awaited(running, wait));
            peer.worst.saturating_sub(peer.done + awaited)
        };
        held + running.iter().map(may_take).sum::<usize>()
    }

    /// Cells that a wait will bring which are counted with the request that computes them.
    fn awaited(&self, running: &[Peer<'_>], wait: Wait) -> usize {
        let leader = running.iter().find(|peer| peer.id == wait.leader);
        match leader {
            Some(leader) if self.shares_cells && !leader.shifts => wait.len,
            _ => 0,
        }
    }

    /// Cells that `new` need not take, because running requests that do not shift hold them.
    /// `cached`: how many these hold of what is cached for it.
    pub(super) fn saved(
        &self,
        running: &[Peer<'_>],
        new: &Peer<'_>,
        start: Start,
        cached: impl FnOnce() -> usize,
    ) -> usize {
        match start {
            _ if !self.shares_cells || new.shifts => 0,
            Start::Cached => cached(),
            Start::Shared(place, _) if running[place].shifts => 0,
            Start::Shared(_, len) => len,
            Start::Wait(wait) => self.awaited(running, wait),
        }
    }

    /// What `new` starts from where `cached` tokens of it are cached: the longest prefix there is,
    /// or one that is at least `patience` (more than 0) longer and comes. It waits for one of the first `before`
    /// requests only, so that no two ever wait for each other.
    pub(super) fn start(
        &self,
        running: &[Peer<'_>],
        before: usize,
        new: &Peer<'_>,
        cached: usize,
        patience: usize,
    ) -> Start {
        let mut there = (0, false, Reverse(0));
        let mut coming = (0, Reverse(0));
        for (place, peer) in running.iter().enumerate() {
            let common = self.common(peer, new);
            if self.shares_cells {
                there = there.max((common.min(peer.done), !peer.shifts, Reverse(place)));
            }
            if place < before && common > peer.done {
                coming = coming.max((common, Reverse(place)));
            }
        }
        let (ready, _, Reverse(place)) = there;
        if coming.0 >= ready.max(cached) + patience {
            let leader = running[coming.1.0].id;
            return Start::Wait(Wait {
                leader,
                len: coming.0,
            });
        }
        // Of two equal ones that of a running request: its cells are in use in any case.
        match ready > 0 && ready >= cached {
            true => Start::Shared(place, ready),
            false => Start::Cached,
        }
    }

    /// How much of its prompt `new` can take over from `peer` once that has computed it.
    fn common(&self, peer: &Peer<'_>, new: &Peer<'_>) -> usize {
        if !peer.reuse || !new.reuse || peer.key != new.key {
            return 0;
        }
        // The last token is computed in any case: the next one is drawn from its logits.
        let most = new.prompt.len().saturating_sub(1);
        let pairs = peer.prompt.iter().zip(&new.prompt[..most]);
        let len = pairs.take_while(|(a, b)| a == b).count();
        len - len % self.grain
    }
}

/// Whether a wait is over.
pub(super) fn wake(running: &[Peer<'_>], wait: Wait) -> Wake {
    match running.iter().position(|peer| peer.id == wait.leader) {
        Some(place) if !running[place].reuse => Wake::Never,
        Some(place) if running[place].done < wait.len => Wake::NotYet,
        Some(place) => Wake::There(place),
        None => Wake::Never,
    }
}

/// A request that has something to compute: its place, the step that it took part in last, and what
/// must be equal for it to compute together with others.
pub(super) type Ready<K> = (usize, u64, K);

/// Of the requests that are ready those that compute together in the next step: all that can with
/// the one that has not for longest, or (`alone`) only that one.
pub(super) fn together<K: PartialEq>(ready: &[Ready<K>], alone: bool) -> Vec<usize> {
    let Some(first) = ready.iter().min_by_key(|(_, last, _)| *last) else {
        return Vec::new();
    };
    let with_it = |other: &&Ready<K>| match alone {
        true => other.0 == first.0,
        false => other.2 == first.2,
    };
    ready.iter().filter(with_it).map(|other| other.0).collect()
}

/// Where the next part of a request ends at the latest, of which `done` of `end` tokens are
/// computed: at the first of the stops that is still ahead.
pub(super) fn border(done: usize, end: usize, stops: impl IntoIterator<Item = usize>) -> usize {
    let ahead = stops.into_iter().filter(|&stop| done < stop && stop < end);
    ahead.min().unwrap_or(end)
}

/// Gives `room` rows to prompts in their order: each as many as it wants while there are some, at
/// most `parts` of them.
pub(super) fn share_out(
    wanted: impl IntoIterator<Item = (usize, usize)>,
    mut room: usize,
    parts: usize,
) -> Vec<(usize, usize)> {
    let mut given = Vec::new();
    for (request, rows) in wanted {
        if room == 0 || given.len() == parts {
            break;
        }
        let rows = rows.min(room);
        room -= rows;
        given.push((request, rows));
    }
    given
}

#[cfg(test)]
mod tests;
