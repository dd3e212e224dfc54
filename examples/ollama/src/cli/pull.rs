//! `ollama pull`: fetches a model into the store.

use super::args::TransferArgs;
use super::transfer::{shown, wait};
use crate::error::Result;
use crate::registry::{Config, Options, Registry, Source};
use crate::settings::Settings;

pub(super) fn run(args: &TransferArgs, settings: &Settings) -> Result<()> {
    let source = Source::parse(&args.model)?;
    let store = super::store_to_change(settings)?;
    let registry = Registry::new(Config::new(settings)?);
    let options = Options {
        insecure: args.insecure,
        ..Options::default()
    };
    shown(|report| wait(registry.pull(&store, &source, &options, report)))
}
