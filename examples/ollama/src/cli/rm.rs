//! `ollama rm`: removes models.

use axum::http::Method;
use serde_json::{Value, json};

use super::args::RmArgs;
use super::{existing, output, place, store_to_change};
use crate::error::Result;
use crate::name::Name;
use crate::settings::Settings;

pub(super) fn run(args: &RmArgs, settings: &Settings) -> Result<()> {
    for model in &args.models {
        Name::parse(model)?;
    }
    // A server also frees the memory of what is loaded.
    if let Some(client) = place::listening(settings)? {
        for given in &args.models {
            let body = json!({ "model": given });
            client.ask::<Value>(Method::DELETE, "/api/delete", &body)?;
            output::print(&format!("deleted '{given}'\n"))?;
        }
        return Ok(());
    }
    let store = store_to_change(settings)?;
    for given in &args.models {
        let removed = store.remove(&existing(&store, given)?)?;
        if let Some(reason) = removed.left {
            output::note(format_args!("Warning: blobs of '{given}' stay: {reason}"));
        }
        output::print(&format!("deleted '{given}'\n"))?;
    }
    Ok(())
}
