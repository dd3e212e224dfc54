//! The runner's HTTP server: a backend behind routes that only its server may ask.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;

use super::wire::{
    Completion, Detokenize, Detokenized, Embed, Embedded, Event, Failure, FailureKind, Health,
    Rerank, Reranked, Tokenize, Tokenized,
};

use crate::tasks;

/// Bytes of a request at most: what the server lets in, with room for what it adds.
const BODY: usize = 512 << 20;
/// Events that are written at once when they are there already.
const TOGETHER: usize = 64;

pub(crate) type Events = BoxStream<'static, Event>;
pub(crate) type Later<T> = futures_util::future::BoxFuture<'static, Result<T, Failure>>;

/// What computes. Methods may block for as long as it takes to tokenize their input.
pub(crate) trait Backend: Send + Sync + 'static {
    /// Begins an answer; dropping the events cancels it.
    fn complete(&self, request: Completion) -> Result<Events, Failure>;
    fn embed(&self, request: Embed) -> Later<Embedded>;
    fn rerank(&self, request: Rerank) -> Later<Reranked>;
    fn tokenize(&self, request: Tokenize) -> Result<Tokenized, Failure>;
    fn detokenize(&self, request: Detokenize) -> Result<Detokenized, Failure>;
    fn health(&self) -> Health;
}

type Shared = State<Arc<dyn Backend>>;

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, backend: Arc<dyn Backend>, token: &str) {
    let expected = format!("Bearer {token}");
    let routes = Router::new()
        .route("/health", get(health))
        .route("/completion", post(completion))
        .route("/embed", post(embed))
        .route("/rerank", post(rerank))
        .route("/tokenize", post(tokenize))
        .route("/detokenize", post(detokenize))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            let given = request.headers().get(header::AUTHORIZATION);
            let allowed = given.is_some_and(|given| same(given.as_bytes(), expected.as_bytes()));
            async move {
                match allowed {
                    true => next.run(request).await,
                    false => StatusCode::UNAUTHORIZED.into_response(),
                }
            }
        }))
        .with_state(backend);
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        // Tokens are small and each matters.
        let _ = stream.set_nodelay(true);
    });
    // It ends with an error only if the listener breaks, and then nobody can reach the process: its server
    // sees that.
    let _ = axum::serve(listener, routes).await;
}

/// Compares in a time that does not tell how much is equal.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differ = a.iter().zip(b).fold(0, |sum, (x, y)| sum | (x ^ y));
    a.len() == b.len() && differ == 0
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::new(FailureKind::Invalid, format!("request: {error}")))
}

fn reply<T: Serialize>(result: Result<T, Failure>) -> Response {
    let (status, body) = match result {
        Ok(value) => (StatusCode::OK, serde_json::to_vec(&value)),
        Err(failure) => (StatusCode::BAD_REQUEST, serde_json::to_vec(&failure)),
    };
    match body {
        Ok(body) => (status, body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Does what may block on a thread for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let died = |_| Failure::new(FailureKind::Internal, "the runner failed");
    tasks::on_thread(work).await.map_err(died)?
}

async fn health(State(backend): Shared) -> Response {
    reply(Ok(backend.health()))
}

async fn completion(State(backend): Shared, body: Bytes) -> Response {
    let begun = blocking(move || backend.complete(read(&body)?)).await;
    match begun {
        Err(failure) => reply::<()>(Err(failure)),
        Ok(events) => {
            let lines = events.ready_chunks(TOGETHER).map(|events| {
                let mut lines = Vec::new();
                for event in events {
                    serde_json::to_writer(&mut lines, &event)?;
                    lines.push(b'\n');
                }
                Ok::<_, serde_json::Error>(lines)
            });
            Body::from_stream(lines).into_response()
        }
    }
}

async fn embed(State(backend): Shared, body: Bytes) -> Response {
    let begun = blocking(move || Ok(backend.embed(read(&body)?))).await;
    match begun {
        Ok(later) => reply(later.await),
        Err(failure) => reply::<()>(Err(failure)),
    }
}

async fn rerank(State(backend): Shared, body: Bytes) -> Response {
    let begun = blocking(move || Ok(backend.rerank(read(&body)?))).await;
    match begun {
        Ok(later) => reply(later.await),
        Err(failure) => reply::<()>(Err(failure)),
    }
}

async fn tokenize(State(backend): Shared, body: Bytes) -> Response {
    reply(blocking(move || backend.tokenize(read(&body)?)).await)
}

async fn detokenize(State(backend): Shared, body: Bytes) -> Response {
    reply(blocking(move || backend.detokenize(read(&body)?)).await)
}
