//! `ollama doctor`: what this program and machine have, and what is wrong with the store and the settings.

mod environment;
mod machine;
mod program;
mod render;
mod server;
mod store;

use serde::Serialize;

use super::args::DoctorArgs;
use super::output;
use crate::error::{Error, Kind, Result};
use crate::settings::Settings;

/// All that is told.
#[derive(Debug, Serialize)]
struct Report {
    program: program::Program,
    machine: machine::Machine,
    store: store::Health,
    server: server::Server,
    /// What the environment sets, as far as it changes anything.
    settings: Vec<environment::Setting>,
    /// What should be looked at.
    warnings: Vec<String>,
    /// What is broken.
    problems: Vec<String>,
}

/// What was found beside the facts.
#[derive(Debug, Default)]
struct Findings {
    warnings: Vec<String>,
    problems: Vec<String>,
}

impl Findings {
    fn warn(&mut self, what: impl Into<String>) {
        self.warnings.push(what.into());
    }

    fn problem(&mut self, what: impl Into<String>) {
        self.problems.push(what.into());
    }
}

pub(super) fn run(args: &DoctorArgs, settings: &Settings) -> Result<()> {
    let mut findings = Findings::default();
    let report = Report {
        program: program::look(&mut findings),
        machine: machine::look(settings),
        store: store::look(settings, args.verify, &mut findings),
        server: server::look(settings, &mut findings),
        settings: environment::look(&mut findings),
        warnings: findings.warnings,
        problems: findings.problems,
    };
    if args.json {
        output::json(&report)?;
    } else {
        output::print(&render::render(&report))?;
    }
    match report.problems.len() {
        0 => Ok(()),
        1 => Err(Error::new(Kind::Damaged, "1 problem was found")),
        n => Err(Error::new(
            Kind::Damaged,
            format!("{n} problems were found"),
        )),
    }
}
