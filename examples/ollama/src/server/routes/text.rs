//! Tokens of texts, texts of tokens, and documents by how well they fit. Not in Ollama's API.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;

use super::request::read;
use crate::api::{
    DetokenizeRequest, DetokenizeResponse, KeepAlive, Options, Ranked, RerankRequest,
    RerankResponse, TokenizeRequest, TokenizeResponse,
};
use crate::runner::wire::{
    Detokenize, Detokenized, Piece, Prompt, Rerank, Reranked, Tokenize, Tokenized,
};
use crate::scheduler::Lease;
use crate::server::app::{App, Caller, Heard, options};
use crate::server::clock::nanos;
use crate::server::error::ApiError;
use crate::server::reply;

/// Documents of a request at most.
const DOCUMENTS: usize = 8192;
/// Tokens of a request at most.
const TOKENS: usize = 4 << 20;

const FIELDS: &[&str] = &[
    "model",
    "query",
    "documents",
    "top_n",
    "return_documents",
    "keep_alive",
];

async fn lease(
    app: &App,
    asked: &str,
    keep_alive: Option<KeepAlive>,
    heard: &mut Heard,
) -> Result<Lease, ApiError> {
    let model = app.find(asked).await?;
    let options = Options::default().or(&model.options);
    app.ready(&model, &options, keep_alive, heard).await
}

pub(crate) async fn tokenize(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let (request, mut heard) = read::<TokenizeRequest>(request, &caller).await?;
    let lease = lease(&app, &request.model, request.keep_alive, &mut heard).await?;
    let prompt = match request.parse_special {
        true => Prompt::Text(request.content),
        false => Prompt::Segments(vec![Piece {
            t: request.content,
            m: true,
            g: None,
        }]),
    };
    let ask = Tokenize {
        prompt,
        add_special: request.add_special.unwrap_or(true),
    };
    let done: Tokenized = lease.client.ask("/tokenize", &ask).await?;
    reply::json(&TokenizeResponse {
        model: request.model,
        count: done.tokens.len(),
        tokens: done.tokens,
    })
}

pub(crate) async fn detokenize(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let (request, mut heard) = read::<DetokenizeRequest>(request, &caller).await?;
    if request.tokens.len() > TOKENS {
        return Err(ApiError::bad(format!(
            "tokens: there may be {TOKENS} at most"
        )));
    }
    let lease = lease(&app, &request.model, request.keep_alive, &mut heard).await?;
    let ask = Detokenize {
        tokens: request.tokens,
    };
    let done: Detokenized = lease.client.ask("/detokenize", &ask).await?;
    reply::json(&DetokenizeResponse {
        model: request.model,
        content: done.text,
    })
}

pub(crate) async fn rerank(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let began = Instant::now();
    let (request, mut heard) = read::<RerankRequest>(request, &caller).await?;
    if request.query.is_empty() {
        return Err(ApiError::bad("query: it is required"));
    }
    if request.documents.len() > DOCUMENTS {
        return Err(ApiError::bad(format!(
            "documents: there may be {DOCUMENTS} at most"
        )));
    }
    let model = app.find(&request.model).await?;
    let options = options(&model, request.options.as_ref(), FIELDS, &mut heard)?;
    let lease = app
        .ready(&model, &options, request.keep_alive, &mut heard)
        .await?;
    let documents: Vec<String> = request.documents.into_iter().map(|one| one.0).collect();
    let done = match documents.is_empty() {
        true => Reranked::default(),
        false => {
            let ask = Rerank {
                query: request.query,
                documents: documents.clone(),
                namespace: caller.namespace.to_string(),
            };
            lease.client.ask("/rerank", &ask).await?
        }
    };
    let tokens = done.tokens.iter().sum();
    app.metrics.embedded(documents.len() as u64, tokens);
    let mut results: Vec<Ranked> = done
        .scores
        .iter()
        .zip(documents)
        .enumerate()
        .map(|(index, (&relevance_score, text))| Ranked {
            index,
            relevance_score,
            document: request.return_documents.then_some(text),
        })
        .collect();
    results.sort_by(|a, b| b.relevance_score.total_cmp(&a.relevance_score));
    if request.top_n > 0 {
        results.truncate(request.top_n as usize);
    }
    reply::json(&RerankResponse {
        model: request.model,
        results,
        total_duration: nanos(began.elapsed()),
        load_duration: nanos(lease.waited),
        prompt_eval_count: tokens,
        warnings: heard.warnings,
    })
}
