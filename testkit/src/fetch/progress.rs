//! Tells the person waiting what is being fetched: a bar on a terminal, one line elsewhere.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use super::RemoteModel;

const WIDTH: u64 = 30;
const INTERVAL: Duration = Duration::from_millis(100);

/// Says once what is about to be downloaded and from where.
pub(super) fn announce(model: &RemoteModel, index: &str) {
    // A closed stderr is no reason to fail.
    let _ = writeln!(
        stderr(),
        "fetching {} ({} MB) from {index}, once",
        model.file,
        model.size / 1_000_000
    );
}

pub(super) struct Progress {
    label: String,
    total: Option<u64>,
    /// When the bar was drawn last; `None` when stderr is no terminal.
    drawn: Option<Instant>,
}

impl Progress {
    pub(super) fn new(label: &str, total: Option<u64>) -> Self {
        let drawn = stderr().is_terminal().then(Instant::now);
        Self {
            label: label.to_owned(),
            total,
            drawn,
        }
    }

    pub(super) fn set(&mut self, done: u64) {
        if self.drawn.is_some_and(|drawn| drawn.elapsed() >= INTERVAL) {
            self.drawn = Some(Instant::now());
            let _ = write!(stderr(), "\r{}\x1b[K", line(&self.label, done, self.total));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

fn line(label: &str, done: u64, total: Option<u64>) -> String {
    let megabytes = done / 1_000_000;
    match total.filter(|total| *total > 0) {
        Some(total) => {
            let done = done.min(total);
            let filled = done * WIDTH / total;
            let bar = "#".repeat(filled as usize) + &"-".repeat((WIDTH - filled) as usize);
            format!(
                "{label} [{bar}] {:3} % of {} MB",
                done * 100 / total,
                total / 1_000_000
            )
        }
        None => format!("{label} {megabytes} MB"),
    }
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn the_bar_fills_from_nothing_to_all() {
        assert!(line("m", 0, Some(2_000_000)).contains("[------------------------------]   0 %"));
        assert!(line("m", 1_000_000, Some(2_000_000)).contains("[###############------"));
        assert!(line("m", 9_000_000, Some(2_000_000)).contains("] 100 % of 2 MB"));
        assert_eq!(line("m", 3_000_000, None), "m 3 MB");
        assert_eq!(line("m", 3_000_000, Some(0)), "m 3 MB");
    }
}
