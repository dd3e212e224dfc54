//! All routes: what is there, what it takes to be let in, and who answers.

mod chat;
mod embed;
mod generate;
mod health;
mod lines;
mod manage;
mod messages;
mod models;
mod notes;
mod openai;
mod request;
mod responses;
mod talk;
mod text;

pub(crate) use models::processor;

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::middleware;
use axum::routing::{delete, get, post};

use super::app::App;
use super::error::ApiError;
use super::gate::gate;
use super::keys::Access;

/// A path and what it takes to be let in; `*` at its end stands for one further part.
pub(crate) const TABLE: &[(&str, Access)] = &[
    ("/", Access::Open),
    ("/livez", Access::Open),
    ("/readyz", Access::Open),
    ("/api/version", Access::Open),
    ("/api/status", Access::Infer),
    ("/api/generate", Access::Infer),
    ("/api/chat", Access::Infer),
    ("/api/embed", Access::Infer),
    ("/api/embeddings", Access::Infer),
    ("/api/tokenize", Access::Infer),
    ("/api/detokenize", Access::Infer),
    ("/api/rerank", Access::Infer),
    ("/api/tags", Access::Infer),
    ("/api/show", Access::Infer),
    ("/api/ps", Access::Infer),
    ("/metrics", Access::Infer),
    ("/v1/chat/completions", Access::Infer),
    ("/v1/completions", Access::Infer),
    ("/v1/embeddings", Access::Infer),
    ("/v1/rerank", Access::Infer),
    ("/v1/models", Access::Infer),
    ("/v1/models/*", Access::Infer),
    ("/v1/responses", Access::Infer),
    ("/v1/messages", Access::Infer),
    ("/v1/messages/count_tokens", Access::Infer),
    ("/v1/audio/transcriptions", Access::Infer),
    ("/api/pull", Access::Manage),
    ("/api/push", Access::Manage),
    ("/api/create", Access::Manage),
    ("/api/copy", Access::Manage),
    ("/api/delete", Access::Manage),
    ("/api/blobs/*", Access::Manage),
    ("/api/me", Access::Manage),
    ("/api/signout", Access::Manage),
    ("/api/user/keys/*", Access::Manage),
    ("/api/experimental/web_search", Access::Manage),
    ("/api/experimental/web_fetch", Access::Manage),
    ("/api/experimental/model-recommendations", Access::Infer),
];

fn entry(path: &str) -> Option<&'static (&'static str, Access)> {
    TABLE
        .iter()
        .find(|(known, _)| match known.strip_suffix('*') {
            Some(before) => path
                .strip_prefix(before)
                .is_some_and(|rest| !rest.is_empty()),
            None => *known == path,
        })
}

/// What it takes to be let in. What is not known takes all there is.
pub(crate) fn access(path: &str) -> Access {
    entry(path).map_or(Access::Manage, |(_, access)| *access)
}

/// The route's name in metrics.
pub(crate) fn name(path: &str) -> &'static str {
    entry(path).map_or("other", |(known, _)| known)
}

pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(health::root))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/api/version", get(health::version))
        .route("/api/status", get(health::status))
        .route("/api/generate", post(generate::generate))
        .route("/api/chat", post(chat::chat))
        .route("/api/embed", post(embed::embed))
        .route("/api/embeddings", post(embed::embeddings))
        .route("/api/tokenize", post(text::tokenize))
        .route("/api/detokenize", post(text::detokenize))
        .route("/api/rerank", post(text::rerank))
        .route("/api/tags", get(models::tags))
        .route("/api/show", post(models::show))
        .route("/api/ps", get(models::ps))
        .route("/api/pull", post(manage::pull))
        .route("/api/push", post(manage::push))
        .route("/api/create", post(manage::create))
        .route("/api/copy", post(models::copy))
        .route("/api/delete", delete(models::delete))
        .route(
            "/api/blobs/{digest}",
            post(manage::put_blob).head(manage::has_blob),
        )
        .route("/api/me", post(no_account))
        .route("/api/signout", post(no_account))
        .route("/api/user/keys/{key}", delete(no_account))
        .route("/api/experimental/web_search", post(no_web))
        .route("/api/experimental/web_fetch", post(no_web))
        .route(
            "/api/experimental/model-recommendations",
            get(health::recommendations),
        )
        .route("/v1/chat/completions", post(openai::chat))
        .route("/v1/completions", post(openai::completions))
        .route("/v1/embeddings", post(embed::openai))
        .route("/v1/rerank", post(text::rerank))
        .route("/v1/models", get(models::openai_list))
        .route("/v1/models/{*model}", get(models::openai_one))
        .route("/v1/responses", post(responses::responses))
        .route("/v1/messages", post(messages::messages))
        .route("/v1/messages/count_tokens", post(messages::count_tokens))
        .route("/v1/audio/transcriptions", post(no_audio))
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), gate))
        .with_state(app)
}

async fn nothing() -> ApiError {
    ApiError::not_found("404 page not found")
}

async fn wrong_method(method: Method) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{method} is not allowed here"),
    )
}

async fn no_account() -> ApiError {
    ApiError::new(
        StatusCode::NOT_IMPLEMENTED,
        "signing in to ollama.com is not supported",
    )
}

async fn no_web() -> ApiError {
    ApiError::new(
        StatusCode::NOT_IMPLEMENTED,
        "web search of ollama.com is not supported",
    )
}

async fn no_audio() -> ApiError {
    ApiError::new(StatusCode::NOT_IMPLEMENTED, "audio is not supported")
}
