//! The environment variables below the help of commands.

use crate::settings::{VARIABLES, Variable, variable};

/// What every command that talks to a server reads.
pub(super) const HOST: &str = "Environment Variables:
      OLLAMA_HOST                   Address of the server (default 127.0.0.1:11434)";

/// For `serve`: everything.
pub(super) fn serve() -> String {
    list(VARIABLES)
}

/// For `run`.
pub(super) fn run() -> String {
    let names = ["OLLAMA_EDITOR", "OLLAMA_HOST", "OLLAMA_NOHISTORY"];
    list(names.into_iter().filter_map(variable))
}

/// For `keys`.
pub(super) fn keys() -> String {
    format!(
        "A server that runs sees within a second or two what changes; requests that it answers by then go on.\n\n{}",
        list(variable("OLLAMA_API_KEYS"))
    )
}

fn list<'a>(variables: impl IntoIterator<Item = &'a Variable>) -> String {
    let mut text = "Environment Variables:".to_owned();
    for Variable { name, description } in variables {
        text += &format!("\n      {name:<27}   {description}");
    }
    text
}
