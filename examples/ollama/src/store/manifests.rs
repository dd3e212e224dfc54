//! Manifests on disk: found, listed, read, written, copied.

use std::fs::{self, DirEntry, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use super::manifest::{self, Manifest};
use super::{Store, layout, storage};
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::name::Name;

/// A model in the store.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub name: Name,
    /// The digest of its manifest's bytes.
    pub digest: Digest,
    /// Bytes of all its blobs.
    pub size: u64,
    /// When its manifest was written.
    pub modified: SystemTime,
    /// The manifest.
    pub manifest: Manifest,
}

/// Something in the store that is not as it should be.
#[derive(Debug, Clone)]
pub struct Broken {
    /// The model, or the place below the folder of manifests.
    pub what: String,
    /// What is wrong.
    pub error: Error,
}

/// What a store holds.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The models whose manifests are valid, the one that changed last first.
    pub models: Vec<Entry>,
    /// Manifests that are not, and blobs that are missing or have another length.
    pub broken: Vec<Broken>,
}

/// A file in the folder of manifests.
pub(super) struct Found {
    /// The model, when the place can be one's.
    pub(super) name: Option<Name>,
    /// Where it is below the folder of manifests.
    pub(super) place: String,
    pub(super) bytes: Result<(Vec<u8>, SystemTime)>,
}

impl Store {
    /// All models, and all that is broken.
    ///
    /// # Errors
    /// [`Kind::Storage`] when the folder of manifests can't be read.
    pub fn list(&self) -> Result<Listing> {
        let mut listing = Listing::default();
        for Found { name, place, bytes } in self.found()? {
            let what = name.as_ref().map_or(place, Name::to_string);
            let entry = bytes.and_then(|(bytes, modified)| {
                let name = name.ok_or_else(|| {
                    Error::new(Kind::Damaged, "this is not the place of a manifest")
                })?;
                let manifest = Manifest::parse(&bytes)?;
                let size = manifest.size();
                Ok(Entry {
                    name,
                    digest: Digest::of_bytes(&bytes),
                    size,
                    modified,
                    manifest,
                })
            });
            match entry {
                Ok(entry) => {
                    for layer in entry.manifest.blobs() {
                        if let Err(error) = self.layer(layer) {
                            let what = entry.name.to_string();
                            listing.broken.push(Broken { what, error });
                        }
                    }
                    listing.models.push(entry);
                }
                Err(error) => listing.broken.push(Broken { what, error }),
            }
        }
        listing.models.sort_by(|a, b| {
            let by_name = || a.name.full().cmp(&b.name.full());
            b.modified.cmp(&a.modified).then_with(by_name)
        });
        Ok(listing)
    }

    /// A model's manifest and the digest of its bytes.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such model, [`Kind::Damaged`] when its manifest is.
    pub fn manifest(&self, name: &Name) -> Result<(Manifest, Digest)> {
        let bytes = self.manifest_bytes(name)?;
        let manifest = Manifest::parse(&bytes).map_err(|error| {
            Error::new(error.kind(), format!("model '{name}' is damaged: {error}"))
        })?;
        Ok((manifest, Digest::of_bytes(&bytes)))
    }

    /// The bytes of a model's manifest, whatever they are.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such model; [`Kind::Damaged`] when they are too many.
    pub fn manifest_bytes(&self, name: &Name) -> Result<Vec<u8>> {
        let name = self.resolve(name)?;
        read(&self.manifest_path(&name))
            .map(|(bytes, _)| bytes)
            .map_err(|error| Error::new(error.kind(), format!("model '{name}': {error}")))
    }

    /// When a model's manifest was written.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such model.
    pub fn modified(&self, name: &Name) -> Result<SystemTime> {
        let name = self.resolve(name)?;
        let metadata = fs::metadata(self.manifest_path(&name));
        metadata
            .and_then(|metadata| metadata.modified())
            .map_err(|error| storage(format_args!("cannot read the manifest of '{name}'"), &error))
    }

    /// The model's name in the case in which it is stored.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such model.
    pub fn resolve(&self, name: &Name) -> Result<Name> {
        if self.manifest_path(name).is_file() {
            return Ok(name.clone());
        }
        let parts = self.stored_case(&self.manifests_dir(), &name.parts());
        match parts.as_deref() {
            Some([host, namespace, model, tag]) => Name::from_parts(host, namespace, model, tag),
            _ => Err(Error::new(
                Kind::NotFound,
                format!("model '{name}' not found"),
            )),
        }
    }

