//! `ollama create`: makes a model of a Modelfile.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::args::CreateArgs;
use super::{interrupt, output, store_to_change};
use crate::create::{Control, Request, create};
use crate::error::{Error, Kind, Result};
use crate::modelfile::{MAX_BYTES, Modelfile};
use crate::name::Name;
use crate::progress::{Progress, Report};
use crate::settings::Settings;
use crate::store::Store;

pub(super) fn run(args: &CreateArgs, settings: &Settings) -> Result<()> {
    // A name that is none should not be noticed after an hour of work.
    Name::parse(&args.model)?;
    let (text, folder) = read(args.file.as_deref())?;
    let modelfile = Modelfile::parse(&text)?;
    let store = store_to_change(settings)?;
    let told = Mutex::new(Told::default());
    let report = |progress: Progress| {
        told.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .tell(&progress);
    };
    make(args, settings, &store, &modelfile, &folder, &report)
}

/// What was told last. A line is told once, work with bytes at every tenth of it.
#[derive(Default)]
struct Told {
    status: String,
    tenth: Option<u64>,
}

impl Told {
    fn tell(&mut self, progress: &Progress) {
        let part = |(completed, total): (u64, u64)| (completed * 100).checked_div(total);
        let percent = progress.completed.zip(progress.total).and_then(part);
        let tenth = percent.map(|percent| percent / 10);
        if self.status == progress.status && self.tenth == tenth {
            return;
        }
        match percent {
            Some(percent) => output::note(format_args!("{}: {percent}%", progress.status)),
            None => output::note(format_args!("{}", progress.status)),
        }
        self.status.clone_from(&progress.status);
        self.tenth = tenth;
    }
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
    if let Some(base) = request.base()? {
        store.resolve(&base).map_err(|error| {
            Error::new(
                error.kind(),
                format!("{error}; 'ollama pull {base}' gets it"),
            )
        })?;
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
