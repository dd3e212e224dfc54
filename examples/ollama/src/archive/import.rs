//! Reads an archive, from us or other tools, in whatever order it is.

use std::collections::HashSet;
use std::io::{self, Read, Write};

use tar::{Archive, Entry, EntryType};

use super::{BLOBS, INDEX, Index, LAYOUT, NAMES};
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::name::Name;
use crate::progress::{Progress, Report};
use crate::store::Store;
use crate::store::manifest::{self, Manifest};

const MAX_ENTRIES: usize = 2 * manifest::MAX_LAYERS;
const MAX_MODELS: usize = 1000;
const MAX_SHOWN: usize = 100;
/// How many bytes pass between two reports.
const STEP: u64 = 4 << 20;

/// Takes the models of an archive into the store and says their names. With a name, the archive must have one
/// model, which gets it.
///
/// # Errors
/// [`Kind::Invalid`] when it is no such archive, [`Kind::Damaged`] when a blob is missing or not what its digest
/// says, [`Kind::Storage`]. Nothing of it remains then.
pub fn import(
    store: &Store,
    input: impl Read,
    name: Option<&Name>,
    report: Report<'_>,
) -> Result<Vec<Name>> {
    let mut taken = Vec::new();
    let result = read(store, input, &mut taken, report)
        .and_then(|index| models(store, &index, name, &mut taken))
        .and_then(|models| put(store, models, report));
    // Manifests are no blobs of the store, and of an archive that is damaged nothing is of use.
    let cleaned = store.remove_unused(&taken);
    let names = result?;
    cleaned?;
    report(Progress::status("success"));
    Ok(names)
}

/// Stores all blobs.
fn read(
    store: &Store,
    input: impl Read,
    taken: &mut Vec<Digest>,
    report: Report<'_>,
) -> Result<Index> {
    let mut archive = Archive::new(input);
    let mut index = None;
    for (count, entry) in archive.entries().map_err(|e| unreadable(&e))?.enumerate() {
        let mut entry = entry.map_err(|e| unreadable(&e))?;
        if count >= MAX_ENTRIES {
            return Err(invalid(format!("it has more than {MAX_ENTRIES} entries")));
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let shown: String = path
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_SHOWN)
            .collect();
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {}
            EntryType::Directory | EntryType::XGlobalHeader => continue,
            _ => return Err(invalid(format!("{shown:?} is not a regular file"))),
        }
        let path = path.strip_prefix("./").unwrap_or(&path);
        if path == INDEX {
            index = Some(small(&mut entry)?);
        } else if let Some(hex) = path.strip_prefix(BLOBS) {
            let digest: Digest = format!("sha256:{hex}")
                .parse()
                .map_err(|_| invalid(format!("{shown:?} is not the place of a blob")))?;
            if blob(store, digest, &mut entry, report)? {
                taken.push(digest);
            }
        } else if path != LAYOUT {
            report(Progress::status(format!("leaving out {shown:?}")));
        }
    }
    index.ok_or_else(|| invalid(format!("it has no {INDEX}")))
}

fn small(entry: &mut Entry<'_, impl Read>) -> Result<Index> {
    let mut text = Vec::new();
    entry
        .take(manifest::MAX_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(|e| unreadable(&e))?;
    if text.len() as u64 > manifest::MAX_BYTES {
        return Err(invalid(format!(
            "its {INDEX} is longer than {} bytes",
            manifest::MAX_BYTES
        )));
    }
    serde_json::from_slice(&text).map_err(|e| invalid(format!("its {INDEX}: {e}")))
}

/// Stores one blob; false when it is here already.
fn blob(
    store: &Store,
    digest: Digest,
    entry: &mut Entry<'_, impl Read>,
    report: Report<'_>,
) -> Result<bool> {
    let size = entry.size();
    let tell = |completed: u64| {
        report(Progress {
            status: format!("importing {}", digest.short()),
            digest: Some(digest.to_string()),
            total: Some(size),
            completed: (completed > 0).then_some(completed),
        });
    };
    tell(0);
    if store.blob(&digest).is_ok() {
        tell(size);
        return Ok(false);
    }
    let available = store.available()?;
    if size > available {
        return Err(Error::new(
            Kind::Storage,
            format!("not enough disk space: {size} bytes are needed, {available} are available"),
        ));
    }
    let mut writer = store.writer()?;
    let mut buffer = vec![0; 1 << 18];
    let (mut read, mut told) = (0, 0);
    loop {
        let n = entry.read(&mut buffer).map_err(|e| unreadable(&e))?;
        let Some(bytes) = buffer.get(..n).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        writer.write_all(bytes).map_err(|e| {
            Error::new(
                Kind::Storage,
                format!("blob {digest} can't be written: {}", e.kind()),
            )
        })?;
        read += n as u64;
        if read - told >= STEP {
            told = read;
            tell(read);
        }
    }
    writer.finish(Some(&digest))?;
    tell(size);
    Ok(true)
}

/// Names and manifests, all checked before the first is stored.
fn models(
    store: &Store,
    index: &Index,
    name: Option<&Name>,
    taken: &mut Vec<Digest>,
) -> Result<Vec<(Name, Vec<u8>)>> {
    match index.manifests.len() {
        0 => return Err(invalid("it has no model".to_owned())),
        1 => {}
        n if n > MAX_MODELS => {
            return Err(invalid(format!("it has more than {MAX_MODELS} models")));
        }
        n if name.is_some() => {
            return Err(invalid(format!(
                "it has {n} models, which can't get one name"
            )));
        }
        _ => {}
    }
    let mut models = Vec::new();
    let mut seen = HashSet::new();
    for descriptor in &index.manifests {
        let digest = descriptor.digest;
        let annotated = || {
            let named = NAMES
                .iter()
                .find_map(|key| descriptor.annotations.get(*key)?.as_str());
            let named = named
                .ok_or_else(|| invalid("it does not say the model's name; give one".to_owned()))?;
            Name::parse(named).map_err(|e| invalid(format!("{e}; give another one")))
        };
        let name = name.map_or_else(annotated, |name| Ok(name.clone()))?;
        if !seen.insert(name.clone()) {
            return Err(invalid(format!("it has two models '{name}'")));
        }
        let layer = manifest::Layer::new("", digest, descriptor.size);
        let bytes = store.read_layer(&layer, manifest::MAX_BYTES)?;
        if Digest::of_bytes(&bytes) != digest {
            return Err(Error::new(
                Kind::Damaged,
                format!("blob {digest} is damaged"),
            ));
        }
        taken.push(digest);
        for layer in Manifest::parse(&bytes)?.blobs() {
            store.layer(layer)?;
        }
        models.push((name, bytes));
    }
    Ok(models)
}

fn put(store: &Store, models: Vec<(Name, Vec<u8>)>, report: Report<'_>) -> Result<Vec<Name>> {
    report(Progress::status("writing manifest"));
    let mut names = Vec::new();
    for (name, bytes) in models {
        let before = store.manifest(&name).map(|(manifest, _)| manifest).ok();
        store.put_manifest_bytes(&name, &bytes)?;
        if let Some(before) = before {
            let old: Vec<Digest> = before.blobs().map(|layer| layer.digest).collect();
            store.remove_unused(&old)?;
        }
        names.push(name);
    }
    Ok(names)
}

fn invalid(why: String) -> Error {
    Error::new(Kind::Invalid, format!("not an archive of a model: {why}"))
}

fn unreadable(error: &io::Error) -> Error {
    Error::new(Kind::Invalid, format!("the archive can't be read: {error}"))
}
