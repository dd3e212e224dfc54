//! Makes one file of a split model.

use std::io::Write;

use super::file::Entry;
use super::split::check_shards;
use super::value::Encode;
use super::{File, MAGIC, VERSION, ValueType};
use crate::error::{Error, ErrorKind, Result};

/// Writes a split model, all files of it in their order, as one file into `out` and flushes it.
///
/// The result has the metadata of the first file without the keys that say how it was split, and all tensors in
/// the order of the files. No tensor is held in memory.
///
/// # Errors
/// [`ErrorKind::InvalidGguf`] when the files do not belong together or their alignments differ; [`ErrorKind::Io`] with
/// what `out` answers.
pub fn join_shards(files: &[File], mut out: impl Write) -> Result<()> {
    let Some(first) = files.first() else {
        return Err(Error::argument("a model has at least one file"));
    };
    if files.len() > 1 {
        check_shards(files)?;
    }
    if let Some(other) = files
        .iter()
        .find(|file| file.alignment() != first.alignment())
    {
        let message = format!(
            "tensors are aligned to {} bytes, those of the first file to {}",
            other.alignment(),
            first.alignment()
        );
        return Err(other.locate(Error::new(ErrorKind::InvalidGguf, message)));
    }
    let header = header(first, files);
    let mut write = || {
        out.write_all(&header)?;
        pad(&mut out, first, header.len())?;
        for file in files {
            for tensor in file.tensors() {
                out.write_all(file.tensor_data(tensor))?;
                pad(&mut out, first, tensor.byte_len())?;
            }
        }
        out.flush()
    };
    write().map_err(|error| Error::io("cannot write the joined model", first.path(), error))
}

fn header(first: &File, files: &[File]) -> Vec<u8> {
    let kept = |entry: &&Entry| {
        !["split.no", "split.count", "split.tensors.count"].contains(&entry.key.as_str())
    };
    let entries: Vec<&Entry> = first.entries().iter().filter(kept).collect();
    let tensors = || files.iter().flat_map(File::tensors);
    let mut out = MAGIC.to_vec();
    VERSION.encode(&mut out);
    (tensors().count() as u64).encode(&mut out);
    (entries.len() as u64).encode(&mut out);
    for entry in entries {
        entry.key.as_bytes().encode(&mut out);
        (entry.ty as u32).encode(&mut out);
        match entry.ty {
            ValueType::Array => {
                (entry.element as u32).encode(&mut out);
                (entry.len as u64).encode(&mut out);
            }
            ValueType::String => (entry.value.len() as u64).encode(&mut out),
            _ => {}
        }
        out.extend_from_slice(&first.bytes()[entry.value.clone()]);
    }
    let mut offset = 0_u64;
    for tensor in tensors() {
        tensor.name().as_bytes().encode(&mut out);
        (tensor.dims().len() as u32).encode(&mut out);
        tensor.dims().iter().for_each(|dim| dim.encode(&mut out));
        tensor.tensor_type().id().encode(&mut out);
        offset.encode(&mut out);
        offset += (tensor.byte_len() as u64).next_multiple_of(first.alignment());
    }
    out
}

fn pad(out: &mut impl Write, first: &File, written: usize) -> std::io::Result<()> {
    let written = written as u64;
    let missing = written.next_multiple_of(first.alignment()) - written;
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), missing), out)?;
    Ok(())
}
