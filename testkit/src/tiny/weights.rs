//! Seeded numbers for weights, and the encodings that a tiny model may keep them in.

use half::f16;
use llamakit::gguf::TensorType;

const BLOCK: usize = 32;

/// A small generator (SplitMix64) with a stream of its own per tensor name.
pub(super) struct Rng(u64);

impl Rng {
    /// The stream of this name, whatever else the model contains.
    pub(super) fn named(name: &str) -> Self {
        Self(hash(name.as_bytes()))
    }

    /// Uniform in -1..1.
    pub(super) fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Values for a tensor of unit variance times `scale`, from the stream `name`.
pub(super) fn random(name: &str, dims: &[u64], scale: f32) -> Vec<f32> {
    let mut rng = Rng::named(name);
    let count = dims.iter().product::<u64>();
    (0..count)
        .map(|_| rng.uniform() * 3_f32.sqrt() * scale)
        .collect()
}

/// FNV-1a, 64 bits: the same on every platform and in every release.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Little-endian bytes of `values` as `F32`.
pub(super) fn f32_bytes(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// The values of an `F32` tensor.
pub(super) fn f32_values(data: &[u8]) -> Vec<f32> {
    data.chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

/// Encodes whole rows as `ty`.
///
/// # Panics
/// For a type other than `F32`, `F16`, `Q8_0` and `Q4_0`.
pub(super) fn encode(values: &[f32], ty: TensorType) -> Vec<u8> {
    match ty {
        TensorType::F32 => f32_bytes(values.iter().copied()),
        TensorType::F16 => values
            .iter()
            .flat_map(|v| f16::from_f32(*v).to_le_bytes())
            .collect(),
        TensorType::Q8_0 => values.chunks_exact(BLOCK).flat_map(q8_0).collect(),
        TensorType::Q4_0 => values.chunks_exact(BLOCK).flat_map(q4_0).collect(),
        other => panic!("tiny models cannot be written as {other}"),
    }
}

/// A scale and 32 signed bytes.
fn q8_0(block: &[f32]) -> Vec<u8> {
    let largest = block.iter().fold(0.0_f32, |max, v| max.max(v.abs()));
    let scale = f16::from_f32(largest / 127.0);
    let inverse = inverse(scale);
    let mut out = scale.to_le_bytes().to_vec();
    out.extend(block.iter().map(|v| (v * inverse).round() as i8 as u8));
    out
}

/// A scale and 32 values of 4 bits with an offset of 8; byte `i` holds the values `i` and `i + 16`.
fn q4_0(block: &[f32]) -> Vec<u8> {
    let extreme = block
        .iter()
        .fold(0.0_f32, |max, v| if v.abs() > max.abs() { *v } else { max });
    let scale = f16::from_f32(extreme / -8.0);
    let inverse = inverse(scale);
    let code = |v: f32| ((v * inverse).round() + 8.0).clamp(0.0, 15.0) as u8;
    let (low, high) = block.split_at(BLOCK / 2);
    let mut out = scale.to_le_bytes().to_vec();
    out.extend(
        low.iter()
            .zip(high)
            .map(|(low, high)| code(*low) | code(*high) << 4),
    );
    out
}

fn inverse(scale: f16) -> f32 {
    if scale == f16::ZERO {
        0.0
    } else {
        1.0 / scale.to_f32()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(block: &[u8]) -> Vec<f32> {
        let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
        match block.len() {
            34 => block[2..]
                .iter()
                .map(|b| f32::from(*b as i8) * scale)
                .collect(),
            _ => {
                let value = |nibble: u8| (f32::from(nibble) - 8.0) * scale;
                let low = block[2..].iter().map(|b| value(b & 15));
                low.chain(block[2..].iter().map(|b| value(b >> 4)))
                    .collect()
            }
        }
    }

    #[test]
    fn quantised_values_are_within_half_a_step() {
        let mut rng = Rng::named("values");
        let values: Vec<f32> = (0..BLOCK).map(|_| rng.uniform()).collect();
        for (ty, bound) in [
            (TensorType::Q8_0, 0.5 / 127.0),
            (TensorType::Q4_0, 1.0 / 8.0),
        ] {
            let decoded = decode(&encode(&values, ty));
            for (value, decoded) in values.iter().zip(&decoded) {
                assert!(
                    (value - decoded).abs() <= bound * 1.01,
                    "{ty}: {value} became {decoded}"
                );
            }
        }
        assert_eq!(
            decode(&encode(&[0.0; BLOCK], TensorType::Q4_0)),
            [0.0; BLOCK]
        );
    }

    #[test]
    fn the_largest_value_of_a_q4_0_block_is_kept_whatever_its_sign() {
        for extreme in [2.0, -2.0] {
            let mut values = [0.5; BLOCK];
            values[20] = extreme;
            assert_eq!(decode(&encode(&values, TensorType::Q4_0))[20], extreme);
        }
    }

    #[test]
    fn numbers_depend_on_the_name_alone_and_fill_the_range() {
        let draw = |name| {
            let mut rng = Rng::named(name);
            (0..1000).map(|_| rng.uniform()).collect::<Vec<_>>()
        };
        assert_eq!(draw("a"), draw("a"));
        assert_ne!(draw("a"), draw("b"));
        let values = draw("a");
        assert!(values.iter().all(|v| (-1.0..1.0).contains(v)));
        assert!(values.iter().any(|v| *v < -0.9) && values.iter().any(|v| *v > 0.9));
    }
}
