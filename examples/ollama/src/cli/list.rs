//! `ollama list`: what is in the store.

use std::time::SystemTime;

use super::args::ListArgs;
use super::{output, table};
use crate::error::{Error, Kind, Result};
use crate::human;
use crate::settings::Settings;
use crate::show::Summary;
use crate::store::manifest::media;
use crate::store::{Broken, Entry, Listing, Store};

pub(super) fn run(args: &ListArgs, settings: &Settings) -> Result<()> {
    let store = Store::open(&settings.models)?;
    let Listing { mut models, broken } = store.list()?;
    let filter = args.filter.as_deref().unwrap_or_default().to_lowercase();
    models.retain(|model| model.name.to_string().to_lowercase().starts_with(&filter));
    for Broken { what, error } in broken {
        output::note(format_args!("Warning: {what}: {error}"));
    }
    if args.json {
        let models: Vec<Summary> = models
            .iter()
            .map(|model| Summary::read(&store, model))
            .collect();
        let json = serde_json::to_string_pretty(&serde_json::json!({ "models": models }));
        let json = json.map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
        return output::print(&(json + "\n"));
    }
    let now = SystemTime::now();
    let mut rows = vec![
        ["NAME", "ID", "SIZE", "MODIFIED"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(models.iter().map(|model| {
        vec![
            model.name.to_string(),
            model.digest.short(),
            size(&store, model),
            human::time(model.modified, now),
        ]
    }));
    output::print(&table::render(&rows))
}

/// Models that run elsewhere have none.
fn size(store: &Store, model: &Entry) -> String {
    let here = model.manifest.layer(media::MODEL).is_some();
    if !here
        && store
            .config(&model.manifest)
            .is_ok_and(|config| config.is_remote())
    {
        return "-".to_owned();
    }
    human::bytes(model.size)
}
