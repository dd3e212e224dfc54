//! The format rules of GGUF: from bytes to an index of keys and tensors, or an error.
//!
//! At least as strict as upstream's own reader (`ggml/src/gguf.cpp`).

use super::cursor::{Cursor, invalid, quote};
use super::file::{Entry, TensorInfo};
use super::tensor_type::TensorType;
use super::value::ValueType;
use super::{DEFAULT_ALIGNMENT, KEY_ALIGNMENT, MAGIC, MAX_DIMS, MAX_NAME, VERSION};
use crate::error::Result;

/// Most keys or tensors a file can have: far beyond real files, and bounds what parsing allocates.
const MAX_COUNT: u64 = 1 << 20;
/// Longest key, as the GGUF specification says.
const MAX_KEY: usize = 65_535;
/// Longest string and longest array that upstream reads.
const MAX_LENGTH: u64 = 1 << 30;
/// Bytes that the shortest possible key with its value takes: length, one byte, type, one byte.
const MIN_ENTRY: u64 = 8 + 1 + 4 + 1;
/// Bytes that the shortest possible tensor info takes: length, dimensions, type, offset.
const MIN_TENSOR: u64 = 8 + 4 + 4 + 8;

/// What a file holds and where.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) version: u32,
    pub(super) alignment: u64,
    pub(super) data_offset: u64,
    pub(super) entries: Vec<Entry>,
    pub(super) tensors: Vec<TensorInfo>,
    /// Indices of `entries` sorted by key, and of `tensors` sorted by name.
    by_key: Vec<u32>,
    by_name: Vec<u32>,
}

impl Index {
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        let found = self
            .by_key
            .binary_search_by(|&index| self.entries[index as usize].key.as_str().cmp(key));
        found.ok().map(|at| &self.entries[self.by_key[at] as usize])
    }

    pub(super) fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        let found = self
            .by_name
            .binary_search_by(|&index| self.tensors[index as usize].name.as_str().cmp(name));
        found
            .ok()
            .map(|at| &self.tensors[self.by_name[at] as usize])
    }
}

/// Reads and checks the whole header.
pub(super) fn parse(bytes: &[u8]) -> Result<Index> {
    let mut cursor = Cursor::new(bytes);
    let version = read_version(&mut cursor)?;
    let n_tensors = read_count(&mut cursor, "tensors", MIN_TENSOR)?;
    let n_entries = read_count(&mut cursor, "keys", MIN_ENTRY)?;
    let mut entries = Vec::with_capacity(n_entries);
    for number in 0..n_entries {
        entries.push(read_entry(&mut cursor, bytes, number)?);
    }
    let by_key = sorted(&entries, |entry| &entry.key, "key")?;

    let alignment = find_alignment(&entries, bytes)?;
    let mut tensors = Vec::with_capacity(n_tensors);
    for number in 0..n_tensors {
        tensors.push(read_tensor(&mut cursor, bytes, number)?);
    }
    let by_name = sorted(&tensors, |tensor| &tensor.name, "tensor")?;

    let header = cursor.position() as u64;
    let data_offset = if tensors.is_empty() {
        header
    } else {
        header.next_multiple_of(alignment)
    };
    place_tensors(&mut tensors, data_offset, alignment, bytes.len() as u64)?;
    Ok(Index {
        version,
        alignment,
        data_offset,
        entries,
        tensors,
        by_key,
        by_name,
    })
}

fn read_version(cursor: &mut Cursor<'_>) -> Result<u32> {
    let magic: [u8; 4] = cursor.array("the magic bytes")?;
    if magic != MAGIC {
        return Err(invalid(format!(
            "this is no GGUF file: it starts with {}, not \"GGUF\"",
            quote(&magic)
        )));
    }
    match cursor.u32("the version")? {
        1 => Err(invalid(
            "GGUF version 1 is no longer supported; convert the model again",
        )),
        version @ 2..=VERSION => Ok(version),
        version if (1..=VERSION).contains(&version.swap_bytes()) => Err(invalid(
            "this is a big-endian GGUF file; only little-endian files are supported",
        )),
        version => Err(invalid(format!(
            "GGUF version {version} is not supported; versions 2 and {VERSION} are"
        ))),
    }
}

