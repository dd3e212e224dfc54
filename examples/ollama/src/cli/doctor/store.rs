//! Whether the store is sound.

use serde::Serialize;

use super::Findings;
use crate::cli::transfer::shown;
use crate::error::Result;
use crate::registry;
use crate::settings::Settings;
use crate::store::{Broken, Store};

#[derive(Debug, Default, Serialize)]
pub(super) struct Health {
    pub path: String,
    /// It is made when something is put into it.
    pub exists: bool,
    pub models: usize,
    pub blobs: usize,
    /// Of all blobs.
    pub bytes: u64,
    pub bytes_free: Option<u64>,
    /// Damaged manifests, and models whose blobs are missing or have another length.
    pub broken: Vec<Fault>,
    pub unused_blobs: usize,
    pub unused_bytes: u64,
    pub partial_downloads: Vec<Partial>,
    /// Blobs that were read and compared with their digests.
    pub verified: Option<usize>,
}

#[derive(Debug, Serialize)]
pub(super) struct Fault {
    pub what: String,
    pub error: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Partial {
    pub name: String,
    pub completed: u64,
    pub total: u64,
    /// Whose format it has; a pull goes on only with its own.
    pub of: &'static str,
}

pub(super) fn look(settings: &Settings, verify: bool, findings: &mut Findings) -> Health {
    let mut health = Health {
        path: settings.models.display().to_string(),
        exists: settings.models.exists(),
        ..Health::default()
    };
    let looked = Store::open(&settings.models).and_then(|store| {
        health.bytes_free = store.available().ok();
        match health.exists {
            true => inspect(&store, verify, &mut health, findings),
            false => Ok(()),
        }
    });
    if let Err(error) = looked {
        findings.problem(format!("store: {error}"));
    }
    health
}

fn inspect(
    store: &Store,
    verify: bool,
    health: &mut Health,
    findings: &mut Findings,
) -> Result<()> {
    let blobs = store.blobs()?;
    health.blobs = blobs.len();
    health.bytes = blobs.iter().map(|(_, size)| size).sum();
    health.partial_downloads = partial_downloads(store);
    for neighbour in store.neighbours() {
        findings.warn(neighbour.to_string());
    }
    if let Err(error) = tempfile::tempfile_in(store.root()) {
        findings.warn(format!(
            "this user can't write into the store: {}",
            error.kind()
        ));
    }
    let listing = store.list()?;
    health.models = listing.models.len();
    let mut broken = listing.broken;
    if verify {
        broken.extend(shown(|report| store.verify_all(report))?);
        health.verified = Some(blobs.len());
    }
    for Broken { what, error } in broken {
        findings.problem(format!("{what}: {error}"));
        health.broken.push(Fault {
            what,
            error: error.to_string(),
        });
    }
    let unused = store.unused()?;
    health.unused_blobs = unused.files;
    health.unused_bytes = unused.bytes;
    if let Some(manifest) = unused.unknown {
        findings.warn(format!(
            "nothing is pruned while {manifest} can't be read: pull it again or remove it"
        ));
    }
    Ok(())
}

fn partial_downloads(store: &Store) -> Vec<Partial> {
    let own = registry::unfinished(store)
        .into_iter()
        .map(|download| Partial {
            name: download.name,
            completed: download.completed,
            total: download.total,
            of: "this program",
        });
    let foreign = store
        .foreign_partials()
        .into_iter()
        .map(|download| Partial {
            name: download.digest.file_name(),
            completed: download.completed,
            total: download.total,
            of: "the original Ollama",
        });
    own.chain(foreign).collect()
}
