//! `ollama keys`: the API keys of the server, of which only hashes are kept.

mod file;
#[cfg(test)]
mod tests;

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::args::{AddKeyArgs, KeysCommand, ListKeysArgs, RemoveKeysArgs, Scope};
use super::{output, table};
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::server::{KEY_LIMITS, KeyLine, keys};
use crate::settings::Settings;

/// How every key begins, so that people and scanners for leaked secrets know what it is.
const PREFIX: &str = "ollama-";

pub(super) fn run(command: &KeysCommand, settings: &Settings) -> Result<()> {
    let Some(path) = &settings.api_keys else {
        return Err(Error::new(
            Kind::Invalid,
            "OLLAMA_API_KEYS names no file: set it here, and for the server, which lets nobody in without a key then",
        ));
    };
    match command {
        KeysCommand::Add(args) => add(args, path),
        KeysCommand::List(args) => list(args, path),
        KeysCommand::Remove(args) => remove(args, path),
    }
}

fn add(args: &AddKeyArgs, path: &Path) -> Result<()> {
    let key = make(args, path)?;
    output::print(&format!("{key}\n"))?;
    output::note(format_args!(
        "This key is shown only now: its hash alone is kept. A server that runs knows it after a second or two."
    ));
    Ok(())
}

/// Makes a key that the file knows from then on.
fn make(args: &AddKeyArgs, path: &Path) -> Result<String> {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    if args.name.is_empty() || args.name.len() > 64 || !args.name.chars().all(letter) {
        return Err(Error::new(
            Kind::Invalid,
            "a name has 1 to 64 letters, digits, and - _ . @",
        ));
    }
    for (option, number) in [
        ("--parallel", args.parallel),
        ("--per-minute", args.per_minute),
    ] {
        if number.is_some_and(|number| !KEY_LIMITS.contains(&number)) {
            let (least, most) = KEY_LIMITS.into_inner();
            let message = format!("{option} must be from {least} to {most}");
            return Err(Error::new(Kind::Invalid, message));
        }
    }
    let key = new_key()?;
    let line = KeyLine {
        name: args.name.clone(),
        hash: Digest::of_bytes(key.as_bytes()),
        infer: args.scopes.contains(&Scope::Infer),
        manage: args.scopes.contains(&Scope::Manage),
        parallel: args.parallel,
        per_minute: args.per_minute,
    };
    file::change(path, |text| {
        if keys::lines(&text)?.iter().any(|key| key.name == line.name) {
            let message = format!("there is a key of {:?} already", line.name);
            return Err(Error::new(Kind::Invalid, message));
        }
        let newline = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        Ok(format!("{text}{newline}{line}\n"))
    })?;
    Ok(key)
}

fn list(args: &ListKeysArgs, path: &Path) -> Result<()> {
    let keys = keys::lines(&file::read(path)?)?;
    if args.json {
        let keys: Vec<_> = keys
            .iter()
            .map(|key| {
                serde_json::json!({
                    "name": key.name,
                    "hash": key.hash,
                    "scopes": key.scopes().split(',').collect::<Vec<_>>(),
                    "parallel": key.parallel,
                    "per_minute": key.per_minute,
                })
            })
            .collect();
        return output::json(&serde_json::json!({ "keys": keys }));
    }
    let limit = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let head = ["NAME", "HASH", "SCOPES", "PARALLEL", "PER MINUTE"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(keys.iter().map(|key| {
        vec![
            key.name.clone(),
            key.hash.short(),
            key.scopes().to_owned(),
            limit(key.parallel),
            limit(key.per_minute),
        ]
    }));
    output::print(&table::render(&rows))
}

fn remove(args: &RemoveKeysArgs, path: &Path) -> Result<()> {
    let mut left = 0;
    file::change(path, |text| {
        let keys = keys::lines(&text)?;
        let names = &args.names;
        if let Some(name) = names
            .iter()
            .find(|name| !keys.iter().any(|key| key.name == **name))
        {
            let message = format!("there is no key of {name:?}");
            return Err(Error::new(Kind::NotFound, message));
        }
        left = keys.iter().filter(|key| !names.contains(&key.name)).count();
        let stays = |line: &&str| match KeyLine::parse(line) {
            Ok(Some(key)) => !names.contains(&key.name),
            _ => true,
        };
        // With the ends of lines, comments and empty lines as they are.
        Ok(text.split_inclusive('\n').filter(stays).collect())
    })?;
    for name in &args.names {
        output::print(&format!("removed '{name}'\n"))?;
    }
    output::note(match left {
        0 => format_args!(
            "No key is left: a server that runs lets nobody in after a second or two, and none starts with this file."
        ),
        _ => format_args!("A server that runs knows it after a second or two."),
    });
    Ok(())
}

/// 32 random bytes, as text.
fn new_key() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|_| Error::new(Kind::Storage, "the system gives no random numbers"))?;
    Ok(format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)))
}
