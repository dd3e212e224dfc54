//! Talks to the server: whole replies, and replies that come line by line.
//!
//! Each request has a connection of its own, which lives no longer than the call: when Ctrl-C ends the call,
//! the connection is closed with it, and the server stops its work.

use std::cell::Cell;
use std::io::Read;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, SERVER};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use bytes::{Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::tls;
use crate::error::{Error, Kind, Result};
use crate::name::Scheme;
use crate::settings::{Host, Settings};
use crate::tasks;

/// Bytes of a whole reply, or of a line of one, at most.
const REPLY: usize = 64 << 20;
/// Bytes of a file that are sent at once.
const PIECE: usize = 1 << 18;
/// Characters of a stranger's reply that are shown.
const SHOWN: usize = 80;

/// How a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All of it came.
    Whole,
    /// Ctrl-C.
    Stopped,
}

/// A server to talk to.
pub(crate) struct Client {
    runtime: Runtime,
    host: Host,
    key: Option<HeaderValue>,
    /// Whether the last reply had what this program's server puts on its replies.
    ours: Cell<bool>,
    /// Takes the place of Ctrl-C.
    #[cfg(test)]
    pub(crate) stop: Arc<tokio::sync::Notify>,
}

/// Bytes to and from a server.
trait Connection: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection for T {}

/// What is sent.
type Sent = UnsyncBoxBody<Bytes, std::io::Error>;

/// What to do with what comes.
type Each<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

