//! Runs a command for its exit status, with its output passed through.

use std::process::Command;

/// Cargo, the one that runs this.
pub fn cargo() -> Command {
    Command::new(env!("CARGO"))
}

/// Waits for the command to end well.
pub fn run(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?}: {status}")),
        Err(e) => Err(format!("{command:?}: {e}")),
    }
}