    /// The path of a file below `dir`, each part in the case that it has there.
    fn stored_case(&self, dir: &Path, parts: &[&str]) -> Option<Vec<String>> {
        let (first, rest) = parts.split_first()?;
        let mut candidates: Vec<String> = entries(dir)
            .ok()?
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.eq_ignore_ascii_case(first))
            .collect();
        candidates.sort_by_key(|name| name != first);
        candidates.into_iter().find_map(|name| {
            let path = dir.join(&name);
            let mut found = vec![name];
            if rest.is_empty() {
                return path.is_file().then_some(found);
            }
            found.extend(self.stored_case(&path, rest)?);
            Some(found)
        })
    }

    /// Where a model is or, if it is new, will be: beside what differs from it in case only.
    fn place_for(&self, name: &Name) -> Result<Name> {
        if let Ok(found) = self.resolve(name) {
            return Ok(found);
        }
        let mut dir = self.manifests_dir();
        let mut parts = Vec::new();
        for part in name.parts() {
            let stored = entries(&dir).into_iter().flatten();
            let mut stored: Vec<String> = stored
                .filter_map(|entry| entry.file_name().into_string().ok())
                .filter(|name| name.eq_ignore_ascii_case(part))
                .collect();
            stored.sort_by_key(|name| name != part);
            let part = stored.into_iter().next().unwrap_or_else(|| part.to_owned());
            dir.push(&part);
            parts.push(part);
        }
        match parts.as_slice() {
            [host, namespace, model, tag] => Name::from_parts(host, namespace, model, tag),
            _ => Ok(name.clone()),
        }
    }

    /// Stores a manifest under a name, in place of one that is there. All its blobs must be.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the manifest is not valid; [`Kind::NotFound`] or [`Kind::Damaged`] for
    /// a blob, which may have been removed a moment ago: who can get it again should.
    pub fn put_manifest(&self, name: &Name, manifest: &Manifest) -> Result<Digest> {
        self.put_checked(name, manifest, &manifest.to_bytes()?)
    }

    /// Stores a manifest as it came, byte by byte, so that its digest stays the same.
    ///
    /// # Errors
    /// As [`put_manifest`](Self::put_manifest); [`Kind::Damaged`] when the manifest is not valid.
    pub fn put_manifest_bytes(&self, name: &Name, bytes: &[u8]) -> Result<Digest> {
        self.put_checked(name, &Manifest::parse(bytes)?, bytes)
    }

    fn put_checked(&self, name: &Name, manifest: &Manifest, bytes: &[u8]) -> Result<Digest> {
        let _lock = self.lock()?;
        for layer in manifest.blobs() {
            self.layer(layer)?;
        }
        self.write_manifest(name, bytes)?;
        Ok(Digest::of_bytes(bytes))
    }

    fn write_manifest(&self, name: &Name, bytes: &[u8]) -> Result<()> {
        let name = self.place_for(name)?;
        layout::write(&self.manifest_path(&name), bytes).map_err(|error| {
            storage(
                format_args!("cannot write the manifest of '{name}'"),
                &error,
            )
        })
    }

    /// Gives a model a second name.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no model `from`; [`Kind::Damaged`] when its manifest is.
    pub fn copy(&self, from: &Name, to: &Name) -> Result<()> {
        let _lock = self.lock()?;
        let bytes = self.manifest_bytes(from)?;
        Manifest::parse(&bytes).map_err(|error| {
            Error::new(error.kind(), format!("model '{from}' is damaged: {error}"))
        })?;
        self.write_manifest(to, &bytes)
    }

    /// Every file where manifests are, without those whose names begin with a dot.
    pub(super) fn found(&self) -> Result<Vec<Found>> {
        let dir = self.manifests_dir();
        let mut found = Vec::new();
        match visit(&dir, &mut Vec::new(), &mut found) {
            Ok(()) => Ok(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(storage("cannot read the directory of manifests", &error)),
        }
    }
}

/// How many folders a manifest is deep: host, namespace and model.
const DEPTH: usize = 3;

fn visit(dir: &Path, above: &mut Vec<String>, found: &mut Vec<Found>) -> io::Result<()> {
    for entry in entries(dir)? {
        let part = entry.file_name().to_string_lossy().into_owned();
        above.push(part);
        let place = above.join("/");
        let folder = entry
            .file_type()
            .is_ok_and(|kind| kind.is_dir() || kind.is_symlink() && entry.path().is_dir());
        let failed = if !folder {
            let name = match above.as_slice() {
                [host, namespace, model, tag] => Name::from_parts(host, namespace, model, tag).ok(),
                _ => None,
            };
            found.push(Found {
                name,
                place,
                bytes: read(&entry.path()),
            });
            None
        } else if above.len() <= DEPTH {
            let result = visit(&entry.path(), above, found);
            result
                .err()
                .map(|error| storage("cannot read this directory", &error))
        } else {
            Some(Error::new(
                Kind::Damaged,
                "this is a directory in the place of a manifest",
            ))
        };
        if let Some(error) = failed {
            let place = above.join("/");
            found.push(Found {
                name: None,
                place,
                bytes: Err(error),
            });
        }
        above.pop();
    }
    Ok(())
}

/// What is in a folder, without what begins with a dot: unfinished files, and those of desktops.
fn entries(dir: &Path) -> io::Result<impl Iterator<Item = DirEntry>> {
    let entries = fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
    let hidden = |entry: &DirEntry| entry.file_name().as_encoded_bytes().starts_with(b".");
    Ok(entries.into_iter().filter(move |entry| !hidden(entry)))
}

fn read(path: &Path) -> Result<(Vec<u8>, SystemTime)> {
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Error::new(Kind::NotFound, "its manifest is missing"),
        _ => storage("cannot read the manifest", &error),
    };
    // Opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(cannot)?.is_file() {
        return Err(Error::new(
            Kind::Damaged,
            "the manifest is not a regular file",
        ));
    }
    let file = File::open(path).map_err(cannot)?;
    let modified = file
        .metadata()
        .and_then(|found| found.modified())
        .map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(manifest::MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > manifest::MAX_BYTES {
        let why = format!("the manifest is longer than {} bytes", manifest::MAX_BYTES);
        return Err(Error::new(Kind::Damaged, why));
    }
    Ok((bytes, modified))
}
