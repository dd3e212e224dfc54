//! `ollama cp`: gives a model a further name.

use super::args::CpArgs;
use super::{output, store_to_change};
use crate::error::Result;
use crate::name::Name;
use crate::settings::Settings;

pub(super) fn run(args: &CpArgs, settings: &Settings) -> Result<()> {
    let (from, to) = (Name::parse(&args.source)?, Name::parse(&args.destination)?);
    store_to_change(settings)?.copy(&from, &to)?;
    output::print(&format!(
        "copied '{}' to '{}'\n",
        args.source, args.destination
    ))
}
