//! What all clients saw, and whether the server's counters say the same.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Faults that are kept; more are only counted.
const KEPT: usize = 20;

#[derive(Default)]
pub struct Tally(Mutex<Seen>);

#[derive(Default)]
pub struct Seen {
    pub requests: u64,
    pub answers: u64,
    /// Whole answers by route and model.
    pub by_model: BTreeMap<(&'static str, String), u64>,
    /// Replies that hold their own canary: without any, none could cross.
    pub repeated: u64,
    /// Replies by route and status.
    pub replies: BTreeMap<(String, u16), u64>,
    /// Requests whose client left before it saw a status, by route: the server may have counted them.
    pub early: BTreeMap<String, u64>,
    pub errors: BTreeMap<String, u64>,
    pub aborts: u64,
    pub kills: u64,
    pub faults: Vec<String>,
    pub canaries: HashSet<String>,
}

impl Tally {
    pub fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    pub fn fault(&mut self, what: String) {
        if self.faults.len() < KEPT {
            eprintln!("soak: {what}");
        }
        self.faults.push(what);
    }

    /// A test in which models answered nothing, or nothing was killed, shows nothing.
    pub fn require(&mut self, routes: &[&'static str], models: &[&str]) {
        for route in routes {
            for model in models {
                if !self.by_model.contains_key(&(*route, (*model).to_owned())) {
                    self.fault(format!("{model} gave no whole answer on {route}"));
                }
            }
        }
        if self.kills == 0 {
            self.fault("no runner was there to be killed".into());
        }
        if self.repeated == 0 {
            self.fault("no reply holds its own canary".into());
        }
    }

    /// Compares `ollama_requests_total` of every route and status with what clients saw.
    ///
    /// Replies that were begun are counted alike on both sides, also when the client then left. Where clients left
    /// before a status the server may count as many more.
    pub fn compare(&mut self, metrics: &str) {
        let mut counted = BTreeMap::new();
        for line in metrics.lines() {
            let Some(rest) = line.strip_prefix("ollama_requests_total{route=\"") else {
                continue;
            };
            let parts = rest.split_once("\",status=\"").and_then(|(route, rest)| {
                let (status, count) = rest.split_once("\"} ")?;
                let key = (route.to_owned(), status.parse::<u16>().ok()?);
                Some((key, count.parse::<u64>().ok()?))
            });
            match parts {
                Some((key, count)) => drop(counted.insert(key, count)),
                None => self.fault(format!("/metrics: {line}")),
            }
        }
        let mut more = self.early.clone();
        let keys: Vec<_> = counted.keys().chain(self.replies.keys()).cloned().collect();
        let keys: HashSet<_> = keys.into_iter().collect();
        for key in keys {
            let server = counted.get(&key).copied().unwrap_or(0);
            let clients = self.replies.get(&key).copied().unwrap_or(0);
            let allowed = more.entry(key.0.clone()).or_default();
            match server.checked_sub(clients) {
                Some(surplus) if surplus <= *allowed => *allowed -= surplus,
                _ => self.fault(format!(
                    "/metrics counts {server} replies of {} with {}, clients saw {clients}",
                    key.0, key.1
                )),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    fn faults(clients: u64, early: u64, metrics: &str) -> usize {
        let mut seen = Seen::default();
        seen.replies.insert(("/api/chat".to_owned(), 200), clients);
        seen.early.insert("/api/chat".to_owned(), early);
        seen.compare(metrics);
        seen.faults.len()
    }

    #[test]
    fn counters_that_differ_are_told() {
        let three = "ollama_requests_total{route=\"/api/chat\",status=\"200\"} 3\n";
        assert_eq!(faults(3, 0, three), 0);
        assert_eq!(faults(2, 1, three), 0, "a client left early");
        assert_eq!(faults(2, 0, three), 1);
        assert_eq!(faults(4, 5, three), 1);
        assert_eq!(faults(1, 0, ""), 1);
        let other = "ollama_requests_total{route=\"/api/chat\",status=\"500\"} 1\n";
        assert_eq!(faults(3, 0, &format!("{three}{other}")), 1);
    }

    #[test]
    fn a_test_of_nothing_is_told() {
        let mut seen = Seen::default();
        seen.require(&["/api/chat"], &["tiny"]);
        assert_eq!(seen.faults.len(), 3);
        let mut seen = Seen {
            kills: 1,
            repeated: 1,
            ..Seen::default()
        };
        seen.by_model.insert(("/api/chat", "tiny".to_owned()), 1);
        seen.require(&["/api/chat"], &["tiny"]);
        assert_eq!(seen.faults.len(), 0);
    }
}
