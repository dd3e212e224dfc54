//! Uploads one blob in parts, to the registry itself or where it redirects each part to.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use md5::{Digest as _, Md5};
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::failure::Failure;
use super::http::Call;
use super::limits::Limits;
use super::pull::TRIES;
use super::session::Session;
use super::{Endpoint, Registry};
use crate::error::{Error, Kind};
use crate::name::Name;
use crate::store::manifest::Layer;
use crate::tasks;

/// The registries' storage takes parts of equal length, within these bounds, and not too many.
const PARTS: u64 = 16;
const SMALLEST: u64 = 100_000_000;
const LARGEST: u64 = 1_000_000_000;
const PIECE: usize = 1 << 18;
const TICK: Duration = Duration::from_millis(60);

impl Registry {
    /// Uploads a blob; `progress` is told how many bytes went out.
    pub(super) async fn upload(
        &self,
        endpoint: &Endpoint,
        name: &Name,
        layer: &Layer,
        path: &Path,
        from: Option<&Name>,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Failure> {
        let sent = Arc::new(AtomicU64::new(0));
        let mut work = std::pin::pin!(self.upload_parts(endpoint, name, layer, path, from, &sent));
        let mut tick = tokio::time::interval(TICK);
        let mut seen = 0;
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = tick.tick() => {
                    let now = sent.load(Ordering::Relaxed);
                    if now != seen {
                        seen = now;
                        progress(now.min(layer.size));
                    }
                }
            }
        }
    }

    async fn upload_parts(
        &self,
        endpoint: &Endpoint,
        name: &Name,
        layer: &Layer,
        path: &Path,
        from: Option<&Name>,
        sent: &Arc<AtomicU64>,
    ) -> Result<(), Failure> {
        let mut url = endpoint.url(name, "blobs/uploads/");
        if let Some(from) = from {
            let source = format!("{}/{}", from.namespace(), from.model());
            url.query_pairs_mut()
                .append_pair("mount", &layer.digest.to_string())
                .append_pair("from", &source);
        }
        let call = Call::new(Method::POST, url.clone());
        let (response, at) = self
            .retried(TRIES, || endpoint.session.ok(call.clone()))
            .await?;
        if response.status() == StatusCode::CREATED {
            // It was taken from the other model.
            return Ok(());
        }
        let mut next = location(&endpoint.session, &response, &at)?;
        let length = (layer.size / PARTS).clamp(SMALLEST, LARGEST);
        let mut sums = Md5::new();
        let mut count = 0;
        let mut start = 0;
        while start < layer.size {
            let end = (start + length).min(layer.size);
            let part = Part {
                path,
                start,
                end,
                limits: &self.0.limits,
                sent,
            };
            let sum;
            (next, sum) = self.part(&endpoint.session, next, part).await?;
            sums.update(sum);
            count += 1;
            start = end;
        }
        let etag: String = sums
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        next.query_pairs_mut()
            .append_pair("digest", &layer.digest.to_string())
            .append_pair("etag", &format!("{etag}-{count}"));
        let mut call = Call::new(Method::PUT, next)
            .header(header::CONTENT_TYPE, "application/octet-stream")?;
        call.body = Some(Bytes::new());
        self.retried(TRIES, || endpoint.session.ok(call.clone()))
            .await?;
        Ok(())
    }

    /// Uploads one part, again if that helps; returns where the next one goes and this one's MD5. That of a
    /// part which went on in the middle is of no use, and such registries do not look at it.
    async fn part(
        &self,
        session: &Session,
        mut to: Url,
        mut part: Part<'_>,
    ) -> Result<(Url, Vec<u8>), Failure> {
        let mut failures: u32 = 0;
        loop {
            let failure = match self.attempt(session, &to, &part).await {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            part.sent.store(part.start, Ordering::Relaxed);
            failures += 1;
            let unauthorized = failure.status == Some(StatusCode::UNAUTHORIZED) && failures == 1;
            let Some(wait) = failure
                .retry
                .or(unauthorized.then_some(Duration::ZERO))
                .filter(|_| failures < TRIES)
            else {
                return Err(failure);
            };
            let pause = self.0.config.backoff.saturating_mul(failures * failures);
            tokio::time::sleep(pause.max(wait)).await;
            if let Some((place, has)) = resumed(session, &to).await {
                to = place;
                if (part.start..=part.end).contains(&has) && has > part.start {
                    failures = 0;
                    part.start = has;
                    part.sent.store(has, Ordering::Relaxed);
                }
                if part.start == part.end {
                    return Ok((to, Vec::new()));
                }
            }
        }
    }

    async fn attempt(
        &self,
        session: &Session,
        to: &Url,
        part: &Part<'_>,
    ) -> Result<(Url, Vec<u8>), Failure> {
        let _permit = self.0.limits.stream().await;
        let mut headers = part.headers();
        headers.insert(
            HeaderName::from_static("x-redirect-uploads"),
            HeaderValue::from_static("1"),
        );
        let range = format!("{}-{}", part.start, part.end - 1);
        headers.extend(
            HeaderValue::from_str(&range)
                .ok()
                .map(|value| (header::CONTENT_RANGE, value)),
        );
        headers.extend(
            session
                .authorization(to)
                .await
                .map(|value| (header::AUTHORIZATION, value)),
        );
        let (body, sum) = part.body();
        let http = &session.http;
        let response = http
            .upload(Method::PATCH, to, headers, body, session.reach(to))
            .await?;
        match response.status() {
            StatusCode::TEMPORARY_REDIRECT => {
                // The storage's address carries its own authorisation; ours stays here.
                let storage = session.next(to, &response).ok_or_else(no_location)??;
                let next = location(session, &response, to).unwrap_or_else(|_| to.clone());
                let (body, sum) = part.body();
                let reach = session.reach(&storage);
                let response = http
                    .upload(Method::PUT, &storage, part.headers(), body, reach)
                    .await?;
                if !response.status().is_success() {
                    return Err(Failure::answered(response).await);
                }
                Ok((next, sum.await.map_err(|_| cancelled())??))
            }
            StatusCode::UNAUTHORIZED => {
                session.refused(&response, to).await?;
                Err(Failure::answered(response).await)
            }
            status if status.is_success() => {
                let next = location(session, &response, to)?;
                Ok((next, sum.await.map_err(|_| cancelled())??))
            }
            _ => Err(Failure::answered(response).await),
        }
    }
}

