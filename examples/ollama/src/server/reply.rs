//! Replies: whole ones, lines of JSON, server-sent events.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::Serialize;

use super::error::ApiError;

const JSON: &str = "application/json; charset=utf-8";
const LINES: &str = "application/x-ndjson";
const EVENTS: &str = "text/event-stream";

/// A whole reply.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<Response, ApiError> {
    bytes_of(value).map(json_bytes)
}

/// The body of a whole reply.
pub(crate) fn bytes_of<T: Serialize>(value: &T) -> Result<Bytes, ApiError> {
    let body = serde_json::to_vec(value);
    let body = body.map_err(|_| ApiError::internal("the reply can't be written as JSON"))?;
    Ok(body.into())
}

/// A whole reply that was written before.
pub(crate) fn json_bytes(body: Bytes) -> Response {
    with_type(Body::from(body), JSON)
}

/// A reply without content.
pub(crate) fn empty(status: StatusCode) -> Response {
    status.into_response()
}

/// One line of JSON.
pub(crate) fn line<T: Serialize>(value: &T) -> Bytes {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

/// A server-sent event without a name.
pub(crate) fn data<T: Serialize>(value: &T) -> Bytes {
    let json = serde_json::to_string(value).unwrap_or_default();
    format!("data: {json}\n\n").into()
}

/// A server-sent event with a name.
pub(crate) fn event<T: Serialize>(name: &str, value: &T) -> Bytes {
    let json = serde_json::to_string(value).unwrap_or_default();
    format!("event: {name}\ndata: {json}\n\n").into()
}

/// Lines of JSON as they come.
pub(crate) fn lines(lines: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    with_type(streamed(lines), LINES)
}

/// Server-sent events as they come.
pub(crate) fn events(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let mut response = with_type(streamed(events), EVENTS);
    let no_cache = HeaderValue::from_static("no-cache");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_cache);
    response
}

fn streamed(pieces: impl Stream<Item = Bytes> + Send + 'static) -> Body {
    Body::from_stream(pieces.map(Ok::<_, Infallible>))
}

fn with_type(body: Body, kind: &'static str) -> Response {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
