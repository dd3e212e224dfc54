//! `ollama run`: asks a model, once or in a conversation.

mod answer;
mod fetch;
mod input;
mod line;
mod media;
mod once;
mod options;
mod screen;
mod session;
mod setup;
mod timings;
mod wrap;

#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal};

use super::args::RunArgs;
use super::client::Client;
use super::server;
use crate::error::Result;
use crate::settings::Settings;
use line::Prompt;
use screen::Screen;
use session::Session;
use setup::Setup;

pub(super) fn run(args: &RunArgs, settings: &Settings) -> Result<()> {
    let stdin = io::stdin();
    let piped = match stdin.is_terminal() {
        true => None,
        false => Some(input::read(stdin.lock())?),
    };
    let setup = Setup::new(args, piped)?;
    let client = Client::new(settings)?;
    server::ensure(settings)?;
    let mut screen = Screen::own();
    if setup.prompt.is_some() || !stdin.is_terminal() || !screen.terminal {
        return once::run(&client, &setup, &mut screen);
    }
    let mut prompt = Prompt::new(settings, screen.color)?;
    let revive = || server::ensure(settings);
    Session::begin(&client, setup, screen, &revive)?.run(&mut prompt)
}
