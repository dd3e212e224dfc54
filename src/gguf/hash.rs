//! A quick hash for sets of file-given texts, seeded so that no file can aim for collisions.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Makes hashers that share one random seed.
#[derive(Clone, Copy)]
pub(super) struct SeededState {
    seed: u64,
    multiplier: u64,
}

impl SeededState {
    pub(super) fn new() -> Self {
        let random = RandomState::new();
        Self {
            seed: random.hash_one(0_u8),
            multiplier: random.hash_one(1_u8) | 1,
        }
    }
}

impl BuildHasher for SeededState {
    type Hasher = SeededHasher;

    fn build_hasher(&self) -> SeededHasher {
        SeededHasher {
            state: self.seed,
            multiplier: self.multiplier,
        }
    }
}

/// Folds eight bytes at a time by a full 128-bit multiplication, as wyhash does.
pub(super) struct SeededHasher {
    state: u64,
    multiplier: u64,
}

impl SeededHasher {
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.multiplier);
        self.state = (product as u64) ^ ((product >> 64) as u64).wrapping_add(self.multiplier);
    }
}

impl Hasher for SeededHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.fold(u64::from_le_bytes(*word));
        }
        // The length is hashed as well, so that this loses nothing of texts of the same length.
        self.fold(match *rest {
            [] => 0,
            [first, .., last] if rest.len() < 4 => {
                u64::from_le_bytes([first, rest[rest.len() / 2], last, 0, 0, 0, 0, 0])
            }
            [only] => only.into(),
            _ => {
                let [first, last] = [rest.first_chunk(), rest.last_chunk()]
                    .map(|half| half.map_or(0, |half| u32::from_le_bytes(*half)));
                u64::from(first) << 32 | u64::from(last)
            }
        });
    }

    fn write_usize(&mut self, length: usize) {
        self.fold(length as u64);
    }

    fn finish(&self) -> u64 {
        // One more round: all bits of the last word must reach all bits of the result.
        let product = u128::from(self.state) * u128::from(self.multiplier);
        (product as u64) ^ ((product >> 64) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_little_have_different_hashes() {
        let state = SeededState::new();
        let mut texts: Vec<Vec<u8>> = (0..40).map(|length| vec![0; length]).collect();
        for at in 0..24 {
            for bit in 0..8 {
                let mut text = [b'x'; 24];
                text[at] ^= 1 << bit;
                texts.extend((at + 1..=24).map(|length| text[..length].to_vec()));
            }
        }
        texts.extend((0..=255).flat_map(|a| (0..=255).map(move |b| vec![a, b])));
        texts.sort();
        texts.dedup();
        let mut hashes: Vec<u64> = texts
            .iter()
            .map(|text| state.hash_one(text.as_slice()))
            .collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), texts.len());
        let low: std::collections::HashSet<u64> = hashes.iter().map(|hash| hash & 0xffff).collect();
        assert!(low.len() > 30_000, "{} of 65,536 slots used", low.len());
    }
}
