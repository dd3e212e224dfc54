//! `ollama create`: makes a model of a Modelfile.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::http::Method;
use serde_json::Value;

use super::args::CreateArgs;
use super::client::Client;
use super::place::Place;
use super::transfer::{shown, wait};
use super::{interrupt, remote, store_to_change};
use crate::create::{Control, Request, create};
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::modelfile::{MAX_BYTES, Modelfile};
use crate::name::Name;
use crate::progress::{Progress, Report};
use crate::registry::{Config, Options, Registry, Source};
use crate::settings::Settings;
use crate::store::Store;

pub(super) fn run(args: &CreateArgs, settings: &Settings) -> Result<()> {
    // A name that is none should not be noticed after an hour of work.
    Name::parse(&args.model)?;
    let (text, folder) = read(args.file.as_deref())?;
    let modelfile = Modelfile::parse(&text)?;
    if let Place::Server(client) = Place::find(settings)? {
        return shown(|report| ask(args, &client, &modelfile, &folder, report));
    }
    let store = store_to_change(settings)?;
    shown(|report| make(args, settings, &store, &modelfile, &folder, report))
}

/// Lets the server make it, of files that it is given.
fn ask(
    args: &CreateArgs,
    client: &Client,
    modelfile: &Modelfile,
    folder: &Path,
    report: Report<'_>,
) -> Result<()> {
    let keep = |path: &Path| upload(client, path, report);
    let mut request = Request::from_modelfile_with(&keep, &args.model, modelfile, folder, report)?;
    request.quantize = args.quantize.clone().unwrap_or_default();
    request.draft_quantize = args.draft_quantize.clone().unwrap_or_default();
    remote::work(client, "/api/create", &request, report)
}

/// Gives the server a file that it does not have.
fn upload(client: &Client, path: &Path, report: Report<'_>) -> Result<Digest> {
    let cannot = |error: std::io::Error| {
        Error::new(
            Kind::Storage,
            format!("cannot read {}: {error}", path.display()),
        )
    };
    let digest = Digest::of(File::open(path).map_err(cannot)?).map_err(cannot)?;
    let at = format!("/api/blobs/{digest}");
    if client.ask::<Value>(Method::HEAD, &at, &()).is_ok() {
        return Ok(digest);
    }
    let file = File::open(path).map_err(cannot)?;
    let total = file.metadata().map_err(cannot)?.len();
    let tell = |completed| {
        report(Progress {
            status: format!("copying file {}", digest.short()),
            digest: Some(digest.to_string()),
            total: Some(total),
            completed: Some(completed),
        });
    };
    let sent = Arc::new(AtomicU64::new(0));
    let ended = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(100));
                tell(sent.load(Ordering::Relaxed));
            }
        });
        let done = client.upload(&at, file, Arc::clone(&sent));
        ended.store(true, Ordering::Relaxed);
        done
    })?;
    Ok(digest)
}

fn make(
    args: &CreateArgs,
    settings: &Settings,
    store: &Store,
    modelfile: &Modelfile,
    folder: &Path,
    report: Report<'_>,
) -> Result<()> {
    let mut request = Request::from_modelfile(store, &args.model, modelfile, folder, report)?;
    request.quantize = args.quantize.clone().unwrap_or_default();
    request.draft_quantize = args.draft_quantize.clone().unwrap_or_default();
    if let Some(base) = request.base()?
        && store.resolve(&base).is_err()
    {
        let source = Source::parse(&request.from)?;
        let registry = Registry::new(Config::new(settings)?);
        wait(registry.pull(store, &source, &Options::default(), report))?;
    }
    let control = Control {
        stop: interrupt::flag(),
        prune: !settings.no_prune,
    };
    create(store, &request, report, control)
}

/// The Modelfile, and the folder that paths in it start from.
fn read(file: Option<&Path>) -> Result<(Vec<u8>, PathBuf)> {
    let here = PathBuf::from(".");
    let given = match file {
        Some(file) if file == Path::new("-") => {
            let mut text = Vec::new();
            let limit = MAX_BYTES as u64 + 1;
            std::io::stdin()
                .take(limit)
                .read_to_end(&mut text)
                .map_err(|error| {
                    Error::new(Kind::Storage, format!("cannot read the Modelfile: {error}"))
                })?;
            return Ok((text, here));
        }
        given => given,
    };
    let path = given.unwrap_or(Path::new("Modelfile"));
    let bytes = std::fs::File::open(path).and_then(|file| {
        let mut text = Vec::new();
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut text)?;
        Ok(text)
    });
    match bytes {
        Ok(text) => Ok((text, path.parent().map_or(here, Path::to_owned))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match given {
            // A folder of GGUF files needs no more.
            None => Ok((b"FROM .\n".to_vec(), here)),
            Some(_) => Err(Error::new(
                Kind::NotFound,
                "specified Modelfile wasn't found",
            )),
        },
        Err(error) => {
            let message = format!("cannot read {}: {error}", path.display());
            Err(Error::new(Kind::Storage, message))
        }
    }
}