/// Where an upload goes on.
fn location(session: &Session, response: &Response, from: &Url) -> Result<Url, Failure> {
    if let Some(value) = response.headers().get("docker-upload-location") {
        let url = value.to_str().ok().and_then(|text| from.join(text).ok());
        let url = url.filter(|url| url.scheme() == from.scheme());
        return url.ok_or_else(|| no_location().into());
    }
    Ok(session.next(from, response).ok_or_else(no_location)??)
}

/// Where an upload that broke off goes on, and how many bytes the registry has.
async fn resumed(session: &Session, to: &Url) -> Option<(Url, u64)> {
    let (response, url) = session
        .send(Call::new(Method::GET, to.clone()))
        .await
        .ok()?;
    if !response.status().is_success() {
        return None;
    }
    let range = response.headers().get(header::RANGE)?.to_str().ok()?;
    let last: u64 = range.rsplit('-').next()?.parse().ok()?;
    // `0-0` is what it says of nothing.
    let has = if last == 0 { 0 } else { last.checked_add(1)? };
    Some((location(session, &response, &url).ok()?, has))
}

fn no_location() -> Error {
    Error::new(
        Kind::Network,
        "the registry does not say where to upload to",
    )
}

fn cancelled() -> Error {
    Error::new(Kind::Cancelled, "the upload was stopped")
}

/// A part of a blob's file.
struct Part<'a> {
    path: &'a Path,
    start: u64,
    end: u64,
    limits: &'a Limits,
    sent: &'a Arc<AtomicU64>,
}

impl Part<'_> {
    fn headers(&self) -> HeaderMap {
        HeaderMap::from_iter([
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/octet-stream"),
            ),
            (
                header::CONTENT_LENGTH,
                HeaderValue::from(self.end - self.start),
            ),
        ])
    }

    /// The bytes, read while they are sent, and their MD5 once all were read.
    fn body(&self) -> (reqwest::Body, JoinHandle<Result<Vec<u8>, Error>>) {
        let (sender, receiver) = mpsc::channel(4);
        let (path, start, length) = (self.path.to_owned(), self.start, self.end - self.start);
        let (limits, sent) = (self.limits.clone(), Arc::clone(self.sent));
        let task = tasks::spawn(async move {
            let unreadable = |e: io::Error| {
                Error::new(Kind::Storage, format!("a blob can't be read: {}", e.kind()))
            };
            let mut file = File::open(path).map_err(unreadable)?;
            file.seek(SeekFrom::Start(start)).map_err(unreadable)?;
            let mut file = Some(file);
            let mut sum = Md5::new();
            let mut left = length;
            while left > 0 {
                let Some(mut open) = file.take() else { break };
                let want = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
                let read = tasks::on_thread(move || {
                    let mut piece = vec![0; want];
                    open.read_exact(&mut piece).map(|()| (open, piece))
                });
                let (open, piece) = read.await.map_err(|_| cancelled())?.map_err(unreadable)?;
                file = Some(open);
                left -= piece.len() as u64;
                sum.update(&piece);
                limits.bytes(piece.len()).await;
                let count = piece.len() as u64;
                // Nobody reads it any more.
                sender
                    .send(Ok(Bytes::from(piece)))
                    .await
                    .map_err(|_| cancelled())?;
                sent.fetch_add(count, Ordering::Relaxed);
            }
            Ok(sum.finalize().to_vec())
        });
        (
            reqwest::Body::wrap(Pieces {
                receiver,
                left: length,
            }),
            task,
        )
    }
}

/// Pieces that come from a channel, of a known length together.
struct Pieces {
    receiver: mpsc::Receiver<Result<Bytes, io::Error>>,
    left: u64,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.receiver.poll_recv(context).map(|piece| {
            let piece = match piece {
                Some(piece) => piece,
                None if self.left == 0 => return None,
                None => return Some(Err(io::ErrorKind::UnexpectedEof.into())),
            };
            Some(piece.map(|bytes| {
                self.left = self.left.saturating_sub(bytes.len() as u64);
                Frame::data(bytes)
            }))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
