//! `ollama completion`: prints what a shell needs.

use clap::CommandFactory;

use super::args::{Cli, CompletionArgs};
use super::output;
use crate::error::Result;

pub(super) fn run(args: &CompletionArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ollama", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
