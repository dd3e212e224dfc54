//! The prompt: a line that can be edited, and the lines that were typed before.

mod external;
mod history;

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter};
use rustyline::history::{History as _, MemHistory};
use rustyline::validate::Validator;
use rustyline::{
    Cmd, ConditionalEventHandler, Config, Context, Editor, Event, EventContext, Helper, KeyCode,
    KeyEvent, Modifiers, RepeatCount,
};

use super::session::{Lines, Typed};
use crate::cli::output;
use crate::error::{Error, Kind, Result};
use crate::settings::Settings;
use history::History;

const GREY: &str = "\x1b[38;5;245m";
const PLAIN: &str = "\x1b[0m";

/// How the line was left.
const ENTERED: u8 = 0;
const INTERRUPTED: u8 = 1;
const TO_EDIT: u8 = 2;

/// The terminal's prompt.
pub(super) struct Prompt {
    editor: Editor<Placeholder, MemHistory>,
    history: History,
    left: Arc<AtomicU8>,
    /// OLLAMA_EDITOR.
    program: Option<String>,
}

impl Prompt {
    /// With what was typed in earlier conversations.
    pub(super) fn new(settings: &Settings, color: bool) -> Result<Self> {
        let config = Config::builder()
            .max_history_size(history::MOST)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(unusable)?;
        let config = config.auto_add_history(false).bracketed_paste(true).build();
        let (history, lines) = History::open(&settings.home, !settings.no_history);
        let mut earlier = MemHistory::with_config(&config);
        for line in lines {
            earlier.add_owned(line).map_err(unusable)?;
        }
        let mut editor = Editor::with_history(config, earlier).map_err(unusable)?;
        editor.set_helper(Some(Placeholder {
            text: Cell::new(""),
            color,
        }));
        let left = Arc::new(AtomicU8::new(ENTERED));
        for (key, how) in [('C', INTERRUPTED), ('G', TO_EDIT)] {
            let key = KeyEvent(KeyCode::Char(key), Modifiers::CTRL);
            let leave = Leave {
                left: Arc::clone(&left),
                how,
            };
            editor.bind_sequence(key, rustyline::EventHandler::Conditional(Box::new(leave)));
        }
        Ok(Self {
            editor,
            history,
            left,
            program: settings.editor.clone(),
        })
    }
}

impl Lines for Prompt {
    fn next(&mut self, more: bool) -> Result<Typed> {
        let (prompt, placeholder) = match more {
            false => (">>> ", "Send a message (/? for help)"),
            true => ("... ", "Use \"\"\" to end multi-line input"),
        };
        if let Some(helper) = self.editor.helper() {
            helper.text.set(placeholder);
        }
        let mut before = String::new();
        loop {
            let read = self.editor.readline_with_initial(prompt, (&before, ""));
            let line = match read {
                Ok(line) => line,
                Err(ReadlineError::Eof) => return Ok(Typed::End),
                Err(ReadlineError::Interrupted) => return Ok(Typed::Interrupt),
                Err(error) => return Err(unusable(error)),
            };
            match self.left.swap(ENTERED, Ordering::Relaxed) {
                INTERRUPTED => return Ok(Typed::Interrupt),
                TO_EDIT => {
                    before =
                        external::edit(self.program.as_deref(), &line).unwrap_or_else(|error| {
                            output::note(format_args!("Error: {error}"));
                            line
                        });
                }
                _ => {
                    if !line.trim().is_empty() {
                        self.editor.add_history_entry(&line).map_err(unusable)?;
                        self.history.add(&line);
                    }
                    return Ok(Typed::Line(line));
                }
            }
        }
    }

    fn keep(&mut self, keep: bool) {
        self.history.keep(keep);
    }
}

fn unusable(error: ReadlineError) -> Error {
    Error::new(
        Kind::Storage,
        format!("the terminal can't be read: {error}"),
    )
}

/// Leaves the line by a key, without what stands behind the cursor as a hint.
struct Leave {
    left: Arc<AtomicU8>,
    how: u8,
}

impl ConditionalEventHandler for Leave {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, _: &EventContext<'_>) -> Option<Cmd> {
        self.left.store(self.how, Ordering::Relaxed);
        Some(Cmd::AcceptLine)
    }
}

/// What an empty line shows.
struct Placeholder {
    text: Cell<&'static str>,
    color: bool,
}

/// It is shown and can't be taken over into the line.
struct Shown(&'static str);

impl Hint for Shown {
    fn display(&self) -> &str {
        self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Placeholder {
    type Hint = Shown;

    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<Shown> {
        line.is_empty().then(|| Shown(self.text.get()))
    }
}

impl Highlighter for Placeholder {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        match self.color {
            true => Cow::Owned(format!("{GREY}{hint}{PLAIN}")),
            false => Cow::Borrowed(hint),
        }
    }
}

impl Completer for Placeholder {
    type Candidate = String;
}

impl Validator for Placeholder {}

impl Helper for Placeholder {}
