//! `ollama run`: asks a model, once or in a conversation.

mod answer;
mod fetch;
mod input;
mod media;
mod once;
mod options;
mod screen;
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
use screen::Screen;
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
    once::run(&client, &setup, &mut screen)
}
