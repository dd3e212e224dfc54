//! Models split over several files: their names, and opening all of them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::File;
use super::cursor::invalid;
use crate::error::{Error, ErrorKind, Result};

/// What the name of one file of a split model says: `<prefix>-00001-of-00003.gguf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitName {
    prefix: PathBuf,
    number: u16,
    count: u16,
}

impl SplitName {
    /// Reads the name of a file; `None` when it does not follow the pattern.
    #[must_use]
    pub fn parse(path: impl AsRef<Path>) -> Option<Self> {
        let path = path.as_ref();
        let stem = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
        let (rest, count) = stem.rsplit_once("-of-")?;
        let (prefix, number) = rest.rsplit_once('-')?;
        let [number, count] = [number, count].map(|digits| {
            // Five digits, as upstream prints and compares them.
            let plain = digits.len() == 5 && digits.bytes().all(|digit| digit.is_ascii_digit());
            digits.parse::<u16>().ok().filter(|_| plain)
        });
        let (number, count) = (number?, count?);
        let known = (1..=count).contains(&number) && !prefix.is_empty();
        known.then(|| Self {
            prefix: path.with_file_name(prefix),
            number,
            count,
        })
    }

    /// The position of this file, from 1.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The number of files.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.count
    }

    /// The paths of all files in their order (`llama_split_path`).
    pub fn paths(&self) -> impl ExactSizeIterator<Item = PathBuf> {
        (1..=self.count).map(|number| {
            let mut path = self.prefix.clone().into_os_string();
            path.push(format!("-{number:05}-of-{:05}.gguf", self.count));
            path.into()
        })
    }
}

/// The paths of all files of a split model, given any one of them, all checked to exist.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] when the name does not follow the pattern of split files;
/// [`ErrorKind::Io`] naming the first file that is missing.
pub fn shard_paths(path: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let path = path.as_ref();
    let name = SplitName::parse(path).ok_or_else(|| {
        Error::argument("the name is not like <prefix>-00001-of-00003.gguf").with_path(path)
    })?;
    let mut paths = Vec::new();
    for (index, shard) in name.paths().enumerate() {
        if !shard.is_file() {
            let message = format!(
                "file {} of {} of the model is missing",
                index + 1,
                name.count
            );
            return Err(Error::new(ErrorKind::Io, message).with_path(shard));
        }
        paths.push(shard);
    }
    Ok(paths)
}

/// Opens a model: one file, or all files of a split model given the first.
///
/// Checks what upstream asserts or relies on: each file's number, the number of files and of
/// tensors, and that no tensor is in two files.
///
/// # Errors
/// As [`File::open`] and [`shard_paths`]; [`ErrorKind::InvalidGguf`] when the files do not belong
/// together.
pub fn open_shards(path: impl AsRef<Path>) -> Result<Vec<File>> {
    let first = File::open(path.as_ref())?;
    let count = first.find::<u16>("split.count")?.unwrap_or(0);
    if count <= 1 {
        return Ok(vec![first]);
    }
    check_number(&first, 0, count)?;
    let paths = shard_paths(path)?;
    if paths.len() != usize::from(count) {
        return Err(first.locate(invalid(format!(
            "split.count is {count}, but the name says {}",
            paths.len()
        ))));
    }
    let mut files = vec![first];
    for path in &paths[1..] {
        files.push(File::open(path)?);
    }
    check_shards(&files)?;
    Ok(files)
}

/// Checks that files belong together as one split model, in this order.
pub(super) fn check_shards(files: &[File]) -> Result<()> {
    let count = u16::try_from(files.len())
        .map_err(|_| Error::argument(format!("{} files for one model", files.len())))?;
    for (number, file) in (0..).zip(files) {
        check_number(file, number, count)?;
    }
    check_tensors(files)
}

fn check_number(file: &File, expected: u16, count: u16) -> Result<()> {
    let number = file.require::<u16>("split.no")?;
    if number != expected {
        return Err(file.locate(invalid(format!(
            "split.no is {number}, expected {expected}; a split model is opened by its first file"
        ))));
    }
    // Upstream writes the count into every file and reads that of the first.
    if let Some(found) = file.find::<u16>("split.count")?
        && found != count
    {
        return Err(file.locate(invalid(format!("split.count is {found}, expected {count}"))));
    }
    Ok(())
}

fn check_tensors(files: &[File]) -> Result<()> {
    let mut names = HashSet::new();
    for file in files {
        for tensor in file.tensors() {
            if !names.insert(tensor.name()) {
                return Err(file.locate(invalid(format!(
                    "tensor {} is in more than one file of the model",
                    tensor.name()
                ))));
            }
        }
    }
    let first = &files[0];
    let claimed = first.require::<i32>("split.tensors.count")?;
    if usize::try_from(claimed).ok() != Some(names.len()) {
        return Err(first.locate(invalid(format!(
            "split.tensors.count is {claimed}, but the files have {} tensors",
            names.len()
        ))));
    }
    Ok(())
}
