//! What is done when a request is over: when the last byte of its reply was sent, or given up.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::http::Method;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::error::shown;
use crate::server::app::App;
use crate::server::keys::Running;
use crate::server::metrics::InFlight;

/// Lives as long as a reply's body: then the request is over.
pub(super) struct Tail {
    pub app: Arc<App>,
    pub began: Instant,
    pub id: Arc<str>,
    pub method: Method,
    pub path: String,
    pub status: u16,
    pub _in_flight: InFlight,
    pub _running: Option<Running>,
}

/// Characters of a path in the log.
pub(super) const PATH: usize = 200;

impl Drop for Tail {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.app.metrics.ended(took);
        tracing::info!(
            id = %self.id,
            method = %self.method,
            path = shown(&self.path, PATH),
            status = self.status,
            ms = took.as_millis() as u64,
            "request"
        );
    }
}

/// A body and what follows it.
pub(super) struct Watched {
    pub body: Body,
    pub _tail: Tail,
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
