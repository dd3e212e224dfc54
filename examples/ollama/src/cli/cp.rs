//! `ollama cp`: gives a model a further name.

use axum::http::Method;
use serde_json::Value;

use super::args::CpArgs;
use super::place::Place;
use super::{existing, output, store_to_change};
use crate::api::CopyRequest;
use crate::error::Result;
use crate::name::Name;
use crate::settings::Settings;

pub(super) fn run(args: &CpArgs, settings: &Settings) -> Result<()> {
    let to = Name::parse(&args.destination)?;
    match Place::find(settings)? {
        Place::Here => {
            let store = store_to_change(settings)?;
            store.copy(&existing(&store, &args.source)?, &to)?;
        }
        Place::Server(client) => {
            let request = CopyRequest {
                source: args.source.clone(),
                destination: args.destination.clone(),
            };
            client.ask::<Value>(Method::POST, "/api/copy", &request)?;
        }
    }
    output::print(&format!(
        "copied '{}' to '{}'\n",
        args.source, args.destination
    ))
}
