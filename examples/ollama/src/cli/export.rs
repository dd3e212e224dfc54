//! `ollama export`: writes a model into one file.

use std::io::{self, BufWriter, IsTerminal};
use std::path::Path;

use super::args::ExportArgs;
use super::transfer::shown;
use crate::archive;
use crate::error::{Error, Kind, Result};
use crate::registry::Source;
use crate::settings::Settings;
use crate::store::Store;

const BUFFER: usize = 1 << 20;

pub(super) fn run(args: &ExportArgs, settings: &Settings) -> Result<()> {
    let source = Source::parse(&args.model)?;
    let store = Store::open(&settings.models)?;
    shown(|report| {
        if args.file == Path::new("-") {
            if io::stdout().is_terminal() {
                return Err(Error::new(
                    Kind::Invalid,
                    "a model is nothing for a terminal; name a file",
                ));
            }
            archive::export(
                &store,
                source.name(),
                BufWriter::with_capacity(BUFFER, io::stdout().lock()),
                report,
            )
        } else {
            to_file(&args.file, |out| {
                archive::export(&store, source.name(), out, report)
            })
        }
    })
}

/// Writes a file that appears when it is complete.
fn to_file(path: &Path, write: impl FnOnce(&mut dyn io::Write) -> Result<()>) -> Result<()> {
    let cannot = |e: io::Error| {
        Error::new(
            Kind::Storage,
            format!("cannot write {}: {e}", path.display()),
        )
    };
    let dir = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder
        .prefix(".export-")
        .tempfile_in(dir)
        .map_err(cannot)?;
    let mut out = BufWriter::with_capacity(BUFFER, file.as_file_mut());
    write(&mut out)?;
    drop(out);
    file.as_file().sync_all().map_err(cannot)?;
    file.persist(path).map_err(|e| cannot(e.error)).map(drop)
}
