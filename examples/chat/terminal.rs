//! Lines in, pieces of text out: with an editor and prompt on a terminal, plain elsewhere.

use std::fmt::Display;
use std::io::{self, BufRead, IsTerminal, Write};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use llamakit::chat::AnswerPart;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

/// Says something that is not part of the answer.
pub(crate) fn note(text: impl Display) {
    // A closed stderr is no reason to fail.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints on stdout.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Where messages come from.
pub(crate) enum Input {
    Terminal(Box<DefaultEditor>),
    Lines,
}

impl Input {
    pub(crate) fn new() -> Result<Self, ReadlineError> {
        if io::stdin().is_terminal() && io::stdout().is_terminal() {
            return Ok(Self::Terminal(Box::new(DefaultEditor::new()?)));
        }
        Ok(Self::Lines)
    }

    pub(crate) fn is_interactive(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// The next line that is not blank; `None` at the end.
    pub(crate) fn line(&mut self) -> Result<Option<String>, Box<dyn std::error::Error>> {
        match self {
            Self::Terminal(editor) => edited_line(editor),
            Self::Lines => plain_line(),
        }
    }
}

fn edited_line(editor: &mut DefaultEditor) -> Result<Option<String>, Box<dyn std::error::Error>> {
    let mut interrupted = false;
    loop {
        match editor.readline("> ") {
            Ok(line) if line.trim().is_empty() => interrupted = false,
            Ok(line) => {
                editor.add_history_entry(&line)?;
                return Ok(Some(line));
            }
            Err(ReadlineError::Eof) => return Ok(None),
            Err(ReadlineError::Interrupted) if interrupted => return Ok(None),
            Err(ReadlineError::Interrupted) => {
                interrupted = true;
                note("(Ctrl-C again or Ctrl-D leaves)");
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn plain_line() -> Result<Option<String>, Box<dyn std::error::Error>> {
    let mut line = String::new();
    loop {
        line.clear();
        let read = io::stdin().lock().read_line(&mut line);
        if read.map_err(|error| format!("cannot read stdin: {error}"))? == 0 {
            return Ok(None);
        }
        let text = line.trim_end_matches(['\r', '\n']);
        if !text.trim().is_empty() {
            return Ok(Some(text.to_owned()));
        }
    }
}

/// Where answers go: thoughts first, dim on a terminal, then an empty line, then what is said.
pub(crate) struct Output {
    is_terminal: bool,
    /// Whether what was shown last of this answer was thought.
    thought: Option<bool>,
    /// White space at the end of thoughts, shown when more of them follows.
    space: String,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self::to(io::stdout().is_terminal())
    }

    fn to(is_terminal: bool) -> Self {
        Self {
            is_terminal,
            thought: None,
            space: String::new(),
        }
    }

    /// Shows a part of an answer at once.
    pub(crate) fn part(&mut self, part: &AnswerPart) -> io::Result<()> {
        print(&self.shown(part))
    }

    /// Ends the line of an answer.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        *self = Self::to(self.is_terminal);
        print("\n")
    }

    fn shown(&mut self, part: &AnswerPart) -> String {
        let thought = matches!(part, AnswerPart::Thinking(_));
        let mut text = std::mem::take(&mut self.space);
        if self.thought.is_some_and(|before| before != thought) {
            text = "\n\n".to_owned();
        }
        text.push_str(part.text());
        if thought {
            self.space = text.split_off(text.trim_end().len());
        }
        if text.is_empty() {
            return text;
        }
        self.thought = Some(thought);
        match (self.is_terminal, thought) {
            (false, _) => text,
            (true, false) => printable(&text),
            (true, true) => format!("\x1b[2m{}\x1b[0m", printable(&text)),
        }
    }
}

/// Without control characters: a model must not be able to command the terminal.
fn printable(piece: &str) -> String {
    piece
        .chars()
        .filter(|&c| c == '\n' || c == '\t' || !c.is_control())
        .collect()
}

/// Shows on a terminal how far loading is, if it takes long enough to wonder.
pub(crate) fn load_progress() -> impl FnMut(f32) -> ControlFlow<()> {
    let started = Instant::now();
    let shown = io::stderr().is_terminal();
    let mut drawn = None;
    move |done| {
        let percent = (done * 100.0) as u32;
        let slow = started.elapsed() > Duration::from_millis(500);
        if shown && (slow || drawn.is_some()) && drawn != Some(percent) {
            let line = if percent < 100 {
                format!("\rloading {percent:3} %")
            } else {
                "\r\x1b[K".to_owned()
            };
            let _ = write!(io::stderr(), "{line}");
            drawn = Some(percent);
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Output, printable};
    use llamakit::chat::AnswerPart;

    #[test]
    fn a_model_cannot_command_the_terminal() {
        assert_eq!(printable("a\x1b[31mb\tc\nd\r\u{9b}2J"), "a[31mb\tc\nd2J");
        assert_eq!(printable("Grüße 🦀"), "Grüße 🦀");
    }

    #[test]
    fn thoughts_are_dim_on_a_terminal_and_apart_everywhere() {
        let parts = [
            AnswerPart::Thinking("So\n".to_owned()),
            AnswerPart::Thinking("it \x1b[0mis.\n".to_owned()),
            AnswerPart::Content("It".to_owned()),
            AnswerPart::Content(" is.".to_owned()),
        ];
        let shown = |mut output: Output| parts.each_ref().map(|part| output.shown(part)).concat();
        assert_eq!(shown(Output::to(false)), "So\nit \x1b[0mis.\n\nIt is.");
        let dim = "\x1b[2mSo\x1b[0m\x1b[2m\nit [0mis.\x1b[0m\n\nIt is.";
        assert_eq!(shown(Output::to(true)), dim);
        let mut plain = Output::to(true);
        assert_eq!(plain.shown(&AnswerPart::Content(" a ".to_owned())), " a ");
    }
}
