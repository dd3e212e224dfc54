//! Makes a file of the user a blob without a second copy of its bytes, where the disk can.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;

use tempfile::NamedTempFile;

use super::{Store, layout, storage};
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};

impl Store {
    /// Stores the content of a file: as a clone that shares its bytes, else under a second name
    /// (a hard link), else as a copy. The file itself stays as it is, whatever is removed here.
    ///
    /// With a hard link the file and the blob are one: the file must not be written into any more.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such file, [`Kind::Invalid`] when it is none or changes
    /// meanwhile, [`Kind::Storage`].
    pub fn adopt(&self, path: &Path) -> Result<(Digest, u64)> {
        let shown = path.display();
        // A link to the file would become a link in the store.
        let path = match fs::canonicalize(path) {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::new(
                    Kind::NotFound,
                    format!("{shown} does not exist"),
                ));
            }
            Err(error) => return Err(storage(format_args!("cannot open {shown}"), &error)),
        };
        let cannot = |error: io::Error| storage(format_args!("cannot read {shown}"), &error);
        if !fs::metadata(&path).map_err(cannot)?.is_file() {
            return Err(Error::new(
                Kind::Invalid,
                format!("{shown} is not a regular file"),
            ));
        }
        if let Some(done) = self.clone_of(&path).map_err(cannot)? {
            return Ok(done);
        }
        match self.link_to(&path).map_err(cannot)? {
            Linked::Done(done) => return Ok(done),
            Linked::Changed => {
                return Err(Error::new(
                    Kind::Invalid,
                    format!("{shown} changed while it was read"),
                ));
            }
            Linked::Impossible => {}
        }
        let mut writer = self.writer()?;
        let file = File::open(&path).map_err(cannot)?;
        io::copy(&mut BufReader::with_capacity(1 << 18, file), &mut writer)
            .map_err(|error| storage(format_args!("cannot copy {shown}"), &error))?;
        writer.finish(None)
    }

    /// The clone is hashed, not the file, which others may write into.
    fn clone_of(&self, path: &Path) -> io::Result<Option<(Digest, u64)>> {
        let place = layout::unfinished(&self.blobs_dir())?.into_temp_path();
        // Clones are made under names that are free.
        fs::remove_file(&place)?;
        if reflink_copy::reflink(path, &place).is_err() {
            return Ok(None);
        }
        let file = File::options().read(true).write(true).open(&place)?;
        let size = file.metadata()?.len();
        let digest = Digest::of(&file)?;
        let file = NamedTempFile::from_parts(file, place);
        layout::name_it(file, &self.blob_path(&digest))?;
        Ok(Some((digest, size)))
    }

    fn link_to(&self, path: &Path) -> io::Result<Linked> {
        let place = layout::unfinished(&self.blobs_dir())?.into_temp_path();
        fs::remove_file(&place)?;
        // Refused between file systems, and by some systems for files of others.
        if fs::hard_link(path, &place).is_err() {
            return Ok(Linked::Impossible);
        }
        let file = File::open(&place)?;
        let before = file.metadata()?;
        let digest = Digest::of(&file)?;
        let after = file.metadata()?;
        if before.len() != after.len() || before.modified()? != after.modified()? {
            return Ok(Linked::Changed);
        }
        if cfg!(unix) {
            file.sync_all()?;
        }
        let (blob, place_then) = (self.blob_path(&digest), place.to_path_buf());
        place.persist(&blob).map_err(|failed| failed.error)?;
        // Renaming a name of a file to another one that it has already leaves both.
        let _ = fs::remove_file(place_then);
        layout::sync_parent(&blob)?;
        Ok(Linked::Done((digest, after.len())))
    }
}

enum Linked {
    Done((Digest, u64)),
    Changed,
    Impossible,
}
