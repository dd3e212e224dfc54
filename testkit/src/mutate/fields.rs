//! Where the single fields of a GGUF file lie, and what is worth writing into them.

use std::ops::Range;

use llamakit::gguf::ValueType;

/// One field of the header: a count, length, type, value, dimension or offset.
pub(super) struct Field {
    pub(super) what: String,
    pub(super) range: Range<usize>,
}

impl Field {
    /// Other contents of the same length: limits of integers and floats, and near neighbours.
    pub(super) fn interesting(&self, original: &[u8]) -> Vec<Vec<u8>> {
        let old = &original[self.range.clone()];
        let mut values: Vec<Vec<u8>> = match *old {
            [old] => [0, 1, 0x7f, 0x80, 0xff, old ^ 0x20]
                .into_iter()
                .map(|byte| vec![byte])
                .collect(),
            [a, b] => {
                let old = u16::from_le_bytes([a, b]);
                let numbers = [0, 1, 2, 0x7fff, 0x8000, 0xffff, old.wrapping_add(1)];
                numbers
                    .into_iter()
                    .map(|number| number.to_le_bytes().to_vec())
                    .collect()
            }
            [a, b, c, d] => {
                let old = u32::from_le_bytes([a, b, c, d]);
                // Small numbers are all value types and tensor types as well.
                let floats = [-1.0, 1e-30, f32::NAN, f32::INFINITY, f32::MAX].map(f32::to_bits);
                let limits = [0xffff, 0x10000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
                let near = [
                    old.wrapping_add(1),
                    old.wrapping_sub(1),
                    old.wrapping_mul(2),
                    old / 2,
                ];
                let numbers = (0..44).chain(floats).chain(limits).chain(near);
                numbers
                    .map(|number| number.to_le_bytes().to_vec())
                    .collect()
            }
            _ => {
                let mut word = [0; 8];
                word[..old.len().min(8)].copy_from_slice(&old[..old.len().min(8)]);
                let old = u64::from_le_bytes(word);
                let limits = [0, 1, 2, 31, 1 << 20, 1 << 31, 1 << 32, 1 << 42 | 1, 1 << 61];
                let more = [i64::MAX as u64, 1 << 63, u64::MAX - 31, u64::MAX];
                let near = [
                    old.wrapping_add(1),
                    old.wrapping_sub(1),
                    old.wrapping_mul(2),
                    old / 2,
                ];
                let numbers = limits.into_iter().chain(more).chain(near);
                numbers
                    .map(|number| number.to_le_bytes().to_vec())
                    .collect()
            }
        };
        values.sort();
        values.dedup();
        values.retain(|value| value != old);
        values
    }
}

/// All fields of a valid file in their order.
pub(super) fn all(bytes: &[u8]) -> Vec<Field> {
    let mut walk = Walk {
        bytes,
        at: 4,
        fields: Vec::new(),
    };
    walk.field(4, "the version");
    let n_tensors = walk.u64("the number of tensors");
    let n_keys = walk.u64("the number of keys");
    for _ in 0..n_keys {
        let key = walk.string("a key");
        let ty = walk.u32(&format!("the type of {key}"));
        walk.value(&key, ValueType::from_u32(ty).expect("a known value type"));
    }
    for _ in 0..n_tensors {
        let name = walk.string("a tensor name");
        let n_dims = walk.u32(&format!("the number of dimensions of {name}"));
        for dim in 0..n_dims {
            walk.u64(&format!("dimension {dim} of {name}"));
        }
        walk.u32(&format!("the type of tensor {name}"));
        walk.u64(&format!("the offset of {name}"));
    }
    walk.fields
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    fields: Vec<Field>,
}

impl<'a> Walk<'a> {
    fn field(&mut self, length: usize, what: &str) -> &'a [u8] {
        let range = self.at..self.at + length;
        self.at = range.end;
        self.fields.push(Field {
            what: what.to_owned(),
            range: range.clone(),
        });
        &self.bytes[range]
    }

    fn u32(&mut self, what: &str) -> u32 {
        u32::from_le_bytes(self.field(4, what).try_into().expect("4 bytes"))
    }

    fn u64(&mut self, what: &str) -> u64 {
        u64::from_le_bytes(self.field(8, what).try_into().expect("8 bytes"))
    }

    /// The length, and the first byte of the text.
    fn string(&mut self, what: &str) -> String {
        let length = self.u64(&format!("the length of {what}")) as usize;
        let text = &self.bytes[self.at..self.at + length];
        if length > 0 {
            self.field(1, &format!("the first byte of {what}"));
            self.at += length - 1;
        }
        String::from_utf8_lossy(text).into_owned()
    }

    fn value(&mut self, key: &str, ty: ValueType) {
        match ty {
            ValueType::String => {
                self.string(&format!("the text of {key}"));
            }
            ValueType::Array => {
                let element = self.u32(&format!("the element type of {key}"));
                let length = self.u64(&format!("the length of array {key}"));
                let element = ValueType::from_u32(element).expect("a known element type");
                self.elements(key, element, length);
            }
            number => {
                let size = number.fixed_bytes().expect("a number");
                self.field(size, &format!("the value of {key}"));
            }
        }
    }

    /// The first elements are fields; the rest of a vocabulary adds nothing new.
    fn elements(&mut self, key: &str, element: ValueType, length: u64) {
        const FIELDS: u64 = 4;
        for index in 0..length {
            let known = self.fields.len();
            self.value(&format!("{key}[{index}]"), element);
            if index >= FIELDS {
                self.fields.truncate(known);
            }
        }
    }
}
