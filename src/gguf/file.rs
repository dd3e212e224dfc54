//! An open GGUF file whose format has been checked.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::cursor::invalid;
use super::map::Bytes;
use super::parse::{self, Index};
use super::tensor_type::TensorType;
use super::view::{ArrayRef, FromValue, ValueRef};
use super::{MAX_DIMS, ValueType};
use crate::error::{Error, Result};

/// A GGUF file: its metadata, and where its tensors are.
///
/// Opening checks the whole header: counts, lengths, types, unique keys and tensor names, dimensions,
/// alignment, and that each tensor's data lies inside the file. It reads no tensor data. Lookups
/// borrow from the file; arrays are decoded while they are iterated.
///
/// The file is mapped, not read. As long as it is open, nobody may truncate it (the process gets
/// SIGBUS when it reads what is missing) or write into it (later reads would see other bytes).
/// Replacing it by a rename is fine. [`from_bytes`](Self::from_bytes) has no such condition.
///
/// ```no_run
/// let file = llamakit::gguf::File::open("model.gguf")?;
/// let architecture: &str = file.require("general.architecture")?;
/// let layers: u32 = file.require(&format!("{architecture}.block_count"))?;
/// # Ok::<(), llamakit::Error>(())
/// ```
#[derive(Debug)]
pub struct File {
    bytes: Bytes,
    index: Index,
    file: Option<fs::File>,
    path: PathBuf,
}

impl File {
    /// Opens and checks the file at `path`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when it cannot be opened or is no regular file;
    /// [`ErrorKind::InvalidGguf`](crate::ErrorKind::InvalidGguf) when it breaks the format.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let cannot_open = |source| Error::io("cannot open the file", path, source);
        // Opening a pipe would wait for its writer, so the kind of file is asked for first.
        if !fs::metadata(path).map_err(cannot_open)?.is_file() {
            return Err(
                Error::new(crate::ErrorKind::Io, "this is not a regular file").with_path(path),
            );
        }
        Self::from_file(fs::File::open(path).map_err(cannot_open)?, path)
    }

    /// Checks a file that is already open, from its first byte; `path` is for messages alone.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_file(file: fs::File, path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let bytes = Bytes::map(&file, &path)?;
        Self::parse(bytes, Some(file), path)
    }

    /// Checks a file that is in memory.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidGguf`](crate::ErrorKind::InvalidGguf) when it breaks the format.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self> {
        Self::parse(Bytes::Owned(bytes.into()), None, PathBuf::new())
    }

    fn parse(bytes: Bytes, file: Option<fs::File>, path: PathBuf) -> Result<Self> {
        match parse::parse(&bytes) {
            Ok(index) => Ok(Self {
                bytes,
                index,
                file,
                path,
            }),
            Err(error) => Err(locate(error, &path)),
        }
    }

    /// The path given when opening; empty for a file in memory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file; `None` for a file in memory.
    #[must_use]
    pub fn file(&self) -> Option<&fs::File> {
        self.file.as_ref()
    }

    /// The whole file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The GGUF version, 2 or 3.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.index.version
    }

    /// The alignment of tensor data in bytes, a power of two; 32 unless the file says otherwise.
    #[must_use]
    pub fn alignment(&self) -> u64 {
        self.index.alignment
    }

    /// Where the tensor data starts, in bytes from the start of the file.
    #[must_use]
    pub fn data_offset(&self) -> u64 {
        self.index.data_offset
    }

    /// All keys with their values, in the order of the file.
    pub fn metadata(&self) -> impl ExactSizeIterator<Item = (&str, ValueRef<'_>)> {
        self.index
            .entries
            .iter()
            .map(|entry| (entry.key.as_str(), self.value(entry)))
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<ValueRef<'_>> {
        self.index.entry(key).map(|entry| self.value(entry))
    }

    /// The value of a key as `T`; `None` when the file lacks the key.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidGguf`](crate::ErrorKind::InvalidGguf) when the value has another type.
    pub fn find<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<Option<T>> {
        self.get(key)
            .map(|value| value.read(key).map_err(|error| locate(error, &self.path)))
            .transpose()
    }

    /// The value of a key as `T`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidGguf`](crate::ErrorKind::InvalidGguf) when the file lacks the key or the
    /// value has another type.
    pub fn require<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<T> {
        self.find(key)?
            .ok_or_else(|| locate(invalid(format!("key {key} is missing")), &self.path))
    }

    /// All tensors, in the order of the file.
    #[must_use]
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.index.tensors
    }

    /// The tensor of this name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.index.tensor(name)
    }

    /// The data of one of this file's tensors, little endian, rows one after the other.
    ///
    /// A tensor of another file gives whatever lies in its place here, or nothing.
    #[must_use]
    pub fn tensor_data(&self, tensor: &TensorInfo) -> &[u8] {
        self.bytes
            .get(tensor.start..tensor.start + tensor.bytes)
            .unwrap_or_default()
    }

    /// All keys and where their values lie.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.index.entries
    }

    /// Adds this file's path to an error about it.
    pub(super) fn locate(&self, error: Error) -> Error {
        locate(error, &self.path)
    }

    fn value(&self, entry: &Entry) -> ValueRef<'_> {
        let bytes = &self.bytes[entry.value.clone()];
        match entry.ty {
            ValueType::String => ValueRef::String(bytes),
            ValueType::Array => ValueRef::Array(ArrayRef::new(entry.element, entry.len, bytes)),
            number => ValueRef::decode(number, bytes)
                .unwrap_or_else(|| unreachable!("the parser cuts numbers to their size")),
        }
    }
}

fn locate(error: Error, path: &Path) -> Error {
    if path.as_os_str().is_empty() {
        error
    } else {
        error.with_path(path)
    }
}

/// One key and where its value lies.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) ty: ValueType,
    /// Type and number of the elements of an array.
    pub(super) element: ValueType,
    pub(super) len: usize,
    /// The bytes of the number, of the string, or of all elements.
    pub(super) value: Range<usize>,
}

/// Name, shape, type and place of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    pub(super) name: String,
    pub(super) dims: [u64; MAX_DIMS],
    pub(super) n_dims: usize,
    pub(super) ty: TensorType,
    pub(super) offset: u64,
    pub(super) start: usize,
    pub(super) bytes: usize,
}

impl TensorInfo {
    /// The name, unique in its file, shorter than 64 bytes.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The dimensions as written, row length first (`ne[0]`), 0 to 4 of them.
    #[must_use]
    pub fn dims(&self) -> &[u64] {
        &self.dims[..self.n_dims]
    }

    /// All four dimensions, those not written being 1.
    #[must_use]
    pub fn shape(&self) -> [u64; 4] {
        self.dims
    }

    /// How the elements are stored.
    #[must_use]
    pub fn tensor_type(&self) -> TensorType {
        self.ty
    }

    /// The number of elements.
    #[must_use]
    pub fn elements(&self) -> u64 {
        // Checked when the file was opened, zero dimensions included.
        self.dims.iter().product()
    }

    /// The size of the data in bytes, without padding.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes
    }

    /// Where the data starts, in bytes from the start of the data section.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Where the data starts, in bytes from the start of the file.
    #[must_use]
    pub fn file_offset(&self) -> usize {
        self.start
    }
}
