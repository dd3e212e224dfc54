//! Asks the server, and waits for its whole reply.

use axum::http::{Method, Request, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::name::Scheme;
use crate::settings::Settings;

/// Bytes of a reply at most.
const REPLY: usize = 64 << 20;

/// Asks for JSON. An empty reply is `null`.
pub(super) fn ask<T: DeserializeOwned>(
    settings: &Settings,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<T> {
    let host = settings.host.connectable();
    if host.scheme == Scheme::Https {
        return Err(Error::new(
            Kind::Unsupported,
            "this command speaks to servers by http only; OLLAMA_HOST says https",
        ));
    }
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        Error::new(Kind::Network, format!("{what}: {error}"))
    };
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", host.url()))
        .header(header::CONTENT_TYPE, "application/json");
    if let Ok(key) = std::env::var("OLLAMA_API_KEY") {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    let body = match body {
        Value::Null => Bytes::new(),
        body => body.to_string().into(),
    };
    let request = request
        .body(Full::new(body))
        .map_err(|error| failed("the request can't be made", &error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("no threads", &error))?;
    let (status, body) = runtime.block_on(async {
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let reply = client.request(request).await.map_err(|_| {
            let at = host.authority();
            let message = format!("no server answers at {at}: start one with ollama serve");
            Error::new(Kind::Network, message)
        })?;
        let status = reply.status();
        let body = Limited::new(reply.into_body(), REPLY).collect().await;
        let body = body.map_err(|error| failed("the reply broke off", &error))?;
        Ok::<_, Error>((status, body.to_bytes()))
    })?;
    if !status.is_success() {
        let error: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = error["error"]
            .as_str()
            .map_or_else(|| status.to_string(), str::to_owned);
        let kind = match status.as_u16() {
            404 => Kind::NotFound,
            401 | 403 => Kind::Unauthorized,
            400..=499 => Kind::Invalid,
            _ => Kind::Network,
        };
        return Err(Error::new(kind, message));
    }
    let body = if body.is_empty() { b"null" } else { &body[..] };
    serde_json::from_slice(body).map_err(|error| failed("the reply can't be read", &error))
}
