//! The one gate before all routes: who asks from where, and whether they may.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::app::{App, Caller};
use super::error::{ApiError, Dialect};
use super::id;
use super::keys::{Access, Key, Running};
use super::metrics::{InFlight, Metrics};
use super::routes;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub SocketAddr);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const STRICT: HeaderName = HeaderName::from_static("x-ollama-strict");

/// Headers that a web page may send: those of the clients of all APIs.
const ALLOWED_HEADERS: &str = "Authorization, Content-Type, User-Agent, Accept, X-Requested-With, X-Api-Key, \
    X-Request-Id, X-Ollama-Strict, OpenAI-Beta, Anthropic-Version, Anthropic-Beta, \
    Anthropic-Dangerous-Direct-Browser-Access, X-Stainless-Arch, X-Stainless-Async, \
    X-Stainless-Custom-Poll-Interval, X-Stainless-Helper-Method, X-Stainless-Lang, X-Stainless-Os, \
    X-Stainless-Package-Version, X-Stainless-Poll-Helper, X-Stainless-Retry-Count, X-Stainless-Runtime, \
    X-Stainless-Runtime-Version, X-Stainless-Timeout";
const ALLOWED_METHODS: &str = "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS";

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
    let mut response = match enter(&app, &method, &path, peer, request.headers(), &id) {
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
            tracing::warn!(%id, %method, path, status = response.status().as_u16(), error = error.message, "failed");
        }
        response = error.to_response(Dialect::of(&path));
        if method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
    }
    // A preflight that is refused must not say that it is allowed.
    if let Some(origin) = origin.filter(|origin| origin_allowed(&app, origin)) {
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
    method: &Method,
    path: &str,
    peer: Option<SocketAddr>,
    headers: &HeaderMap,
    id: &Arc<str>,
) -> Result<Entered, ApiError> {
    let forbidden = |why: &str| ApiError::new(StatusCode::FORBIDDEN, why);
    if app.keys.is_none() && !host_allowed(app, headers) {
        // A page of a stranger whose name was made to mean this machine sends its own name.
        return Err(forbidden(
            "the request's Host is not one of this server's; OLLAMA_ALLOWED_HOSTS can add names",
        ));
    }
    if let Some(origin) = headers.get(header::ORIGIN)
        && !origin_allowed(app, origin)
        && !same_origin(origin, headers)
    {
        return Err(forbidden(
            "the request's Origin is not allowed; OLLAMA_ORIGINS can add it",
        ));
    }
    let access = match method {
        // A preflight carries no key, and does nothing.
        &Method::OPTIONS => Access::Open,
        _ => routes::access(path),
    };
    let local = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
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
        Some(key) if access == Access::Infer && *method == Method::POST => Some(limit(key)?),
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

/// Whether the request names a host that can't be a stranger's.
fn host_allowed(app: &App, headers: &HeaderMap) -> bool {
    let Some(host) = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let Some(host) = host_name(host) else {
        return false;
    };
    // An address is no name that somebody could make mean another one.
    if host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let local = ["localhost", "local", "internal"];
    let under = |name: &&str| {
        host.strip_suffix(name)
            .is_some_and(|rest| rest.ends_with('.'))
    };
    // Names without a dot belong to the local network.
    !host.contains('.')
        || local.iter().any(under)
        || app.rules.hosts.iter().any(|known| known.matches(&host))
}

/// The host without its port, in lower case. `None`: it is none.
fn host_name(authority: &str) -> Option<String> {
    let host = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            if !port.is_empty() && !port.strip_prefix(':')?.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            host.parse::<std::net::Ipv6Addr>().ok()?;
            host
        }
        None => match authority.split_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            Some(_) => return None,
            None => authority,
        },
    };
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    (!host.is_empty()).then_some(host)
}

/// A page of this server's own.
fn same_origin(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let origin = origin.as_bytes();
    let of = |scheme: &[u8]| {
        origin
            .strip_prefix(scheme)
            .is_some_and(|rest| Some(rest) == host)
    };
    of(b"http://") || of(b"https://")
}

