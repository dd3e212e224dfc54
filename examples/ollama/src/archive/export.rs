//! Writes an archive: always the same bytes for the same model.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};

use serde_json::{Map, Value};
use tar::{Builder, EntryType, Header};

use super::{BLOBS, Descriptor, INDEX, Index, LAYOUT, NAMES};
use crate::digest::{Digest, Hasher};
use crate::error::{Error, Kind, Result};
use crate::name::Name;
use crate::progress::{Progress, Report};
use crate::store::Store;
use crate::store::manifest::{Layer, MEDIA_TYPE, Manifest};

/// How many bytes pass between two reports.
const STEP: u64 = 4 << 20;

/// Writes a model of the store into one file.
///
/// # Errors
/// [`Kind::NotFound`] when there is no such model, [`Kind::Damaged`] when a blob is not what its digest says,
/// [`Kind::Storage`] when it can't be read or written.
pub fn export(store: &Store, name: &Name, out: impl Write, report: Report<'_>) -> Result<()> {
    report(Progress::status("retrieving manifest"));
    let name = store.resolve(name)?;
    let bytes = store.manifest_bytes(&name)?;
    let manifest = Manifest::parse(&bytes)?;
    let digest = Digest::of_bytes(&bytes);
    let index = Index {
        schema_version: 2,
        manifests: vec![Descriptor {
            media_type: MEDIA_TYPE.to_owned(),
            digest,
            size: bytes.len() as u64,
            annotations: Map::from_iter([(NAMES[0].to_owned(), Value::from(name.full()))]),
        }],
    };
    let index = serde_json::to_vec(&index)
        .map_err(|e| Error::new(Kind::Invalid, format!("the index can't be written: {e}")))?;
    let mut archive = Builder::new(out);
    add(
        &mut archive,
        LAYOUT,
        &br#"{"imageLayoutVersion":"1.0.0"}"#[..],
        30,
    )?;
    add(&mut archive, INDEX, &index[..], index.len() as u64)?;
    add(
        &mut archive,
        &place(&digest),
        &bytes[..],
        bytes.len() as u64,
    )?;
    let mut written = HashSet::from([digest]);
    for layer in manifest.blobs() {
        if written.insert(layer.digest) {
            blob(store, layer, &mut archive, report)?;
        }
    }
    let mut out = archive.into_inner().map_err(|e| unwritable(&e))?;
    out.flush().map_err(|e| unwritable(&e))?;
    report(Progress::status("success"));
    Ok(())
}

fn blob(
    store: &Store,
    layer: &Layer,
    archive: &mut Builder<impl Write>,
    report: Report<'_>,
) -> Result<()> {
    let digest = layer.digest;
    let unreadable = |e: io::Error| {
        Error::new(
            Kind::Storage,
            format!("blob {digest} can't be read: {}", e.kind()),
        )
    };
    let file = File::open(store.layer(layer)?).map_err(unreadable)?;
    let mut reader = Counted {
        file,
        hasher: Hasher::new(),
        layer,
        report,
        read: 0,
        told: 0,
    };
    reader.tell(0);
    add(archive, &place(&digest), &mut reader, layer.size)?;
    reader.tell(layer.size);
    let found = reader.hasher.finish();
    if found != digest {
        return Err(Error::new(
            Kind::Damaged,
            format!("blob {digest} is damaged: its digest is {found}"),
        ));
    }
    Ok(())
}

fn add(archive: &mut Builder<impl Write>, path: &str, data: impl Read, size: u64) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    archive
        .append_data(&mut header, path, data)
        .map_err(|e| unwritable(&e))
}

fn place(digest: &Digest) -> String {
    format!("{BLOBS}{}", digest.hex())
}

fn unwritable(error: &io::Error) -> Error {
    Error::new(Kind::Storage, format!("the file can't be written: {error}"))
}

/// A blob that is hashed and reported while it is read.
struct Counted<'a> {
    file: File,
    hasher: Hasher,
    layer: &'a Layer,
    report: Report<'a>,
    read: u64,
    told: u64,
}

impl Counted<'_> {
    fn tell(&self, completed: u64) {
        (self.report)(Progress {
            status: format!("exporting {}", self.layer.digest.short()),
            digest: Some(self.layer.digest.to_string()),
            total: Some(self.layer.size),
            completed: (completed > 0).then_some(completed),
        });
    }
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.hasher.update(buffer.get(..n).unwrap_or_default());
        self.read += n as u64;
        if self.read - self.told >= STEP {
            self.told = self.read;
            self.tell(self.read);
        }
        Ok(n)
    }
}
