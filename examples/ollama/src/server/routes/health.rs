//! Whether the server lives and works, and what it counted.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::server::app::App;
use crate::server::error::ApiError;
use crate::server::{metrics as counted, reply};

pub(crate) async fn root() -> &'static str {
    "Ollama is running"
}

/// Commands on this machine see by `store` whether theirs is the server's.
pub(crate) async fn version(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let store = app.models.store().identity();
    reply::json(&json!({ "version": crate::VERSION, "store": store }))
}

pub(crate) async fn live() -> &'static str {
    "ok"
}

/// Ready only while work moves.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.scheduler.moves() {
        true => "ok".into_response(),
        false => {
            let message = "a model computes nothing though it has work, or the server is stopping";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message).into_response()
        }
    }
}

pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], counted::text(&app)).into_response()
}

/// There is no cloud.
pub(crate) async fn status() -> Result<Response, ApiError> {
    reply::json(&json!({ "cloud": { "disabled": true, "source": "build" } }))
}

pub(crate) async fn recommendations() -> Result<Response, ApiError> {
    reply::json(&json!({ "recommendations": [] }))
}
