//! Runs against a server with fake runners, over a real connection.

mod once;
mod session;
mod trouble;

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use clap::Parser;

use super::screen::Screen;
use super::setup::Setup;
use crate::cli::args::{Cli, Command};
use crate::cli::client::Client;
use crate::error::Result;
use crate::server::tests::Live;

/// What was written.
#[derive(Clone, Default)]
struct Written(Rc<RefCell<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).unwrap()
    }
}

/// A place to run in.
struct Place {
    live: Live,
    client: Client,
    out: Written,
    notes: Written,
    terminal: bool,
}

fn setup(words: &[&str], piped: Option<&str>) -> Result<Setup> {
    let words = ["ollama", "run"].iter().chain(words);
    let Some(Command::Run(args)) = Cli::try_parse_from(words).unwrap().command else {
        panic!("no run");
    };
    Setup::new(&args, piped.map(str::to_owned))
}

impl Place {
    fn new() -> Self {
        let live = Live::new();
        Self {
            client: Client::new(&live.settings).unwrap(),
            live,
            out: Written::default(),
            notes: Written::default(),
            terminal: false,
        }
    }

    fn terminal() -> Self {
        Self {
            terminal: true,
            ..Self::new()
        }
    }

    fn screen(&mut self) -> Screen {
        self.out = Written::default();
        self.notes = Written::default();
        let (out, notes) = (self.out.clone(), self.notes.clone());
        Screen::test(Box::new(out), Box::new(notes), self.terminal)
    }

    /// One question. What was written to standard output.
    fn once(&mut self, words: &[&str]) -> Result<String> {
        self.piped(words, None)
    }

    fn piped(&mut self, words: &[&str], piped: Option<&str>) -> Result<String> {
        let mut screen = self.screen();
        super::once::run(&self.client, &setup(words, piped)?, &mut screen)?;
        Ok(self.out.text())
    }

    /// Waits until something is so that others do meanwhile.
    #[track_caller]
    fn soon(&self, what: &str, so: impl Fn(&Self) -> bool) {
        for _ in 0..2000 {
            if so(self) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("not so: {what}");
    }

    /// The last prompt that a runner got.
    fn prompt(&self) -> String {
        match self.live.bench.asked().prompt {
            crate::runner::wire::Prompt::Text(text) => text,
            crate::runner::wire::Prompt::Segments(pieces) => {
                pieces.iter().map(|piece| piece.t.as_str()).collect()
            }
        }
    }
}