fn read_count(cursor: &mut Cursor<'_>, what: &str, min_bytes: u64) -> Result<usize> {
    let count = cursor.u64(&format!("the number of {what}"))?;
    if count > MAX_COUNT || count * min_bytes > cursor.remaining() as u64 {
        return Err(invalid(format!(
            "the header claims {count} {what}, more than {} bytes can hold or than {MAX_COUNT}",
            cursor.remaining()
        )));
    }
    Ok(count as usize)
}

fn read_entry(cursor: &mut Cursor<'_>, bytes: &[u8], number: usize) -> Result<Entry> {
    let what = format!("key {number}");
    let range = cursor.string(&what)?;
    if range.is_empty() || range.len() > MAX_KEY {
        return Err(invalid(format!(
            "{what} has {} bytes; 1 to {MAX_KEY} are possible",
            range.len()
        )));
    }
    let key = read_name(&bytes[range], &what)?;
    let what = format!("key {key}");
    let ty = read_type(cursor, &what)?;
    let (element, len, value) = match ty {
        ValueType::Array => read_array(cursor, &what)?,
        ValueType::String => {
            let range = cursor.string(&what)?;
            check_string_length(range.len() as u64, &what)?;
            (ty, 1, range)
        }
        number => {
            let size = number.fixed_bytes().unwrap_or_default() as u64;
            (ty, 1, cursor.skip(size, &what)?)
        }
    };
    Ok(Entry {
        key,
        ty,
        element,
        len,
        value,
    })
}

fn read_array(
    cursor: &mut Cursor<'_>,
    what: &str,
) -> Result<(ValueType, usize, std::ops::Range<usize>)> {
    let element = read_type(cursor, what)?;
    let len = cursor.u64(what)?;
    if len > MAX_LENGTH {
        return Err(invalid(format!(
            "{what} claims {len} elements; {MAX_LENGTH} are possible"
        )));
    }
    let range = match element {
        ValueType::Array => return Err(invalid(format!("{what} is an array of arrays"))),
        ValueType::String => {
            if len * 8 > cursor.remaining() as u64 {
                return Err(invalid(format!(
                    "{what} claims {len} strings, more than {} bytes can hold",
                    cursor.remaining()
                )));
            }
            let start = cursor.position();
            for _ in 0..len {
                let string = cursor.string(what)?;
                check_string_length(string.len() as u64, what)?;
            }
            start..cursor.position()
        }
        number => {
            let size = number.fixed_bytes().unwrap_or_default() as u64;
            cursor.skip(len * size, what)?
        }
    };
    Ok((element, len as usize, range))
}

fn check_string_length(length: u64, what: &str) -> Result<()> {
    if length > MAX_LENGTH {
        return Err(invalid(format!(
            "{what} has a string of {length} bytes; {MAX_LENGTH} are possible"
        )));
    }
    Ok(())
}

fn read_type(cursor: &mut Cursor<'_>, what: &str) -> Result<ValueType> {
    let id = cursor.u32(what)?;
    ValueType::from_u32(id).ok_or_else(|| invalid(format!("{what} has unknown value type {id}")))
}

/// Keys and tensor names: text that C code can treat as a NUL-terminated string.
fn read_name(bytes: &[u8], what: &str) -> Result<String> {
    match std::str::from_utf8(bytes) {
        Ok(name) if !name.contains('\0') => Ok(name.to_owned()),
        _ => Err(invalid(format!(
            "{what} is {}: not UTF-8, or with a NUL byte",
            quote(bytes)
        ))),
    }
}

