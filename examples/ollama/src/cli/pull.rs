//! `ollama pull`: fetches a model into the store.

use super::args::TransferArgs;
use super::place::Place;
use super::remote;
use super::transfer::{shown, wait};
use crate::api::TransferRequest;
use crate::error::Result;
use crate::registry::{Config, Options, Registry, Source};
use crate::settings::Settings;

pub(super) fn run(args: &TransferArgs, settings: &Settings) -> Result<()> {
    let source = Source::parse(&args.model)?;
    if let Place::Server(client) = Place::find(settings)? {
        let request = TransferRequest {
            model: args.model.clone(),
            insecure: args.insecure,
            ..TransferRequest::default()
        };
        return shown(|report| remote::work(&client, "/api/pull", &request, report));
    }
    let store = super::store_to_change(settings)?;
    let registry = Registry::new(Config::new(settings)?);
    let options = Options {
        insecure: args.insecure,
        ..Options::default()
    };
    shown(|report| wait(registry.pull(&store, &source, &options, report)))
}
