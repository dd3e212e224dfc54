//! Writes GGUF files: version 3, little endian, tensors in the order they were added.

use std::collections::HashSet;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::value::Encode;
use super::{
    DEFAULT_ALIGNMENT, KEY_ALIGNMENT, MAGIC, MAX_DIMS, MAX_NAME, TensorType, VERSION, Value,
};
use crate::atomic_file;
use crate::error::{Error, Result};

/// Collects metadata and tensors and writes them as one GGUF file.
///
/// ```
/// # fn main() -> llamakit::Result<()> {
/// use llamakit::gguf::{TensorType, Writer};
///
/// let mut writer = Writer::new();
/// writer.set("general.architecture", "llama")?.set("llama.block_count", 1_u32)?;
/// writer.tensor("output_norm.weight", &[2], TensorType::F32, vec![0; 8])?;
/// assert_eq!(&writer.to_bytes()[..4], b"GGUF");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Writer {
    metadata: Vec<(String, Value)>,
    tensors: Vec<Tensor>,
    names: HashSet<String>,
    alignment: u64,
}

#[derive(Debug, Clone)]
struct Tensor {
    name: String,
    dims: Vec<u64>,
    ty: TensorType,
    data: Vec<u8>,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// A file without metadata and tensors.
    #[must_use]
    pub fn new() -> Self {
        Self {
            metadata: Vec::new(),
            tensors: Vec::new(),
            names: HashSet::new(),
            alignment: DEFAULT_ALIGNMENT,
        }
    }

    /// Sets a metadata key; setting it again replaces the value in its place.
    ///
    /// `general.alignment` also sets the alignment of the tensor data (32 bytes unless set).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for an empty key, a key with a NUL byte, and a
    /// `general.alignment` that is not a `u32` power of two.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<Value>) -> Result<&mut Self> {
        let (key, value) = (key.into(), value.into());
        if key.is_empty() || key.contains('\0') {
            return Err(Error::argument(format!(
                "metadata key {key:?} is empty or has a NUL byte"
            )));
        }
        if key == KEY_ALIGNMENT {
            match value {
                Value::U32(alignment) if alignment.is_power_of_two() => {
                    self.alignment = u64::from(alignment);
                }
                _ => {
                    return Err(Error::argument(format!(
                        "{KEY_ALIGNMENT} must be a u32 power of two, not {value:?}"
                    )));
                }
            }
        }
        match self.metadata.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.metadata.push((key, value)),
        }
        Ok(self)
    }

    /// Adds a tensor.
    ///
    /// `dims` has the row length first (`ne[0]`) and at most 4 entries; `data` holds the elements in
    /// that order, little endian, with exactly [`TensorType::tensor_bytes`] bytes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for a name that is empty, has a NUL byte, is longer than 63
    /// bytes or taken; for more than 4 dimensions; for a row length that is no multiple of the
    /// type's block; and for data of another length.
    pub fn tensor(
        &mut self,
        name: impl Into<String>,
        dims: &[u64],
        ty: TensorType,
        data: Vec<u8>,
    ) -> Result<&mut Self> {
        let name = name.into();
        if name.is_empty() || name.contains('\0') || name.len() >= MAX_NAME {
            return Err(Error::argument(format!(
                "tensor name {name:?} must have 1 to {} bytes and no NUL",
                MAX_NAME - 1
            )));
        }
        if dims.len() > MAX_DIMS {
            return Err(Error::argument(format!(
                "tensor {name:?} has {} dimensions; at most {MAX_DIMS} are possible",
                dims.len()
            )));
        }
        let Some(bytes) = ty.tensor_bytes(dims) else {
            return Err(Error::argument(format!(
                "tensor {name:?} of type {ty}: dimensions {dims:?} overflow or do not fill blocks of {}",
                ty.block_size()
            )));
        };
        if bytes != data.len() as u64 {
            return Err(Error::argument(format!(
                "tensor {name:?} of type {ty} with dimensions {dims:?} needs {bytes} bytes, got {}",
                data.len()
            )));
        }
        if !self.names.insert(name.clone()) {
            return Err(Error::argument(format!("tensor {name:?} was added before")));
        }
        self.tensors.push(Tensor {
            name,
            dims: dims.to_vec(),
            ty,
            data,
        });
        Ok(self)
    }

    /// Writes the file into `out` and flushes it.
    ///
    /// # Errors
    /// Whatever `out` answers.
    pub fn write_to(&self, mut out: impl Write) -> io::Result<()> {
        let header = self.header();
        out.write_all(&header)?;
        self.pad(&mut out, header.len())?;
        for tensor in &self.tensors {
            out.write_all(&tensor.data)?;
            self.pad(&mut out, tensor.data.len())?;
        }
        out.flush()
    }

    /// Writes the file to `path`, whole or not at all.
    ///
    /// The bytes go to a new file beside `path`, which is then renamed over it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when creating, writing or renaming fails; `path` is then unchanged.
    pub fn write_file(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        atomic_file::write(path, false, |file| self.write_to(BufWriter::new(file)))
            .map_err(|source| Error::io("cannot write the GGUF file", path, source))
    }

    /// The whole file in memory.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes)
            .unwrap_or_else(|_| unreachable!("writing to memory cannot fail"));
        bytes
    }

    fn header(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        VERSION.encode(&mut out);
        (self.tensors.len() as u64).encode(&mut out);
        (self.metadata.len() as u64).encode(&mut out);
        for (key, value) in &self.metadata {
            key.as_bytes().encode(&mut out);
            (value.value_type() as u32).encode(&mut out);
            value.encode(&mut out);
        }
        let mut offset = 0_u64;
        for tensor in &self.tensors {
            tensor.name.as_bytes().encode(&mut out);
            (tensor.dims.len() as u32).encode(&mut out);
            tensor.dims.iter().for_each(|dim| dim.encode(&mut out));
            tensor.ty.id().encode(&mut out);
            offset.encode(&mut out);
            offset += (tensor.data.len() as u64).next_multiple_of(self.alignment);
        }
        out
    }

    fn pad(&self, out: &mut impl Write, written: usize) -> io::Result<()> {
        let written = written as u64;
        let missing = written.next_multiple_of(self.alignment) - written;
        io::copy(&mut io::Read::take(io::repeat(0), missing), out)?;
        Ok(())
    }
}
