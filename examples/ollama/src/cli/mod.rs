//! The command line: reads what was typed and runs the command.
//!
//! Each command is a file. Results go to standard output, plain; everything else to standard error.
//! The exit code is 0 when all is well, 130 when the user or the reader of the output stopped it, else 1.

mod args;
mod bench;
mod client;
mod completion;
mod cp;
mod create;
mod doctor;
mod export;
mod help;
mod import;
mod interrupt;
mod keys;
mod list;
mod output;
mod place;
mod ps;
mod pull;
mod push;
mod remote;
mod rm;
mod run;
mod server;
mod show;
mod shown;
mod stop;
mod table;
mod tls;
mod transfer;

use std::ffi::OsString;
use std::process::ExitCode;

use args::{Cli, Command};
use clap::{ArgAction, CommandFactory, Parser};

use crate::error::{Error, Kind, Result};
use crate::name::Name;
use crate::settings::Settings;
use crate::store::Store;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(without_values(std::env::args_os())) {
        Ok(cli) => cli,
        // Also what --help prints comes this way.
        Err(error) => {
            let failed = error.use_stderr();
            let printed = error.print().is_ok();
            return ExitCode::from(u8::from(failed || !printed));
        }
    };
    if let Some(Command::Runner(_)) = &cli.command {
        return crate::runner::main();
    }
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == Kind::Cancelled => ExitCode::from(130),
        Err(error) => {
            output::note(format_args!("Error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let Some(command) = cli.command else {
        return if cli.version {
            output::print(&format!("ollama version is {}\n", crate::VERSION))
        } else {
            output::print(&Cli::command().render_help().to_string())
        };
    };
    let mut settings = Settings::from_env()?;
    settings.offline |= cli.offline;
    match command {
        Command::List(args) => list::run(&args, &settings),
        Command::Show(args) => show::run(&args, &settings),
        Command::Create(args) => create::run(&args, &settings),
        Command::Cp(args) => cp::run(&args, &settings),
        Command::Rm(args) => rm::run(&args, &settings),
        Command::Pull(args) => pull::run(&args, &settings),
        Command::Push(args) => push::run(&args, &settings),
        Command::Export(args) => export::run(&args, &settings),
        Command::Import(args) => import::run(&args, &settings),
        Command::Run(args) => run::run(&args, &settings),
        Command::Serve(_) => crate::server::serve(&settings),
        Command::Ps(args) => ps::run(&args, &settings),
        Command::Stop(args) => stop::run(&args.model, &settings),
        Command::Keys(args) => keys::run(&args.command, &settings),
        Command::Bench(args) => bench::run(&args, &settings),
        Command::Doctor(args) => doctor::run(&args, &settings),
        Command::Completion(args) => completion::run(&args),
        Command::Signin | Command::Signout => Err(Error::new(
            Kind::Unsupported,
            "this program has no accounts: it neither signs in to ollama.com nor needs to",
        )),
        Command::Launch(_) => Err(Error::new(
            Kind::Unsupported,
            "this program starts no others: set them up to use the server's address",
        )),
        Command::Runner(_) => Err(Error::new(
            Kind::Unsupported,
            "runners are started by servers",
        )),
    }
}

/// The model in the store, which is named as it was typed where it is not there.
fn existing(store: &Store, typed: &str) -> Result<Name> {
    let name = Name::parse(typed)?;
    store.resolve(&name).map_err(|error| match error.kind() {
        Kind::NotFound => Error::new(Kind::NotFound, format!("model '{typed}' not found")),
        _ => error,
    })
}

/// The store, with a word about others who use it when it is about to be changed.
fn store_to_change(settings: &Settings) -> Result<Store> {
    let store = Store::open(&settings.models)?;
    for neighbour in store.neighbours() {
        output::note(format_args!("Warning: {neighbour}"));
    }
    Ok(store)
}

/// Switches may be written `--verbose=true`, as programs in Go take them.
fn without_values(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let command = Cli::command();
    let all = command
        .get_subcommands()
        .chain([&command])
        .flat_map(|c| c.get_arguments());
    let switches: Vec<&str> = all
        .filter(|arg| matches!(arg.get_action(), ArgAction::SetTrue))
        .filter_map(|arg| arg.get_long())
        .collect();
    let mut given = Vec::new();
    let mut args = args;
    for arg in args.by_ref() {
        if arg == "--" {
            given.push(arg);
            break;
        }
        let switch = arg.to_str().and_then(|text| {
            let (name, value) = text.strip_prefix("--")?.split_once('=')?;
            let known = switches.contains(&name);
            known.then(|| (format!("--{name}"), crate::settings::boolean(value)))
        });
        match switch {
            Some((_, Some(false))) => {}
            Some((name, Some(true))) => given.push(name.into()),
            _ => given.push(arg),
        }
    }
    given.extend(args);
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        let words = words.iter().map(OsString::from);
        Cli::try_parse_from(without_values(words))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_scripts_for_ollama_type() {
        for words in [
            &["ollama", "-v"][..],
            &["ollama", "serve"],
            &["ollama", "start"],
            &["ollama", "create", "m", "-f", "Modelfile", "-q", "q4_K_M"],
            &["ollama", "create", "m", "--file=-", "--quantize=q8_0"],
            &["ollama", "show", "m", "--modelfile"],
            &["ollama", "show", "-v", "m"],
            &["ollama", "run", "m"],
            &["ollama", "run", "m", "two", "words", "--verbose"],
            &[
                "ollama",
                "run",
                "m",
                "--format",
                "json",
                "--keepalive",
                "-1",
                "hello",
            ],
            &["ollama", "run", "m", "--think", "hello"],
            &[
                "ollama",
                "run",
                "m",
                "--think=high",
                "--hidethinking",
                "hello",
            ],
            &[
                "ollama",
                "run",
                "m",
                "--truncate=false",
                "--dimensions",
                "64",
                "hello",
            ],
            &["ollama", "run", "m", "--verbose=true", "--nowordwrap=false"],
            &[
                "ollama",
                "run",
                "m",
                "--num-ctx",
                "8192",
                "--temperature",
                "0",
                "-o",
                "mirostat=2",
            ],
            &["ollama", "stop", "m"],
            &["ollama", "pull", "--insecure", "m"],
            &["ollama", "push", "n/m"],
            &["ollama", "list"],
            &["ollama", "ls", "lla"],
            &["ollama", "ps", "--json"],
            &["ollama", "cp", "a", "b"],
            &["ollama", "rm", "a", "b"],
            &[
                "ollama",
                "keys",
                "add",
                "laptop",
                "--scopes",
                "infer,manage",
                "--parallel=2",
            ],
            &["ollama", "keys", "ls", "--json"],
            &["ollama", "keys", "remove", "a", "b"],
            &[
                "ollama",
                "bench",
                "m",
                "--clients=4",
                "--words",
                "100",
                "--tokens",
                "48",
                "--json",
            ],
            &["ollama", "doctor", "--verify", "--json"],
            &["ollama", "login"],
            &["ollama", "launch", "claude", "--model", "x"],
            &["ollama", "runner", "--model", "/x", "--port", "1"],
        ] {
            assert!(parse(words).is_ok(), "{words:?}: {:?}", parse(words).err());
        }
        for words in [
            &["ollama", "rm"][..],
            &["ollama", "cp", "a"],
            &["ollama", "show"],
            &["ollama", "show", "a", "b"],
            &["ollama", "bench", "m", "--clients", "0"],
            &["ollama", "bench", "m", "--rounds", "-1"],
            &["ollama", "keys"],
            &["ollama", "keys", "add", "a", "--scopes", "all"],
            &["ollama", "nonsense"],
            &["ollama", "list", "--nonsense"],
            &["ollama", "run", "m", "--verbose=perhaps"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn switches_with_values_are_switches() {
        let run = |words: &[&str]| match parse(words).unwrap().command {
            Some(Command::Run(args)) => args,
            other => panic!("{other:?}"),
        };
        let args = run(&["ollama", "run", "m", "--verbose=true", "--nowordwrap=0"]);
        assert!(args.verbose && !args.nowordwrap);
        let args = run(&["ollama", "run", "m", "--", "--verbose=true"]);
        assert_eq!(args.prompt, ["--verbose=true"]);
        let args = run(&["ollama", "run", "m", "--think", "hello"]);
        assert_eq!(
            (args.think.as_deref(), args.prompt),
            (Some("true"), vec!["hello".to_owned()])
        );
        assert_eq!(
            run(&["ollama", "run", "m", "--truncate=false"]).truncate,
            Some(false)
        );
    }
}