fn find_alignment(entries: &[Entry], bytes: &[u8]) -> Result<u64> {
    let Some(entry) = entries.iter().find(|entry| entry.key == KEY_ALIGNMENT) else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    if entry.ty != ValueType::U32 {
        return Err(invalid(format!(
            "key {KEY_ALIGNMENT} has type {}, expected u32",
            entry.ty
        )));
    }
    let alignment = bytes[entry.value.clone()]
        .first_chunk()
        .map_or(0, |b| u32::from_le_bytes(*b));
    if !alignment.is_power_of_two() {
        return Err(invalid(format!(
            "{KEY_ALIGNMENT} is {alignment}, not a power of two"
        )));
    }
    Ok(alignment.into())
}

fn read_tensor(cursor: &mut Cursor<'_>, bytes: &[u8], number: usize) -> Result<TensorInfo> {
    let what = format!("the info of tensor {number}");
    let range = cursor.string(&what)?;
    if range.len() >= MAX_NAME {
        return Err(invalid(format!(
            "tensor {number} has a name of {} bytes; at most {} are possible",
            range.len(),
            MAX_NAME - 1
        )));
    }
    let name = read_name(&bytes[range], &format!("the name of tensor {number}"))?;
    let n_dims = cursor.u32(&what)?;
    if n_dims > MAX_DIMS as u32 {
        return Err(invalid(format!(
            "tensor {name} has {n_dims} dimensions; at most {MAX_DIMS} are possible"
        )));
    }
    let n_dims = n_dims as usize;
    let mut dims = [1; MAX_DIMS];
    for dim in &mut dims[..n_dims] {
        *dim = cursor.u64(&what)?;
    }
    let id = cursor.u32(&what)?;
    let ty = TensorType::from_u32(id)
        .ok_or_else(|| invalid(format!("tensor {name} has unknown or removed type {id}")))?;
    let size = ty
        .tensor_bytes(&dims)
        .and_then(|size| usize::try_from(size).ok());
    let size = size.ok_or_else(|| {
        invalid(format!(
            "tensor {name} of type {ty} has dimensions {:?}: too large, or no multiple of {} per row",
            &dims[..n_dims],
            ty.block_size()
        ))
    })?;
    let offset = cursor.u64(&what)?;
    Ok(TensorInfo {
        name,
        dims,
        n_dims,
        ty,
        offset,
        start: 0,
        bytes: size,
    })
}

/// Checks that the tensors follow each other without gaps, and that all lie inside the file.
fn place_tensors(
    tensors: &mut [TensorInfo],
    data_offset: u64,
    alignment: u64,
    file_len: u64,
) -> Result<()> {
    let mut expected = 0_u64;
    for tensor in tensors {
        if tensor.offset != expected {
            return Err(invalid(format!(
                "tensor {} has offset {}, expected {expected}",
                tensor.name, tensor.offset
            )));
        }
        // None of these sums can overflow: `expected` and `data_offset` are below 2 x 2^63 only
        // while the tensors before lie inside the file, and sizes are below 2^63.
        let start = data_offset + expected;
        let size = tensor.bytes as u64;
        if start.checked_add(size).is_none_or(|end| end > file_len) {
            return Err(invalid(format!(
                "the data of tensor {} ({size} bytes at byte {start}) ends after the file of {file_len} bytes",
                tensor.name
            )));
        }
        tensor.start = start as usize;
        expected += size.next_multiple_of(alignment);
    }
    Ok(())
}

/// Indices of the items sorted by name; two items of one name are an error.
fn sorted<T>(items: &[T], name: impl Fn(&T) -> &String, what: &str) -> Result<Vec<u32>> {
    let name = |index: u32| name(&items[index as usize]);
    let mut order: Vec<u32> = (0..items.len() as u32).collect();
    order.sort_unstable_by(|&a, &b| name(a).cmp(name(b)));
    match order.windows(2).find(|pair| name(pair[0]) == name(pair[1])) {
        Some(pair) => Err(invalid(format!(
            "{what} {} occurs twice",
            quote(name(pair[0]).as_bytes())
        ))),
        None => Ok(order),
    }
}
