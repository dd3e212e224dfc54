//! Where a conversation is shown: plain where nobody looks at it, with colours and a spinner in a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::output::unwritten;
use crate::error::Result;

/// Columns where a terminal does not tell.
const COLUMNS: usize = 80;

/// Standard output and standard error, or what tests take in their place.
pub(super) struct Screen {
    out: Box<dyn Write>,
    notes: Box<dyn Write>,
    /// Whether output goes to a terminal.
    pub(super) terminal: bool,
    /// Whether it has colours.
    pub(super) color: bool,
    /// Whether its cursor can be moved.
    moves: bool,
    spins: bool,
    columns: fn() -> usize,
}

/// Turns until it is dropped.
pub(super) struct Spinner(Option<ProgressBar>);

impl Screen {
    /// This program's own.
    pub(super) fn own() -> Self {
        let terminal = io::stdout().is_terminal();
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let dumb = variable("TERM").is_some_and(|term| term == "dumb");
        Self {
            out: Box::new(io::stdout()),
            notes: Box::new(io::stderr()),
            terminal,
            moves: terminal && !dumb,
            color: terminal && !dumb && variable("NO_COLOR").is_none(),
            spins: terminal && !dumb && io::stderr().is_terminal(),
            columns: || match console::Term::stdout().size_checked() {
                Some((_, columns)) if columns > 0 => columns.into(),
                _ => COLUMNS,
            },
        }
    }

    #[cfg(test)]
    pub(super) fn test(out: Box<dyn Write>, notes: Box<dyn Write>, terminal: bool) -> Self {
        Self {
            out,
            notes,
            terminal,
            moves: terminal,
            color: terminal,
            spins: false,
            columns: || COLUMNS,
        }
    }

    /// Writes to standard output, at once.
    pub(super) fn print(&mut self, text: &str) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let written = self.out.write_all(text.as_bytes());
        written.and_then(|()| self.out.flush()).map_err(unwritten)
    }

    /// Writes a line to standard output.
    pub(super) fn line(&mut self, text: &str) -> Result<()> {
        self.print(&format!("{text}\n"))
    }

    /// Writes to standard error. Nobody can be told when that fails.
    pub(super) fn note(&mut self, text: &str) {
        let _ = self.notes.write_all(text.as_bytes());
    }

    /// Columns of the terminal, where words that were written can be taken back.
    pub(super) fn columns(&self) -> Option<usize> {
        self.moves.then(self.columns)
    }

    /// A colour, where there are colours.
    pub(super) fn style(&self, code: &'static str) -> &'static str {
        if self.color { code } else { "" }
    }

    /// Shows that something is being waited for.
    pub(super) fn spin(&self) -> Spinner {
        Spinner(self.spins.then(|| {
            let style = ProgressStyle::default_spinner()
                .tick_strings(&["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏", " "]);
            let style = style
                .template("{spinner}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = ProgressBar::new_spinner().with_style(style);
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        }))
    }
}

impl Spinner {
    pub(super) fn clear(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.clear();
    }
}