/// Origins that are always allowed, as with Ollama; `*` stands for anything.
const ORIGINS: &[&str] = &[
    "http://localhost",
    "https://localhost",
    "http://localhost:*",
    "https://localhost:*",
    "http://127.0.0.1",
    "https://127.0.0.1",
    "http://127.0.0.1:*",
    "https://127.0.0.1:*",
    "http://0.0.0.0",
    "https://0.0.0.0",
    "http://0.0.0.0:*",
    "https://0.0.0.0:*",
    "http://[::1]:*",
    "app://*",
    "file://*",
    "tauri://*",
    "vscode-webview://*",
    "vscode-file://*",
    "chrome-extension://*",
    "moz-extension://*",
    "safari-extension://*",
    "safari-web-extension://*",
    "ms-browser-extension://*",
];

fn origin_allowed(app: &App, origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let own = app.rules.origins.iter().map(String::as_str);
    ORIGINS
        .iter()
        .copied()
        .chain(own)
        .any(|pattern| matches(pattern, origin))
}

/// Whether a text is what a pattern with at most one `*` says. What stands for a port must be one.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else {
        return pattern.eq_ignore_ascii_case(text);
    };
    let lower = text.to_ascii_lowercase();
    let rest = lower.strip_prefix(&before.to_ascii_lowercase());
    let Some(middle) = rest.and_then(|rest| rest.strip_suffix(&after.to_ascii_lowercase())) else {
        return false;
    };
    match before.ends_with(':') && after.is_empty() && !before.ends_with("://") {
        true => !middle.is_empty() && middle.bytes().all(|byte| byte.is_ascii_digit()),
        false => true,
    }
}

fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue, method: &Method) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if method == Method::OPTIONS {
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(ALLOWED_HEADERS),
        );
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static(ALLOWED_METHODS),
        );
        headers.insert(
            header::ACCESS_CONTROL_MAX_AGE,
            HeaderValue::from_static("43200"),
        );
    } else {
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("X-Request-Id, Retry-After"),
        );
    }
}

/// Lives as long as a reply's body: then the request is over.
struct Tail {
    app: Arc<App>,
    began: Instant,
    id: Arc<str>,
    method: Method,
    path: String,
    status: u16,
    _in_flight: InFlight,
    _running: Option<Running>,
}

impl Drop for Tail {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.app.metrics.ended(took);
        let path: String = self.path.chars().take(200).collect();
        tracing::info!(
            id = %self.id,
            method = %self.method,
            path,
            status = self.status,
            ms = took.as_millis() as u64,
            "request"
        );
    }
}

struct Watched {
    body: Body,
    _tail: Tail,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::{host_name, matches};

    #[test]
    fn hosts_without_their_ports() {
        for (authority, host) in [
            ("localhost:11434", Some("localhost")),
            ("LocalHost", Some("localhost")),
            ("example.com.", Some("example.com")),
            ("127.0.0.1:1", Some("127.0.0.1")),
            ("[::1]:11434", Some("::1")),
            ("[::1]", Some("::1")),
            ("", None),
            (":11434", None),
            (".", None),
            ("[::1", None),
            ("[evil]:1", None),
            ("[::1]evil", None),
            ("a:b", None),
            ("evil.example:80@localhost", None),
        ] {
            assert_eq!(host_name(authority).as_deref(), host, "{authority:?}");
        }
    }

    #[test]
    fn patterns_of_origins() {
        for (pattern, origin, is) in [
            ("http://localhost", "http://localhost", true),
            ("http://localhost:*", "http://localhost:3000", true),
            ("http://localhost:*", "http://localhost:", false),
            (
                "http://localhost:*",
                "http://localhost:80.evil.example",
                false,
            ),
            ("http://localhost:*", "http://localhost.evil.example", false),
            ("app://*", "app://obsidian.md", true),
            ("https://*.example.com", "https://a.example.com", true),
            ("https://*.example.com", "https://a.example.com.evil", false),
            ("*", "http://anything", true),
            ("*", "null", true),
            ("http://localhost", "null", false),
        ] {
            assert_eq!(matches(pattern, origin), is, "{pattern} {origin}");
        }
    }
}
