//! Errors of the API, in the shape of each API.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::api::{BadBody, BadOption};
use crate::error::{Error, Kind};
use crate::runner::wire::{Failure, FailureKind};
use crate::scheduler::Refused;

/// Whose shape a reply has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Ollama,
    OpenAi,
    Anthropic,
}

impl Dialect {
    /// By the path of the request.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            path if path.starts_with("/v1/messages") => Self::Anthropic,
            path if path.starts_with("/v1/") || path == "/v1" => Self::OpenAi,
            _ => Self::Ollama,
        }
    }
}

/// What a client is told when something is not done. The message holds no path of this machine.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub status: StatusCode,
    pub message: String,
    /// Seconds.
    pub retry_after: Option<u64>,
    /// Further members of the reply's error.
    pub more: Map<String, Value>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after: None,
            more: Map::new(),
        }
    }

    /// The request is wrong.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// The error as JSON in this shape.
    pub(crate) fn to_json(&self, dialect: Dialect) -> Value {
        let mut body = match dialect {
            Dialect::Ollama => json!({ "error": self.message }),
            Dialect::OpenAi => json!({
                "error": {
                    "message": self.message,
                    "type": openai_type(self.status),
                    "param": null,
                    "code": null,
                },
            }),
            Dialect::Anthropic => json!({
                "type": "error",
                "error": { "type": anthropic_type(self.status), "message": self.message },
            }),
        };
        if let Some(body) = body.as_object_mut() {
            body.extend(self.more.clone());
        }
        body
    }

    pub(crate) fn to_response(&self, dialect: Dialect) -> Response {
        let mut response = (self.status, self.to_json(dialect).to_string()).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

fn openai_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        503 => "overloaded_error",
        _ => "api_error",
    }
}

fn anthropic_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        503 | 529 => "overloaded_error",
        _ => "api_error",
    }
}

/// The gate gives it the shape of the API that was asked.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        response.extensions_mut().insert(self);
        response
    }
}

impl From<BadBody> for ApiError {
    fn from(error: BadBody) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<BadOption> for ApiError {
    fn from(error: BadOption) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            Kind::Invalid | Kind::Unsupported => StatusCode::BAD_REQUEST,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Unauthorized => StatusCode::UNAUTHORIZED,
            Kind::Network => StatusCode::BAD_GATEWAY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        let mut error = Self::internal(failure.message);
        match failure.kind {
            FailureKind::Invalid | FailureKind::Unsupported => {
                error.status = StatusCode::BAD_REQUEST;
            }
            FailureKind::Busy { retry_after_ms } => {
                error.status = StatusCode::SERVICE_UNAVAILABLE;
                error.retry_after = Some(retry_after_ms.div_ceil(1000).max(1));
            }
            FailureKind::TooLong {
                prompt_tokens,
                window,
            } => {
                error.status = StatusCode::BAD_REQUEST;
                error
                    .more
                    .insert("prompt_tokens".to_owned(), prompt_tokens.into());
                error
                    .more
                    .insert("context_length".to_owned(), window.into());
            }
            FailureKind::Memory
            | FailureKind::Load
            | FailureKind::Stopped
            | FailureKind::Internal => {}
        }
        error
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full { retry_after } => Self {
                retry_after: Some(retry_after.as_secs().max(1)),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "server busy, please try again.  maximum pending requests exceeded",
                )
            },
            Refused::Failed(failure) => failure.into(),
            Refused::Closing => Self {
                retry_after: Some(5),
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping")
            },
        }
    }
}
