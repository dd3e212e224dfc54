//! Routes about models that are there: list, show, ps, copy, delete.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::request::{read_about, read_silently};
use crate::api::{
    BrokenModel, CopyRequest, DeleteRequest, KeepAlive, ListResponse, ListedModel, ModelDetails,
    PsResponse, RunningModel, ShowRequest,
};
use crate::error::{Error, Kind, shown};
use crate::name::Name;
use crate::scheduler::LoadedModel;
use crate::server::app::{App, Caller, blocking};
use crate::server::clock;
use crate::server::error::ApiError;
use crate::server::model::{key_of, parse_name};
use crate::server::reply;
use crate::show::{Info, View};
use crate::store::{Entry, Store};

pub(crate) async fn tags(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let store = app.models.store().clone();
    blocking(move || {
        let listing = store.list()?;
        let broken = listing.broken.into_iter().map(|broken| BrokenModel {
            name: broken.what,
            error: broken.error.to_string(),
        });
        reply::json(&ListResponse {
            models: listing
                .models
                .iter()
                .map(|entry| listed(&store, entry))
                .collect(),
            broken: broken.collect(),
        })
    })
    .await
}

fn listed(store: &Store, entry: &Entry) -> ListedModel {
    // A model whose settings can't be read is listed all the same.
    let config = store.config(&entry.manifest).unwrap_or_default();
    ListedModel {
        name: entry.name.to_string(),
        model: entry.name.to_string(),
        modified_at: clock::rfc3339(entry.modified),
        size: entry.size,
        digest: entry.digest.hex(),
        details: ModelDetails {
            parent_model: String::new(),
            format: config.model_format,
            family: config.model_family,
            families: config.model_families,
            parameter_size: config.model_type,
            quantization_level: config.file_type,
        },
    }
}

pub(crate) async fn openai_list(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let store = app.models.store().clone();
    blocking(move || {
        let listing = store.list()?;
        let models = listing
            .models
            .iter()
            .map(|entry| openai_model(&entry.name, clock::unix(entry.modified)));
        reply::json(&json!({ "object": "list", "data": models.collect::<Vec<_>>() }))
    })
    .await
}

pub(crate) async fn openai_one(
    State(app): State<Arc<App>>,
    Path(asked): Path<String>,
) -> Result<Response, ApiError> {
    let store = app.models.store().clone();
    blocking(move || {
        let name = existing(&store, &asked)?;
        let created = clock::unix(store.modified(&name)?);
        let mut model = openai_model(&name, created);
        model["id"] = json!(asked);
        reply::json(&model)
    })
    .await
}

fn openai_model(name: &Name, created: u64) -> serde_json::Value {
    json!({
        "id": name.to_string(),
        "object": "model",
        "created": created,
        "owned_by": name.namespace(),
    })
}

/// The name in the case in which it is stored.
fn existing(store: &Store, asked: &str) -> Result<Name, ApiError> {
    let name = parse_name(asked)?;
    store
        .resolve(&name)
        .map_err(|error| not_found(error, asked))
}

fn not_found(error: Error, asked: &str) -> ApiError {
    match error.kind() {
        Kind::NotFound => {
            let shown = shown(asked, 100);
            ApiError::not_found(format!("model '{shown}' not found"))
        }
        _ => error.into(),
    }
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let request = read_about::<ShowRequest>(request, &caller).await?;
    let models = Arc::clone(&app.models);
    blocking(move || {
        let name = existing(models.store(), &request.model)?;
        let view = View {
            verbose: request.verbose,
            system: Some(request.system).filter(|system| !system.is_empty()),
            options: request.options.unwrap_or_default(),
            go_template: models.go_template(),
        };
        let read = || {
            let shown = Info::read_with(models.store(), &name, &view)?;
            for warning in &shown.warnings {
                tracing::warn!(%name, %warning, "show");
            }
            reply::bytes_of(&shown)
        };
        let plain = !view.verbose && view.system.is_none() && view.options.is_empty();
        let bytes = match plain {
            true => models.shown(&name, read)?,
            false => read()?,
        };
        Ok(reply::json_bytes(bytes))
    })
    .await
}

