//! `ollama create`: makes a model of a Modelfile.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::args::CreateArgs;
use super::transfer::{shown, wait};
use super::{interrupt, store_to_change};
use crate::create::{Control, Request, create};
use crate::error::{Error, Kind, Result};
use crate::modelfile::{MAX_BYTES, Modelfile};
use crate::name::Name;
use crate::progress::Report;
use crate::registry::{Config, Options, Registry, Source};
use crate::settings::Settings;
use crate::store::Store;

pub(super) fn run(args: &CreateArgs, settings: &Settings) -> Result<()> {
    // A name that is none should not be noticed after an hour of work.
    Name::parse(&args.model)?;
    let (text, folder) = read(args.file.as_deref())?;
    let modelfile = Modelfile::parse(&text)?;
    let store = store_to_change(settings)?;
    shown(|report| make(args, settings, &store, &modelfile, &folder, report))
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
