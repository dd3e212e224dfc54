//! The server's end of the HTTP between server and runner.

use std::sync::Arc;

use axum::http::{Method, Request, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::wire::{Event, Failure, FailureKind};

/// A line of an answer at most: tokens of a prompt are told at the end.
const LINE: usize = 64 << 20;
/// A whole reply at most: embeddings.
const REPLY: usize = 1 << 30;

/// Speaks to one runner. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct RunnerClient {
    http: Client<HttpConnector, Full<Bytes>>,
    base: Arc<str>,
    authorization: Arc<str>,
}

/// The runner can't be reached, or broke off.
fn gone() -> Failure {
    Failure::new(
        FailureKind::Stopped,
        "the model's runner has stopped unexpectedly; the server's log says more",
    )
}

impl RunnerClient {
    pub(crate) fn new(port: u16, token: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            http: Client::builder(TokioExecutor::new()).build(connector),
            base: format!("http://127.0.0.1:{port}").into(),
            authorization: format!("Bearer {token}").into(),
        }
    }

    async fn send<T: Serialize>(
        &self,
        method: Method,
        path: &str,
        request: Option<&T>,
    ) -> Result<Incoming, Failure> {
        let invalid = |_| Failure::new(FailureKind::Internal, "a request can't be written");
        let body = match request {
            Some(request) => serde_json::to_vec(request).map_err(invalid)?,
            None => Vec::new(),
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, &*self.authorization)
            .body(Full::new(Bytes::from(body)));
        let request =
            request.map_err(|_| Failure::new(FailureKind::Internal, "a request can't be made"))?;
        let reply = self.http.request(request).await.map_err(|_| gone())?;
        if reply.status() == StatusCode::OK {
            return Ok(reply.into_body());
        }
        let body = whole(reply.into_body()).await?;
        Err(serde_json::from_slice(&body).unwrap_or_else(|_| gone()))
    }

    /// Asks for something that comes whole.
    pub(crate) async fn ask<T: Serialize, R: DeserializeOwned>(
        &self,
        path: &str,
        request: &T,
    ) -> Result<R, Failure> {
        let body = self.send(Method::POST, path, Some(request)).await?;
        let body = whole(body).await?;
        serde_json::from_slice(&body).map_err(|_| gone())
    }

    /// What the runner is doing.
    pub(crate) async fn health(&self) -> Result<super::wire::Health, Failure> {
        let body = self.send::<()>(Method::GET, "/health", None).await?;
        let body = whole(body).await?;
        serde_json::from_slice(&body).map_err(|_| gone())
    }

    /// Asks for an answer. A stream that breaks off ends with a [`Event::Failed`]; dropping it cancels.
    pub(crate) async fn complete(
        &self,
        request: &super::wire::Completion,
    ) -> Result<impl Stream<Item = Event> + Send + use<>, Failure> {
        let body = self
            .send(Method::POST, "/completion", Some(request))
            .await?;
        Ok(futures_util::stream::unfold(
            Some(Lines {
                body,
                read: BytesMut::new(),
            }),
            |lines| async move {
                let mut lines = lines?;
                let event = lines.next().await;
                let more = !matches!(event, Event::Finished(_) | Event::Failed(_));
                Some((event, more.then_some(lines)))
            },
        ))
    }
}

async fn whole(body: Incoming) -> Result<Bytes, Failure> {
    let limited = http_body_util::Limited::new(body, REPLY);
    let whole = limited.collect().await.map_err(|_| gone())?;
    Ok(whole.to_bytes())
}

struct Lines {
    body: Incoming,
    read: BytesMut,
}

impl Lines {
    async fn next(&mut self) -> Event {
        let mut searched = 0;
        loop {
            let rest = self.read.get(searched..).unwrap_or_default();
            if let Some(at) = rest.iter().position(|&byte| byte == b'\n') {
                let line = self.read.split_to(searched + at + 1);
                return serde_json::from_slice(&line).unwrap_or_else(|_| Event::Failed(gone()));
            }
            searched = self.read.len();
            if searched > LINE {
                return Event::Failed(gone());
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.read.extend_from_slice(data);
                    }
                }
                // Without a last event the runner died.
                Some(Err(_)) | None => return Event::Failed(gone()),
            }
        }
    }
}
