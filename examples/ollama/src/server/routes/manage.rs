//! Routes that bring and take models: pull, push, create, blobs.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::request::read_about;
use crate::api::TransferRequest;
use crate::create;
use crate::digest::Digest;
use crate::error::{Error, Kind, Result as Done, shown};
use crate::progress::Progress;
use crate::server::app::{App, Caller, blocking};
use crate::server::body;
use crate::server::error::{ApiError, Dialect};
use crate::server::model::parse_name;
use crate::server::reply;
use crate::server::transfer::{Begin, Tell};
use crate::tasks;

/// Reports that wait for a slow client before those in between are left out.
const REPORTS: usize = 64;
/// Pieces of an upload that may wait for the disk.
const PIECES: usize = 16;

pub(crate) async fn pull(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let request = read_about::<TransferRequest>(request, &caller).await?;
    follow(&app, &caller, request.stream, request, &*app.transfer.pull).await
}

pub(crate) async fn push(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let request = read_about::<TransferRequest>(request, &caller).await?;
    parse_name(&request.model)?;
    follow(&app, &caller, request.stream, request, &*app.transfer.push).await
}

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let request = read_about::<create::Request>(request, &caller).await?;
    parse_name(&request.model)?;
    let digests = [
        ("files", &request.files),
        ("draft_files", &request.draft_files),
        ("adapters", &request.adapters),
    ];
    for (field, files) in digests {
        for (name, digest) in files {
            let shown = shown(name, 100);
            if digest.parse::<Digest>().is_err() {
                return Err(ApiError::bad(format!(
                    "{field}.{shown}: invalid digest: it must be sha256: and 64 hexadecimal digits"
                )));
            }
        }
    }
    follow(
        &app,
        &caller,
        request.stream,
        request,
        &*app.transfer.create,
    )
    .await
}

/// What a pull, push or create tells.
enum Step {
    Report(Progress),
    Failed(ApiError),
}

/// Ends a task when nobody wants it any more.
struct Aborted(tokio::task::JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Begins what reports its progress, and tells of it. A client that goes away ends it.
async fn follow<R>(
    app: &App,
    caller: &Caller,
    stream: Option<bool>,
    request: R,
    begin: &Begin<R>,
) -> Result<Response, ApiError> {
    let (sender, mut steps) = mpsc::unbounded_channel::<Step>();
    let unread = Arc::new(AtomicUsize::new(0));
    let tell: Tell = {
        let (sender, unread) = (sender.clone(), Arc::clone(&unread));
        Arc::new(move |progress: Progress| {
            // The end is told once, below. Where a client reads slowly, how far a blob is may be left out.
            let between = progress.completed.is_some() && progress.completed != progress.total;
            let full = unread.load(Ordering::Relaxed) > REPORTS;
            if progress.status != "success" && !(full && between) {
                unread.fetch_add(1, Ordering::Relaxed);
                let _ = sender.send(Step::Report(progress));
            }
        })
    };
    let work = begin(app.models.store().clone(), request, tell, !caller.local);
    let task = Aborted(tasks::spawn(async move {
        let last = match work.await {
            Ok(()) => Step::Report(Progress::status("success")),
            Err(error) => Step::Failed(error.into()),
        };
        let _ = sender.send(last);
    }));
    let broke_off = || ApiError::internal("the server failed");
    if stream == Some(false) {
        loop {
            match steps.recv().await.ok_or_else(broke_off)? {
                Step::Failed(error) => return Err(error),
                Step::Report(progress) if progress.status == "success" => {
                    return reply::json(&progress);
                }
                Step::Report(_) => {}
            }
        }
    }
    // What fails before the first report has a status of its own.
    let first = match steps.recv().await.ok_or_else(broke_off)? {
        Step::Failed(error) => return Err(error),
        first => first,
    };
    let rest = futures_util::stream::unfold((steps, task), move |(mut steps, task)| {
        let unread = Arc::clone(&unread);
        async move {
            let step = steps.recv().await?;
            unread.fetch_sub(1, Ordering::Relaxed);
            Some((step, (steps, task)))
        }
    });
    let steps = futures_util::stream::iter([first]).chain(rest);
    Ok(reply::lines(steps.map(|step| match step {
        Step::Report(progress) => reply::line(&progress),
        Step::Failed(error) => reply::line(&error.to_json(Dialect::Ollama)),
    })))
}

fn digest(text: &str) -> Result<Digest, ApiError> {
    text.parse().map_err(|_| {
        ApiError::bad("invalid digest format: it must be sha256: and 64 hexadecimal digits")
    })
}

pub(crate) async fn has_blob(
    State(app): State<Arc<App>>,
    Path(text): Path<String>,
) -> Result<Response, ApiError> {
    let digest = digest(&text)?;
    let store = app.models.store().clone();
    blocking(move || {
        store
            .blob(&digest)
            .map_err(|_| ApiError::not_found(format!("blob {digest} not found")))?;
        Ok(reply::empty(StatusCode::OK))
    })
    .await
}

pub(crate) async fn put_blob(
    State(app): State<Arc<App>>,
    Path(text): Path<String>,
    request: Body,
) -> Result<Response, ApiError> {
    let digest = digest(&text)?;
    let store = app.models.store().clone();
    let there = {
        let store = store.clone();
        blocking(move || Ok(store.blob(&digest).is_ok())).await?
    };
    if there {
        return Ok(reply::empty(StatusCode::OK));
    }
    let (sender, receiver) = mpsc::channel::<Bytes>(PIECES);
    let writing = tasks::on_thread(move || write(&store, &digest, receiver));
    let mut request = request;
    let sent = loop {
        match body::next(&mut request).await {
            Ok(Some(piece)) => {
                if sender.send(piece).await.is_err() {
                    break Ok(());
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    // The end of the pieces is the end of the file, so a file that broke off is told by its digest.
    drop(sender);
    let written = writing
        .await
        .map_err(|_| ApiError::internal("the server failed"))?;
    sent?;
    written?;
    Ok(reply::empty(StatusCode::CREATED))
}

fn write(
    store: &crate::store::Store,
    digest: &Digest,
    mut pieces: mpsc::Receiver<Bytes>,
) -> Done<()> {
    let mut writer = store.writer()?;
    while let Some(piece) = pieces.blocking_recv() {
        writer.write_all(&piece).map_err(|error| {
            Error::new(
                Kind::Storage,
                format!("cannot write the blob: {}", error.kind()),
            )
        })?;
    }
    match writer.finish(Some(digest)) {
        Ok(_) => Ok(()),
        // It is the client's.
        Err(error) if error.kind() == Kind::Damaged => {
            Err(Error::new(Kind::Invalid, error.to_string()))
        }
        Err(error) => Err(error),
    }
}
