//! `ollama import`: takes the models of a file that `export` wrote.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use super::args::ImportArgs;
use super::output;
use super::transfer::shown;
use crate::archive;
use crate::error::{Error, Kind, Result};
use crate::name::Name;
use crate::settings::Settings;

const BUFFER: usize = 1 << 20;

pub(super) fn run(args: &ImportArgs, settings: &Settings) -> Result<()> {
    let name = args.model.as_deref().map(Name::parse).transpose()?;
    let store = super::store_to_change(settings)?;
    let names = shown(|report| {
        if args.file == Path::new("-") {
            let input = BufReader::with_capacity(BUFFER, io::stdin().lock());
            archive::import(&store, input, name.as_ref(), report)
        } else {
            let cannot = |e: io::Error| {
                Error::new(
                    Kind::NotFound,
                    format!("cannot open {}: {e}", args.file.display()),
                )
            };
            let file = File::open(&args.file).map_err(cannot)?;
            archive::import(
                &store,
                BufReader::with_capacity(BUFFER, file),
                name.as_ref(),
                report,
            )
        }
    })?;
    let names: Vec<String> = names.iter().map(|name| format!("{name}\n")).collect();
    output::print(&names.concat())
}
