//! Shows an answer while it comes: first what is thought, then what is said.

use super::screen::{Screen, Spinner};
use super::wrap::Wrap;
use crate::api::{Notes, ToolCall};
use crate::error::Result;

const GREY: &str = "\x1b[38;5;245m";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

/// How answers are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub(super) wrap: bool,
    pub(super) hide_thinking: bool,
}

/// An answer that is coming.
pub(super) struct Answer<'a> {
    screen: &'a mut Screen,
    manner: Manner,
    spinner: Spinner,
    wrap: Wrap,
    /// Whether thoughts are being shown.
    thinks: bool,
    thought: String,
    said: String,
}

impl<'a> Answer<'a> {
    /// Nothing has come yet.
    pub(super) fn awaited(screen: &'a mut Screen, manner: Manner) -> Self {
        Self {
            spinner: screen.spin(),
            screen,
            manner,
            wrap: Wrap::default(),
            thinks: false,
            thought: String::new(),
            said: String::new(),
        }
    }

    /// Something was thought.
    pub(super) fn think(&mut self, text: &str) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.thought.push_str(text);
        if self.manner.hide_thinking {
            return Ok(());
        }
        self.spinner.clear();
        if !self.thinks {
            self.thinks = true;
            let [grey, bold, plain] = [GREY, BOLD, PLAIN].map(|code| self.screen.style(code));
            self.screen
                .print(&format!("{grey}{bold}Thinking...\n{plain}{grey}"))?;
        }
        self.show(text)
    }

    /// Something was said.
    pub(super) fn say(&mut self, text: &str) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.said.push_str(text);
        self.thought_through()?;
        self.show(text)
    }

    /// Tools were called, though none were offered.
    pub(super) fn call(&mut self, calls: &[ToolCall]) -> Result<()> {
        for call in calls {
            self.thought_through()?;
            let arguments = call.function.arguments_text();
            self.show(&format!(
                "  Model called a non-existent function '{}()' with arguments: {arguments}\n",
                call.function.name
            ))?;
        }
        Ok(())
    }

    /// No more comes. What was thought and what was said.
    pub(super) fn end(mut self) -> Result<(String, String)> {
        self.spinner.clear();
        if self.thinks {
            let plain = self.screen.style(PLAIN);
            self.screen.print(plain)?;
        }
        Ok((self.thought, self.said))
    }

    /// What is shown from here on is no thought.
    fn thought_through(&mut self) -> Result<()> {
        self.spinner.clear();
        if !std::mem::take(&mut self.thinks) {
            return Ok(());
        }
        self.wrap = Wrap::default();
        let [grey, bold, plain] = [GREY, BOLD, PLAIN].map(|code| self.screen.style(code));
        let gap = if self.thought.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        self.screen
            .print(&format!("{gap}{grey}{bold}...done thinking.\n\n{plain}"))
    }

    fn show(&mut self, text: &str) -> Result<()> {
        if !self.screen.terminal {
            return self.screen.print(text);
        }
        let columns = self.screen.columns().filter(|_| self.manner.wrap);
        let text = self.wrap.push(text, columns);
        self.screen.print(&text)
    }
}

/// Tells what of the request was not understood or not done.
pub(super) fn tell(screen: &mut Screen, notes: &Notes) {
    for warning in &notes.warnings {
        screen.note(&format!("Warning: {warning}\n"));
    }
    if notes.dropped_messages > 0 {
        screen.note(&format!(
            "Warning: the conversation is too long for the model: its oldest {} message(s) were left out\n",
            notes.dropped_messages
        ));
    }
}
