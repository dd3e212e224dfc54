//! Embeddings, by all three APIs that have them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use base64::Engine;
use serde_json::{Map, Value, json};

use super::notes::add_warnings;
use super::request::read;
use crate::api::openai::EmbeddingRequest;
use crate::api::{EmbedRequest, EmbedResponse, EmbeddingsRequest, EmbeddingsResponse, KeepAlive};
use crate::runner::wire::{Embed, Embedded};
use crate::server::app::{App, Caller, Heard, options};
use crate::server::clock::nanos;
use crate::server::error::ApiError;
use crate::server::reply;

/// Inputs of a request at most.
const INPUTS: usize = 8192;

const FIELDS: &[&str] = &["model", "input", "truncate", "dimensions", "keep_alive"];

struct Wanted<'r> {
    model: &'r str,
    inputs: Vec<String>,
    truncate: bool,
    normalize: bool,
    keep_alive: Option<KeepAlive>,
    options: Option<&'r Map<String, Value>>,
}

struct Done {
    embedded: Embedded,
    waited: Duration,
}

async fn compute(
    app: &App,
    caller: &Caller,
    wanted: Wanted<'_>,
    heard: &mut Heard,
) -> Result<Done, ApiError> {
    let count = wanted.inputs.len();
    if count > INPUTS {
        return Err(ApiError::bad(format!(
            "input: {count} texts are more than {INPUTS}"
        )));
    }
    let model = app.find(wanted.model).await?;
    let options = options(&model, wanted.options, FIELDS, heard)?;
    let lease = app
        .ready(&model, &options, wanted.keep_alive, heard)
        .await?;
    let waited = lease.waited;
    if wanted.inputs.is_empty() {
        let embedded = Embedded::default();
        return Ok(Done { embedded, waited });
    }
    let request = Embed {
        inputs: wanted.inputs,
        truncate: wanted.truncate,
        normalize: wanted.normalize,
        namespace: caller.namespace.to_string(),
    };
    let embedded: Embedded = lease.client.ask("/embed", &request).await?;
    let tokens = embedded.tokens.iter().sum();
    app.metrics.embedded(count as u64, tokens);
    if embedded
        .vectors
        .iter()
        .flatten()
        .any(|number| !number.is_finite())
    {
        return Err(ApiError::internal(
            "the model computed embeddings that are not numbers",
        ));
    }
    for at in &embedded.truncated {
        heard.warn(format!("input[{at}] was cut: it was too long"));
    }
    Ok(Done { embedded, waited })
}

/// The first numbers of each vector, scaled to length 1 again.
fn shorten(vectors: Vec<Vec<f32>>, dimensions: u32) -> Vec<Vec<f32>> {
    let keep = dimensions as usize;
    let shorten = |mut vector: Vec<f32>| {
        if keep > 0 && keep < vector.len() {
            vector.truncate(keep);
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
            vector.iter_mut().for_each(|x| *x /= length);
        }
        vector
    };
    vectors.into_iter().map(shorten).collect()
}

pub(crate) async fn embed(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let began = Instant::now();
    let (request, mut heard) = read::<EmbedRequest>(request, &caller).await?;
    let wanted = Wanted {
        model: &request.model,
        inputs: request.input.into_vec(),
        truncate: request.truncate.unwrap_or(true),
        normalize: true,
        keep_alive: request.keep_alive,
        options: request.options.as_ref(),
    };
    let done = compute(&app, &caller, wanted, &mut heard).await?;
    reply::json(&EmbedResponse {
        model: request.model,
        embeddings: shorten(done.embedded.vectors, request.dimensions),
        total_duration: nanos(began.elapsed()),
        load_duration: nanos(done.waited),
        prompt_eval_count: done.embedded.tokens.iter().sum(),
        truncated: done.embedded.truncated,
        warnings: heard.warnings,
    })
}

pub(crate) async fn embeddings(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let (request, mut heard) = read::<EmbeddingsRequest>(request, &caller).await?;
    let text = Some(request.prompt).filter(|text| !text.is_empty());
    let wanted = Wanted {
        model: &request.model,
        inputs: text.into_iter().collect(),
        truncate: true,
        // The older form gives vectors as the model computes them.
        normalize: false,
        keep_alive: request.keep_alive,
        options: request.options.as_ref(),
    };
    let done = compute(&app, &caller, wanted, &mut heard).await?;
    reply::json(&EmbeddingsResponse {
        embedding: done.embedded.vectors.into_iter().next().unwrap_or_default(),
        warnings: heard.warnings,
    })
}

pub(crate) async fn openai(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let (request, mut heard) = read::<EmbeddingRequest>(request, &caller).await?;
    let base64 = match request.encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => {
            return Err(ApiError::bad(
                "encoding_format: it must be \"float\" or \"base64\"",
            ));
        }
    };
    let inputs = request.input.into_vec();
    if inputs.is_empty() {
        return Err(ApiError::bad("input: it is required"));
    }
    let wanted = Wanted {
        model: &request.model,
        inputs,
        truncate: request.truncate.unwrap_or(true),
        normalize: true,
        keep_alive: request.keep_alive,
        options: request.options.as_ref(),
    };
    let done = compute(&app, &caller, wanted, &mut heard).await?;
    let tokens: u64 = done.embedded.tokens.iter().sum();
    let vectors = shorten(done.embedded.vectors, request.dimensions);
    let data = vectors.into_iter().enumerate().map(|(index, vector)| {
        let embedding = match base64 {
            false => json!(vector),
            true => {
                let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                json!(base64::engine::general_purpose::STANDARD.encode(bytes))
            }
        };
        json!({ "object": "embedding", "embedding": embedding, "index": index })
    });
    let mut answer = json!({
        "object": "list",
        "data": data.collect::<Vec<_>>(),
        "model": request.model,
        "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
    });
    add_warnings(&mut answer, &heard.warnings);
    reply::json(&answer)
}
