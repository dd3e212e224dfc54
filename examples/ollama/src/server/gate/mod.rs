//! The one gate before all routes: who asks from where, and whether they may.

mod host;
mod origin;
mod tail;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::app::{App, Caller};
use super::error::{ApiError, Dialect};
use super::id;
use super::keys::{Access, Key, Running};
use super::metrics::Metrics;
use super::routes;
use crate::error::shown;
use host::host_allowed;
use origin::{allow_origin, origin_allowed, same_origin};
use tail::{Tail, Watched};

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub SocketAddr);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const STRICT: HeaderName = HeaderName::from_static("x-ollama-strict");

/// Headers of which one at most says who asks, and for what.
const ONCE: [&str; 4] = ["host", "origin", "authorization", "x-api-key"];

/// What proxies add to the requests of others.
const FORWARDED: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

pub(crate) async fn gate(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let in_flight = Metrics::begin(&app);
    let id = request_id(request.headers());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = routes::name(&path);
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut running = None;
    let mut response = match enter(&app, &request, peer, &id) {
        Err(error) => error.into_response(),
        Ok(_) if method == Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        Ok(entered) => {
            running = entered.running;
            request.extensions_mut().insert(entered.caller);
            next.run(request).await
        }
    };
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        if response.status().is_server_error() {
            let path = shown(&path, tail::PATH);
            tracing::warn!(%id, %method, path, status = response.status().as_u16(), error = error.message, "failed");
        }
        response = error.to_response(Dialect::of(&path));
        if method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
    }
    // A preflight that is refused must not say that it is allowed.
    if let Some(origin) = origin.filter(|origin| origin_allowed(&app.rules.origins, origin)) {
        allow_origin(response.headers_mut(), origin, &method);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let status = response.status().as_u16();
    app.metrics.replied(route, status);
    let tail = Tail {
        app,
        began,
        id,
        method,
        path,
        status,
        _in_flight: in_flight,
        _running: running,
    };
    response.map(|body| Body::new(Watched { body, _tail: tail }))
}

struct Entered {
    caller: Caller,
    running: Option<Running>,
}

/// Whether the request may go on.
fn enter(
    app: &App,
    request: &Request,
    peer: Option<SocketAddr>,
    id: &Arc<str>,
) -> Result<Entered, ApiError> {
    let (method, headers) = (request.method(), request.headers());
    let forbidden = |why: &str| ApiError::new(StatusCode::FORBIDDEN, why);
    for once in ONCE {
        if headers.get_all(once).iter().nth(1).is_some() {
            // Which of them counts is what a proxy in between may have seen otherwise.
            return Err(ApiError::bad(format!("the header {once} is there twice")));
        }
    }
    if app.keys.is_none() && !host_allowed(&app.rules.hosts, request.uri(), headers) {
        return Err(forbidden(
            "the request's Host is not one of this server's; OLLAMA_ALLOWED_HOSTS can add names",
        ));
    }
    if let Some(origin) = headers.get(header::ORIGIN)
        && !origin_allowed(&app.rules.origins, origin)
        && !same_origin(origin, headers)
    {
        return Err(forbidden(
            "the request's Origin is not allowed; OLLAMA_ORIGINS can add it",
        ));
    }
    let access = match method {
        // A preflight carries no key, and does nothing.
        &Method::OPTIONS => Access::Open,
        _ => routes::access(request.uri().path()),
    };
    // Who asks through a proxy on this machine does not sit here.
    let forwarded = FORWARDED.iter().any(|name| headers.contains_key(*name));
    let local = !forwarded && peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let keys = app.keys.as_ref().map(|file| file.keys());
    let key = match &keys {
        None => {
            if access == Access::Manage && !local && !app.rules.insecure_manage {
                return Err(forbidden(
                    "only this machine may manage models; use API keys (OLLAMA_API_KEYS), or set \
                     OLLAMA_INSECURE_MANAGE=1",
                ));
            }
            None
        }
        Some(_) if access == Access::Open => None,
        Some(keys) => {
            let key = given_key(headers).and_then(|text| keys.find(text));
            let Some(key) = key else {
                return Err(ApiError::new(
                    StatusCode::UNAUTHORIZED,
                    "a valid API key is needed: Authorization: Bearer KEY",
                ));
            };
            if !key.may(access) {
                return Err(forbidden("this API key may not manage models"));
            }
            Some(key)
        }
    };
    let running = match key {
        // What only looks costs nothing.
        Some(key) if !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) => {
            Some(limit(key)?)
        }
        _ => None,
    };
    let strict = headers
        .get(STRICT)
        .is_some_and(|value| matches!(value.as_bytes(), b"1" | b"true"));
    Ok(Entered {
        caller: Caller {
            namespace: key.map_or_else(|| Arc::from(""), |key| Arc::clone(&key.name)),
            id: Arc::clone(id),
            strict: strict || app.rules.strict,
            local,
        },
        running,
    })
}

fn limit(key: &Key) -> Result<Running, ApiError> {
    key.enter().map_err(|too_much| ApiError {
        retry_after: Some(too_much.retry_after),
        ..ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "this API key has reached its limit of requests",
        )
    })
}

fn given_key(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| headers.get("x-api-key")?.to_str().ok())
}

/// The client's id of the request if it is one, else a new one.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let usable = |id: &&str| {
        let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !id.is_empty() && id.len() <= 64 && id.chars().all(safe)
    };
    given
        .filter(usable)
        .map_or_else(|| id::random("req_", 16).into(), Arc::from)
}