pub(crate) async fn ps(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let mut loaded = app.scheduler.loaded();
    let until = |model: &LoadedModel| match (model.expires, model.keep_alive) {
        (Some(expires), _) => expires,
        (None, KeepAlive::Forever) => clock::never(),
        // It is busy: it stays this long from now at least.
        (None, KeepAlive::For(time)) => std::time::SystemTime::now()
            .checked_add(time)
            .unwrap_or_else(clock::never),
    };
    loaded.sort_by_key(|model| std::cmp::Reverse(until(model)));
    let models = loaded.iter().map(|model| RunningModel {
        name: model.card.name.clone(),
        model: model.card.name.clone(),
        size: model.memory.total(),
        digest: model.card.digest.clone(),
        details: model.card.details.clone(),
        expires_at: clock::rfc3339(until(model)),
        size_vram: model.info.gpu_memory,
        context_length: model.info.context_length.into(),
        memory: model.memory,
        processor: processor(model.memory.total(), model.info.gpu_memory),
        processor_reason: model.info.cpu_reason.clone(),
        state: model.state.to_owned(),
        progress: (model.state == "loading").then_some(model.progress),
        requests: model.requests as u64,
    });
    reply::json(&PsResponse {
        models: models.collect(),
        memory_budget: app.scheduler.config().budget,
    })
}

/// How a model is divided, as `ollama ps` prints it.
pub(crate) fn processor(size: u64, vram: u64) -> String {
    match (size, vram) {
        (_, 0) => "100% CPU".to_owned(),
        (size, vram) if vram >= size => "100% GPU".to_owned(),
        (size, vram) => {
            let cpu = ((size - vram) as f64 / size as f64 * 100.0).round();
            format!("{cpu:.0}%/{:.0}% CPU/GPU", 100.0 - cpu)
        }
    }
}

pub(crate) async fn copy(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let request = read_silently::<CopyRequest>(request, &caller).await?;
    let store = app.models.store().clone();
    blocking(move || {
        let invalid = |field: &str, text: &str| {
            let shown = shown(text, 100);
            ApiError::bad(format!("{field} {shown:?} is invalid"))
        };
        let source =
            Name::parse(&request.source).map_err(|_| invalid("source", &request.source))?;
        let destination = Name::parse(&request.destination)
            .map_err(|_| invalid("destination", &request.destination))?;
        store
            .copy(&source, &destination)
            .map_err(|error| match error.kind() {
                // Ollama words it so here, and otherwise elsewhere.
                Kind::NotFound => {
                    ApiError::not_found(format!("model {:?} not found", request.source))
                }
                _ => error.into(),
            })?;
        Ok(reply::empty(StatusCode::OK))
    })
    .await
}

pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let request = read_about::<DeleteRequest>(request, &caller).await?;
    let store = app.models.store().clone();
    let loaded = app.scheduler.loaded();
    let key = blocking(move || {
        let name = existing(&store, &request.model)?;
        // What is broken is loaded by nobody.
        let key = store
            .manifest(&name)
            .ok()
            .map(|(manifest, _)| key_of(&manifest));
        store
            .remove(&name)
            .map_err(|error| not_found(error, &request.model))?;
        let shown = name.to_string();
        let loaded_so = loaded.iter().any(|model| model.card.name == shown);
        let left = store.list()?.models;
        let same = left
            .iter()
            .any(|entry| Some(key_of(&entry.manifest)) == key);
        // Another name of the same weights keeps them loaded, if they were loaded by it.
        Ok(key.filter(|_| loaded_so || !same))
    })
    .await?;
    if let Some(key) = key {
        app.scheduler.stop(&key).await;
    }
    Ok(reply::empty(StatusCode::OK))
}

#[cfg(test)]
mod tests {
    use super::processor;

    #[test]
    fn processors_as_ollama_prints_them() {
        assert_eq!(processor(100, 0), "100% CPU");
        assert_eq!(processor(100, 100), "100% GPU");
        assert_eq!(processor(100, 52), "48%/52% CPU/GPU");
        assert_eq!(processor(0, 0), "100% CPU");
    }
}
