//! How pulls, pushes and the like show how far they are: bars in a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{
    MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressState, ProgressStyle,
};

use super::output;
use crate::error::{Error, Kind, Result};
use crate::human;
use crate::progress::{Progress, Report};
use crate::tasks;

/// Shows how far some work is while it is done.
pub(crate) fn shown<T>(work: impl FnOnce(Report<'_>) -> Result<T>) -> Result<T> {
    let display = Display::new();
    let result = work(&|progress| display.show(progress));
    display.finish();
    result
}

/// Bars that were full at once would flicker.
const PER_SECOND: u8 = 10;
/// Without a terminal, how often a line is written while a file is on its way.
const QUIET: Duration = Duration::from_secs(10);

/// Shows what it is told, from any thread.
struct Display(Mutex<Shown>);

enum Shown {
    Bars(Bars),
    Lines(Lines),
}

struct Bars {
    all: MultiProgress,
    bars: HashMap<String, ProgressBar>,
    status: Option<(String, ProgressBar)>,
    /// Whether anything was drawn.
    any: bool,
}

struct Lines {
    last: String,
    blobs: HashMap<String, (u64, Instant)>,
}

impl Display {
    /// On standard error.
    fn new() -> Self {
        Self(Mutex::new(if std::io::stderr().is_terminal() {
            let target = ProgressDrawTarget::stderr_with_hz(PER_SECOND);
            Shown::Bars(Bars {
                all: MultiProgress::with_draw_target(target),
                bars: HashMap::new(),
                status: None,
                any: false,
            })
        } else {
            Shown::Lines(Lines {
                last: String::new(),
                blobs: HashMap::new(),
            })
        }))
    }

    /// Shows one line of the stream.
    fn show(&self, progress: Progress) {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Shown::Bars(bars) => bars.show(progress),
            Shown::Lines(lines) => lines.show(&progress),
        }
    }

    /// Leaves what is shown as it is.
    fn finish(&self) {
        if let Shown::Bars(bars) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            bars.end_status();
            for bar in bars.bars.values().filter(|bar| !bar.is_finished()) {
                bar.abandon();
            }
            // The cursor is left at the end of the last line, and what comes next may not wrap by itself.
            if bars.any {
                output::note(format_args!(""));
            }
        }
    }
}

impl Bars {
    fn show(&mut self, progress: Progress) {
        let Some(total) = progress.total else {
            let same = self
                .status
                .as_ref()
                .is_some_and(|(status, _)| *status == progress.status);
            if !same {
                self.end_status();
                self.any = true;
                let bar = ProgressBar::new_spinner()
                    .with_style(spinner())
                    .with_message(progress.status.clone());
                let bar = self.all.add(bar);
                bar.enable_steady_tick(Duration::from_millis(100));
                self.status = Some((progress.status, bar));
            }
            return;
        };
        let Some(completed) = progress.completed else {
            // It is announced; a bar of nothing says less than none.
            return;
        };
        self.end_status();
        self.any = true;
        let key = progress.digest.unwrap_or_else(|| progress.status.clone());
        let bar = self.bars.entry(key).or_insert_with(|| {
            let bar = ProgressBar::new(total)
                .with_style(running())
                .with_message(format!("{}:", progress.status))
                .with_finish(ProgressFinish::Abandon);
            let bar = self.all.add(bar);
            // What is here already is no speed.
            bar.set_position(completed);
            bar.reset_eta();
            bar
        });
        bar.set_position(completed);
        if completed >= total && !bar.is_finished() {
            bar.set_style(complete());
            bar.abandon();
        }
    }

    fn end_status(&mut self) {
        if let Some((_, bar)) = self.status.take() {
            bar.set_style(done());
            bar.abandon();
        }
    }
}

impl Lines {
    fn show(&mut self, progress: &Progress) {
        let Some(total) = progress.total else {
            if self.last != progress.status {
                self.last.clone_from(&progress.status);
                output::note(format_args!("{}", progress.status));
            }
            return;
        };
        let completed = progress.completed.unwrap_or(0);
        let key = progress.digest.as_ref().unwrap_or(&progress.status).clone();
        let now = Instant::now();
        let before = self.blobs.get(&key).copied();
        let tell = match before {
            None => completed > 0,
            Some((before, at)) => {
                completed > before && (completed >= total || now.duration_since(at) >= QUIET)
            }
        };
        if tell {
            self.blobs.insert(key, (completed, now));
            // What is shown as a percentage is not computed with: no overflow, no division by nothing.
            let percent = u128::from(completed) * 100 / u128::from(total.max(1));
            output::note(format_args!(
                "{}: {percent}% of {}",
                progress.status,
                human::bytes(total)
            ));
            self.last.clear();
        }
    }
}

fn spinner() -> ProgressStyle {
    styled("{msg} {spinner}").tick_strings(&["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏", " "])
}

fn done() -> ProgressStyle {
    styled("{msg}")
}

fn running() -> ProgressStyle {
    styled("{msg} {percent:>3}% ▕{wide_bar}▏ {size:>13}  {rate:>8}  {left:>6}")
        .progress_chars("██ ")
        .with_key(
            "size",
            |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let total = human::bytes(state.len().unwrap_or(0));
                // Nobody can be told when it fails.
                let _ = write!(out, "{}/{total}", human::bytes(state.pos()));
            },
        )
        .with_key(
            "rate",
            |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a speed to show"
                )]
                let rate = state.per_sec() as u64;
                let _ = write!(out, "{}/s", human::bytes(rate));
            },
        )
        .with_key(
            "left",
            |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = out.write_str(&duration(state.eta()));
            },
        )
}

fn complete() -> ProgressStyle {
    styled("{msg} {percent:>3}% ▕{wide_bar}▏ {size:>13}                  ")
        .progress_chars("██ ")
        .with_key(
            "size",
            |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = write!(out, "{:<13}", human::bytes(state.len().unwrap_or(0)));
            },
        )
}

/// Templates are written here, so that they are right.
fn styled(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Two units at most.
fn duration(left: Duration) -> String {
    let seconds = left.as_secs();
    match seconds {
        360_000.. => "99h+".to_owned(),
        3600.. => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
        60.. => format!("{}m{}s", seconds / 60, seconds % 60),
        _ => format!("{seconds}s"),
    }
}

/// Runs what waits for the network to its end.
///
/// # Errors
/// What it fails with.
pub(crate) fn wait<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime
        .map_err(|e| Error::new(Kind::Storage, format!("no threads can be started: {e}")))?;
    tasks::block_on(&runtime, work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_templates_are_right() {
        for template in [spinner(), done(), running(), complete()] {
            let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::hidden());
            bar.set_style(template);
            bar.set_position(50);
            bar.abandon();
        }
        for template in [
            "{msg} {spinner}",
            "{msg} {percent:>3}% ▕{wide_bar}▏ {size:>13}  {rate:>8}  {left:>6}",
        ] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }

    #[test]
    fn durations() {
        for (seconds, text) in [(0, "0s"), (61, "1m1s"), (3661, "1h1m"), (400_000, "99h+")] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }
}
