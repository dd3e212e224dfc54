//! Blobs: files that are called by what is in them.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use tempfile::NamedTempFile;

use super::manifest::Layer;
use super::{Store, layout, storage};
use crate::digest::{Digest, Hasher};
use crate::error::{Error, Kind, Result};

impl Store {
    /// The file of a blob.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is none; [`Kind::Damaged`] when it is no regular file.
    pub fn blob(&self, digest: &Digest) -> Result<PathBuf> {
        self.blob_and_size(digest).map(|(path, _)| path)
    }

    /// The file of a layer, whose length is what the manifest says.
    ///
    /// # Errors
    /// As [`blob`](Self::blob), and [`Kind::Damaged`] for another length.
    pub fn layer(&self, layer: &Layer) -> Result<PathBuf> {
        let (path, size) = self.blob_and_size(&layer.digest)?;
        if size != layer.size {
            return Err(Error::new(
                Kind::Damaged,
                format!(
                    "blob {} has {size} bytes instead of {}",
                    layer.digest, layer.size
                ),
            ));
        }
        Ok(path)
    }

    fn blob_and_size(&self, digest: &Digest) -> Result<(PathBuf, u64)> {
        let path = self.blob_path(digest);
        match fs::metadata(&path) {
            Ok(found) if found.is_file() => Ok((path, found.len())),
            Ok(_) => Err(Error::new(
                Kind::Damaged,
                format!("blob {digest} is not a regular file"),
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::new(
                Kind::NotFound,
                format!("blob {digest} is missing"),
            )),
            Err(error) => Err(storage(format_args!("cannot open blob {digest}"), &error)),
        }
    }

    /// The bytes of a small layer.
    ///
    /// # Errors
    /// As [`layer`](Self::layer); [`Kind::Damaged`] also when it is longer than `limit`.
    pub fn read_layer(&self, layer: &Layer, limit: u64) -> Result<Vec<u8>> {
        if layer.size > limit {
            return Err(Error::new(
                Kind::Damaged,
                format!("blob {} is longer than {limit} bytes", layer.digest),
            ));
        }
        let path = self.layer(layer)?;
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(|error| storage(format_args!("cannot read blob {}", layer.digest), &error))?;
        Ok(bytes)
    }

    /// Reads the whole blob and checks that it is what its name says.
    ///
    /// # Errors
    /// As [`blob`](Self::blob); [`Kind::Damaged`] when its bytes have another digest.
    pub fn verify(&self, digest: &Digest) -> Result<()> {
        self.verify_telling(digest, &mut |_| {})
    }

    /// As [`verify`](Self::verify), telling how many bytes were read after each time.
    pub(super) fn verify_telling(
        &self,
        digest: &Digest,
        tell: &mut dyn FnMut(usize),
    ) -> Result<()> {
        let path = self.blob(digest)?;
        let found = File::open(path)
            .and_then(|file| Digest::of(Telling { file, tell }))
            .map_err(|error| storage(format_args!("cannot read blob {digest}"), &error))?;
        if found == *digest {
            Ok(())
        } else {
            Err(mismatch(digest, &found))
        }
    }

    /// Begins a new blob.
    ///
    /// # Errors
    /// [`Kind::Storage`] when no file can be made.
    pub fn writer(&self) -> Result<BlobWriter> {
        let file = layout::unfinished(&self.blobs_dir())
            .map_err(|error| storage("cannot make a blob", &error))?;
        // A lock tells others that somebody still writes here. Where there are none, nobody prunes it.
        let _ = fs4::FileExt::lock(file.as_file());
        Ok(BlobWriter {
            store: self.clone(),
            file,
            hasher: Hasher::new(),
            size: 0,
        })
    }

    /// Stores these bytes as a blob.
    ///
    /// # Errors
    /// [`Kind::Storage`] when they can't be written.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<(Digest, u64)> {
        let digest = Digest::of_bytes(bytes);
        let mut writer = self.writer()?;
        writer
            .write_all(bytes)
            .map_err(|error| storage(format_args!("cannot write blob {digest}"), &error))?;
        writer.finish(Some(&digest))
    }
}

/// Tells how much is read.
struct Telling<'a> {
    file: File,
    tell: &'a mut dyn FnMut(usize),
}

impl Read for Telling<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        (self.tell)(read);
        Ok(read)
    }
}

/// A blob that is being written. It gets its name when it is complete; dropped before, it is gone.
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    file: NamedTempFile,
    hasher: Hasher,
    size: u64,
}

impl BlobWriter {
    /// The digest of what was written so far.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Gives the blob its name, and says its digest and length.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when another digest was expected, and nothing remains; [`Kind::Storage`].
    pub fn finish(self, expected: Option<&Digest>) -> Result<(Digest, u64)> {
        let digest = self.hasher.finish();
        if let Some(expected) = expected
            && *expected != digest
        {
            return Err(mismatch(expected, &digest));
        }
        layout::name_it(self.file, &self.store.blob_path(&digest))
            .map_err(|error| storage(format_args!("cannot write blob {digest}"), &error))?;
        Ok((digest, self.size))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn mismatch(expected: &Digest, found: &Digest) -> Error {
    Error::new(
        Kind::Damaged,
        format!("digest mismatch, expected \"{expected}\", got \"{found}\""),
    )
}
