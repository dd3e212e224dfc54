//! A conversation: lines in, answers out, until the user leaves.

mod chat;
mod command;
mod compose;
mod help;
mod models;
mod set;
mod show;

use serde_json::{Map, Value};

use super::answer::Manner;
use super::screen::Screen;
use super::setup::Setup;
use super::wrap::Wrap;
use super::{fetch, media};
use crate::api::{KeepAlive, Message, Think};
use crate::cli::client::Client;
use crate::cli::shown::Shown;
use crate::error::{Error, Kind, Result};
use command::Command;
use compose::{Composer, Purpose, QUOTES};

/// Where lines come from.
pub(super) trait Lines {
    /// The next line; `more` when it belongs to a text that was begun.
    fn next(&mut self, more: bool) -> Result<Typed>;

    /// Whether lines are kept for later conversations.
    fn keep(&mut self, keep: bool);
}

/// What the user did at the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Typed {
    Line(String),
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D.
    End,
}

/// A conversation and what was set in it.
pub(super) struct Session<'a> {
    client: &'a Client,
    screen: Screen,
    /// Starts a server where there is none any more.
    revive: &'a dyn Fn() -> Result<()>,
    /// Whether the server may be gone.
    lost: bool,
    model: String,
    shown: Shown,
    messages: Vec<Message>,
    system: String,
    options: Map<String, Value>,
    format: Option<Value>,
    keep_alive: Option<KeepAlive>,
    think: Option<Think>,
    manner: Manner,
    verbose: bool,
    composer: Composer,
}

/// Whether the conversation goes on.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Line,
    Leave,
}

impl<'a> Session<'a> {
    /// Gets the model there and shows how its conversations begin.
    pub(super) fn begin(
        client: &'a Client,
        setup: Setup,
        screen: Screen,
        revive: &'a dyn Fn() -> Result<()>,
    ) -> Result<Self> {
        let shown = fetch::show_or_pull(client, &setup)?;
        if shown.can("embedding") {
            return Err(Error::new(
                Kind::Invalid,
                super::once::no_text(&setup.model),
            ));
        }
        let mut session = Self {
            client,
            screen,
            revive,
            lost: false,
            model: setup.model,
            shown,
            messages: Vec::new(),
            system: setup.system,
            options: setup.options,
            format: setup.format,
            keep_alive: setup.keep_alive,
            think: setup.think,
            manner: setup.manner,
            verbose: setup.verbose,
            composer: Composer::default(),
        };
        session.forget();
        session.load_model(&session.model)?;
        session.replay()?;
        Ok(session)
    }

    /// Until the user leaves.
    pub(super) fn run(mut self, lines: &mut dyn Lines) -> Result<()> {
        loop {
            let typed = lines.next(self.composer.is_open())?;
            self.client.forget_stop();
            let done = match typed {
                Typed::End => return Ok(()),
                Typed::Interrupt => {
                    self.composer.cancel();
                    self.screen
                        .line("Use Ctrl + d or /bye to exit.")
                        .map(|()| Next::Line)
                }
                Typed::Line(line) => self.hear(&line, lines),
            };
            match done {
                Ok(Next::Line) => {}
                Ok(Next::Leave) => return Ok(()),
                // Behind what the terminal shows for Ctrl-C. Where nobody reads the output, it fails again.
                Err(error) if error.kind() == Kind::Cancelled => self.screen.print("\n")?,
                Err(error) => {
                    self.lost |= error.kind() == Kind::Network;
                    self.screen.note(&format!("Error: {error}\n"));
                }
            }
        }
    }

    fn hear(&mut self, line: &str, lines: &mut dyn Lines) -> Result<Next> {
        if self.composer.is_open() {
            return match self.composer.more(line) {
                Some((purpose, text)) => self.composed(purpose, text),
                None => Ok(Next::Line),
            };
        }
        if let Some(text) = line.strip_prefix(QUOTES) {
            return match self.composer.begin(Purpose::Message, text) {
                Some(text) => self.composed(Purpose::Message, text),
                None => Ok(Next::Line),
            };
        }
        match command::parse(line) {
            Some(command) => self.obey(command, line, lines),
            None => self.composed(Purpose::Message, line.to_owned()),
        }
    }

    fn composed(&mut self, purpose: Purpose, text: String) -> Result<Next> {
        match purpose {
            Purpose::System => self.set_system(text)?,
            Purpose::Message if text.trim().is_empty() => {}
            Purpose::Message => self.chat(text)?,
        }
        Ok(Next::Line)
    }

    fn obey(&mut self, command: Command, line: &str, lines: &mut dyn Lines) -> Result<Next> {
        match command {
            Command::Leave => return Ok(Next::Leave),
            Command::List => self.list()?,
            Command::Load(model) => self.load(&model)?,
            Command::Save(name) => self.save(&name)?,
            Command::Clear => {
                self.forget();
                self.screen.line("Cleared session context")?;
            }
            Command::Set(set) => self.set(set, lines)?,
            Command::Show(what) => self.show(what.as_deref())?,
            Command::Help(what) => self.screen.note(help::about(what.as_deref())),
            Command::Usage(usage) => self.screen.line(usage)?,
            Command::Unknown(what) => {
                // The path of an image is no command.
                media::refuse(&self.shown, line)?;
                self.screen
                    .line(&format!("Unknown command '{what}'. Type /? for help"))?;
            }
        }
        Ok(Next::Line)
    }

    /// The conversation begins anew.
    fn forget(&mut self) {
        self.messages.clear();
        if !self.system.is_empty() {
            self.messages.push(Message::new("system", &self.system));
        }
    }

    /// Shows the messages that every conversation with the model begins with.
    fn replay(&mut self) -> Result<()> {
        for message in std::mem::take(&mut self.shown.messages) {
            let columns = self.screen.columns().filter(|_| self.manner.wrap);
            match message.role.as_str() {
                "user" => {
                    let text = Wrap::default().push(&message.content, None);
                    self.screen.line(&format!(">>> {text}"))?;
                }
                "assistant" => {
                    let text = Wrap::default().push(&message.content, columns);
                    self.screen.line(&format!("{text}\n"))?;
                }
                _ => {}
            }
            self.shown.messages.push(message);
        }
        Ok(())
    }
}