impl Client {
    /// For the server of the settings. Connects to nothing yet.
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let host = settings.host.connectable();
        if settings.offline && !host.is_loopback() {
            let message = format!("offline: OLLAMA_HOST is on another machine ({})", host.host);
            return Err(Error::new(Kind::Unsupported, message));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let key = match std::env::var("OLLAMA_API_KEY") {
            Ok(key) => Some(
                HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| {
                    Error::new(
                        Kind::Invalid,
                        "environment variable OLLAMA_API_KEY: it has characters that no key has",
                    )
                })?,
            ),
            Err(_) => None,
        };
        Ok(Self {
            runtime: runtime.map_err(|error| failed("no sockets", &error))?,
            host,
            key,
            ours: Cell::new(false),
            #[cfg(test)]
            stop: Arc::default(),
        })
    }

    /// Where it is.
    pub(crate) fn at(&self) -> String {
        self.host.authority()
    }

    /// Whether the last reply came from a server of this program.
    pub(crate) fn ours(&self) -> bool {
        self.ours.get()
    }

    /// Asks for JSON. An empty reply is `null`; a `body` that is `null` is none.
    ///
    /// # Errors
    /// What the server says; [`Kind::Network`] when none does; [`Kind::Cancelled`] by Ctrl-C.
    pub(crate) fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let mut whole = Bytes::new();
        let mut keep = |bytes: &[u8]| {
            whole = Bytes::copy_from_slice(bytes);
            Ok(())
        };
        match self.run(method, path, body, false, &mut keep)? {
            End::Stopped => Err(Error::new(Kind::Cancelled, "stopped")),
            End::Whole => {
                let whole = if whole.is_empty() {
                    &b"null"[..]
                } else {
                    &whole[..]
                };
                serde_json::from_slice(whole)
                    .map_err(|error| failed("the reply can't be read", &error))
            }
        }
    }

    /// Posts a request and gives each line of the reply to `each`, which ends the call by an error.
    ///
    /// # Errors
    /// As [`ask`](Self::ask), and those of `each`.
    pub(crate) fn stream<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        mut each: impl FnMut(T) -> Result<()>,
    ) -> Result<End> {
        self.run(Method::POST, path, body, true, &mut |line| {
            let line: Value = serde_json::from_slice(line)
                .map_err(|error| failed("the reply can't be read", &error))?;
            if let Some(error) = line.get("error").and_then(Value::as_str) {
                return Err(Error::new(Kind::Network, error));
            }
            each(
                serde_json::from_value(line)
                    .map_err(|error| failed("the reply can't be read", &error))?,
            )
        })
    }

    /// Posts a file, and counts in `sent` how many bytes of it were taken.
    ///
    /// # Errors
    /// As [`ask`](Self::ask), and [`Kind::Network`] when the file can't be read to its end.
    pub(crate) fn upload(
        &self,
        path: &str,
        file: std::fs::File,
        sent: Arc<AtomicU64>,
    ) -> Result<()> {
        let pieces = futures_util::stream::unfold(Some(file), move |file| {
            let piece = file.and_then(|mut file| {
                let mut piece = vec![0; PIECE];
                match file.read(&mut piece) {
                    Ok(0) => None,
                    Ok(count) => {
                        piece.truncate(count);
                        sent.fetch_add(count as u64, Ordering::Relaxed);
                        Some((Ok(Frame::data(Bytes::from(piece))), Some(file)))
                    }
                    Err(error) => Some((Err(error), None)),
                }
            });
            std::future::ready(piece)
        });
        let body = BodyExt::boxed_unsync(StreamBody::new(pieces));
        match self.send(Method::POST, path, body, false, &mut |_| Ok(()))? {
            End::Stopped => Err(Error::new(Kind::Cancelled, "stopped")),
            End::Whole => Ok(()),
        }
    }

    /// Lets a Ctrl-C go that came while nothing was asked: the runtime hears of it only when it runs again, and would
    /// take it for one that stops the next request.
    pub(super) fn forget_stop(&self) {
        tasks::block_on(&self.runtime, tokio::task::yield_now());
    }

    fn run(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        lines: bool,
        each: Each<'_>,
    ) -> Result<End> {
        let body = serde_json::to_string(body)
            .map_err(|error| failed("the request can't be made", &error))?;
        let body = if body == "null" {
            Bytes::new()
        } else {
            body.into()
        };
        let body = BodyExt::boxed_unsync(Full::new(body).map_err(|never| match never {}));
        self.send(method, path, body, lines, each)
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        body: Sent,
        lines: bool,
        each: Each<'_>,
    ) -> Result<End> {
        let slash = if self.host.path.is_empty() { "" } else { "/" };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{slash}{}{path}", self.host.path))
            .header(HOST, self.at())
            .header(CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, key);
        }
        let request = request
            .body(body)
            .map_err(|error| failed("the request can't be made", &error))?;
        let talk = async {
            tokio::select! {
                biased;
                () = self.stopped() => Ok(End::Stopped),
                done = self.talk(request, lines, each) => done.map(|()| End::Whole),
            }
        };
        tasks::block_on(&self.runtime, talk)
    }

    async fn talk(&self, request: Request<Sent>, lines: bool, each: Each<'_>) -> Result<()> {
        let at = self.at();
        let stream = TcpStream::connect((self.host.host.as_str(), self.host.port)).await;
        let stream = stream.map_err(|_| {
            Error::new(
                Kind::Network,
                format!("no server answers at {at}: start one with ollama serve"),
            )
        })?;
        // It makes small requests quicker; without it they work as well.
        let _ = stream.set_nodelay(true);
        let lost = |error: hyper::Error| match error.is_parse() {
            true => Error::new(
                Kind::Unsupported,
                format!("what listens at {at} speaks no HTTP"),
            ),
            false => Error::new(Kind::Network, format!("the server at {at} went away")),
        };
        let stream: Box<dyn Connection> = match self.host.scheme {
            Scheme::Http => Box::new(stream),
            Scheme::Https => Box::new(tls::encrypt(stream, &self.host.host).await?),
        };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        let work = async {
            let (head, body) = sender
                .send_request(request)
                .await
                .map_err(lost)?
                .into_parts();
            self.ours.set(head.headers.contains_key("x-request-id"));
            let (success, headers) = (head.status.is_success(), &head.headers);
            if success && lines {
                return match is_json(headers) {
                    true => self.lines(body, each).await,
                    false => Err(self.stranger(headers, &first(body).await)),
                };
            }
            let broke = |error| failed("the reply broke off", &error);
            let whole = Limited::new(body, REPLY)
                .collect()
                .await
                .map_err(broke)?
                .to_bytes();
            match success {
                true if whole.is_empty() || is_json(headers) => each(&whole),
                true => Err(self.stranger(headers, &whole)),
                false => Err(self.refused(head.status, headers, &whole)),
            }
        };
        let mut work = pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            // What it had received may not have been read yet.
            _ = connection => {}
        }
        work.await
    }

    async fn lines(&self, mut body: Incoming, each: Each<'_>) -> Result<()> {
        let broke_off = || {
            Error::new(
                Kind::Network,
                format!("the reply of the server at {} broke off", self.at()),
            )
        };
        let mut line = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| broke_off())?.into_data() else {
                continue;
            };
            let mut rest = &data[..];
            while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                let (head, tail) = rest.split_at(end);
                line.extend_from_slice(head);
                if !line.trim_ascii().is_empty() {
                    each(&line)?;
                }
                line.clear();
                rest = tail.get(1..).unwrap_or_default();
            }
            if line.len() + rest.len() > REPLY {
                return Err(Error::new(Kind::Invalid, "a line of the reply is too long"));
            }
            line.extend_from_slice(rest);
        }
        match line.trim_ascii() {
            [] => Ok(()),
            last => each(last),
        }
    }

    /// What a reply that is no success says.
    fn refused(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
        let reply: Value = serde_json::from_slice(body).unwrap_or_default();
        let kind = match status.as_u16() {
            404 => Kind::NotFound,
            401 | 403 => Kind::Unauthorized,
            400..=499 => Kind::Invalid,
            _ => Kind::Network,
        };
        match reply.get("error").and_then(Value::as_str) {
            Some(error) => Error::new(kind, error),
            None => self.stranger(headers, body),
        }
    }

    /// Who listens where a server should.
    fn stranger(&self, headers: &HeaderMap, body: &[u8]) -> Error {
        let clean = |text: &str| -> String {
            let line = text
                .lines()
                .map(str::trim)
                .find(|line| !line.is_empty())
                .unwrap_or_default();
            line.chars()
                .filter(|c| !c.is_control())
                .take(SHOWN)
                .collect()
        };
        let name = headers
            .get(SERVER)
            .and_then(|name| name.to_str().ok())
            .map(clean);
        let name = match name {
            Some(name) => format!("it calls itself {name:?}"),
            None => "it gives no name".to_owned(),
        };
        let said = clean(&String::from_utf8_lossy(body));
        Error::new(
            Kind::Unsupported,
            format!(
                "what listens at {} is no server of Ollama's API: {name} and says {said:?}",
                self.at()
            ),
        )
    }

    #[cfg(not(test))]
    async fn stopped(&self) {
        // Where nobody can listen, Ctrl-C ends the program as it does any other.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    #[cfg(test)]
    async fn stopped(&self) {
        self.stop.notified().await;
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.contains("json"))
}

/// How a reply begins that nobody can read.
async fn first(mut body: Incoming) -> Bytes {
    let frame = body.frame().await.and_then(std::result::Result::ok);
    frame
        .and_then(|frame| frame.into_data().ok())
        .unwrap_or_default()
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Error {
    Error::new(Kind::Network, format!("{what}: {error}"))
}
