//! `ollama list`: which models there are.

use std::time::SystemTime;

use axum::http::Method;

use super::args::ListArgs;
use super::place::Place;
use super::{output, table};
use crate::api::ListResponse;
use crate::error::Result;
use crate::human;
use crate::settings::Settings;
use crate::show::Summary;
use crate::store::manifest::media;
use crate::store::{Broken, Entry, Listing, Store};

pub(super) fn run(args: &ListArgs, settings: &Settings) -> Result<()> {
    let filter = args.filter.as_deref().unwrap_or_default().to_lowercase();
    let wanted = |name: &str| name.to_lowercase().starts_with(&filter);
    match Place::find(settings)? {
        Place::Here => of_store(args, &Store::open(&settings.models)?, wanted),
        Place::Server(client) => {
            let mut listed: ListResponse = client.ask(Method::GET, "/api/tags", &())?;
            listed.models.retain(|model| wanted(&model.name));
            of_server(args, &listed)
        }
    }
}

fn of_store(args: &ListArgs, store: &Store, wanted: impl Fn(&str) -> bool) -> Result<()> {
    let Listing { mut models, broken } = store.list()?;
    models.retain(|model| wanted(&model.name.to_string()));
    for Broken { what, error } in broken {
        output::note(format_args!("Warning: {what}: {error}"));
    }
    if args.json {
        let models: Vec<Summary> = models
            .iter()
            .map(|model| Summary::read(store, model))
            .collect();
        return output::json(&serde_json::json!({ "models": models }));
    }
    let now = SystemTime::now();
    rows(models.iter().map(|model| {
        [
            model.name.to_string(),
            model.digest.short(),
            size(store, model),
            human::time(model.modified, now),
        ]
    }))
}

fn of_server(args: &ListArgs, listed: &ListResponse) -> Result<()> {
    for broken in &listed.broken {
        output::note(format_args!("Warning: {}: {}", broken.name, broken.error));
    }
    if args.json {
        return output::json(&serde_json::json!({ "models": listed.models }));
    }
    let now = SystemTime::now();
    rows(listed.models.iter().map(|model| {
        let modified = humantime::parse_rfc3339_weak(&model.modified_at);
        [
            model.name.clone(),
            model.digest.chars().take(12).collect(),
            human::bytes(model.size),
            modified.map_or_else(|_| model.modified_at.clone(), |time| human::time(time, now)),
        ]
    }))
}

fn rows(models: impl Iterator<Item = [String; 4]>) -> Result<()> {
    let head = ["NAME", "ID", "SIZE", "MODIFIED"].map(str::to_owned);
    let rows: Vec<_> = [head].into_iter().chain(models).map(Vec::from).collect();
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
