//! Damaged variants of a valid GGUF file, always the same for the same file and seed: first edits
//! of single values that leave the format whole, then edits of single fields, then changed bytes.

mod edits;
mod fields;

use edits::Edit;
use fields::Field;

/// All systematic edits of a valid file, then random ones without end; take as many as needed.
///
/// Each item is a description that names the edit and the bytes of the damaged file. Systematic
/// edits come in a shuffled order that `seed` decides, so that any number taken from the front
/// covers keys, tensors and header alike.
///
/// # Panics
/// When `original` is not a valid GGUF file.
pub fn mutations(original: &[u8], seed: u64) -> impl Iterator<Item = (String, Vec<u8>)> {
    let mut random = Random::new(seed);
    let (source, whole) = edits::all(original);
    let fields = fields::all(original);
    let mut systematic: Vec<Mutation> = whole.into_iter().map(Mutation::Edit).collect();
    for (index, field) in fields.iter().enumerate() {
        let values = field.interesting(original);
        systematic.extend(
            values
                .into_iter()
                .map(|value| Mutation::Field(index, value)),
        );
    }
    random.shuffle(&mut systematic);
    let systematic = systematic.into_iter();
    let original = original.to_vec();
    let endless = std::iter::repeat_with(move || Mutation::Bytes(random.next()));
    systematic
        .chain(endless)
        .filter_map(move |mutation| match mutation {
            // Some edits cannot be written, such as an alignment of zero: fields cover those.
            Mutation::Edit(edit) => source.apply(&edit).map(|bytes| (edit.to_string(), bytes)),
            Mutation::Field(index, value) => {
                let Field { what, range } = &fields[index];
                let mut bytes = original.clone();
                bytes[range.clone()].copy_from_slice(&value);
                Some((format!("bytes of {what} set to {value:02x?}"), bytes))
            }
            Mutation::Bytes(seed) => Some(change_bytes(&original, &fields, seed)),
        })
}

enum Mutation {
    Edit(Edit),
    Field(usize, Vec<u8>),
    Bytes(u64),
}

/// One to four bytes changed, three times out of four within the header.
fn change_bytes(original: &[u8], fields: &[Field], seed: u64) -> (String, Vec<u8>) {
    let mut random = Random::new(seed);
    let header = fields
        .last()
        .map_or(original.len(), |field| field.range.end);
    let mut bytes = original.to_vec();
    let mut what = String::from("changed bytes:");
    for _ in 0..=random.below(4) {
        let limit = if random.below(4) == 0 {
            bytes.len()
        } else {
            header
        };
        let at = random.below(limit);
        let value = match random.below(3) {
            0 => bytes[at] ^ 1 << random.below(8),
            1 => bytes[at].wrapping_add(1),
            _ => random.next() as u8,
        };
        what.push_str(&format!(" {at}: {:02x} to {value:02x}", bytes[at]));
        bytes[at] = value;
    }
    (what, bytes)
}

/// A xorshift generator: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        // Spread small seeds; the state must not be zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 16) as usize % limit.max(1)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
    }
}
