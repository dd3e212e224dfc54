//! The K types: 256 elements in groups whose scales are themselves quantised.

use super::blocks::scaled_bytes;
use super::{half_at, u32_at};

/// 16 groups of 16; each byte of `scales` has a scale below and a minimum above.
pub(super) fn q2_k(block: &[u8; 84], out: &mut [f32; 256]) {
    let (scales, quants) = (&block[..16], &block[16..80]);
    let (d, min) = (half_at(block, 80), half_at(block, 82));
    for (group, out) in out.chunks_exact_mut(16).enumerate() {
        let scale = d * f32::from(scales[group] & 0xf);
        let offset = min * f32::from(scales[group] >> 4);
        let (at, shift) = two_bit_place(group);
        for (out, q) in out.iter_mut().zip(&quants[at..]) {
            *out = scale * f32::from(q >> shift & 3) - offset;
        }
    }
}

/// 16 groups of 16 with signed 6-bit scales; the mask holds the third bit of each element.
pub(super) fn q3_k(block: &[u8; 110], out: &mut [f32; 256]) {
    let (mask, quants, packed) = (&block[..32], &block[32..96], &block[96..108]);
    let d = half_at(block, 108);
    for (group, out) in out.chunks_exact_mut(16).enumerate() {
        let low = packed[group % 8] >> (4 * (group / 8)) & 0xf;
        let high = packed[8 + group % 4] >> (2 * (group / 4)) & 3;
        let scale = d * (f32::from(low | high << 4) - 32.0);
        let (at, shift) = two_bit_place(group);
        let bit = group / 2;
        for ((out, q), high) in out
            .iter_mut()
            .zip(&quants[at..])
            .zip(&mask[16 * (group % 2)..])
        {
            let below = if high >> bit & 1 == 1 { 0.0 } else { 4.0 };
            *out = scale * (f32::from(q >> shift & 3) - below);
        }
    }
}

/// Where the 2-bit elements of a group of 16 start, and how far up in their bytes they lie.
fn two_bit_place(group: usize) -> (usize, usize) {
    (32 * (group / 8) + 16 * (group % 2), 2 * (group / 2 % 4))
}

/// 8 groups of 32.
pub(super) fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (d, min, scales) = (half_at(block, 0), half_at(block, 2), &block[4..16]);
    for (group, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, offset) = scale_and_min(group, scales);
        let (scale, offset) = (d * scale, min * offset);
        let (quants, shift) = (&block[16 + 32 * (group / 2)..], 4 * (group % 2));
        for (out, q) in out.iter_mut().zip(quants) {
            *out = scale * f32::from(q >> shift & 0xf) - offset;
        }
    }
}

/// 8 groups of 32; bit `group` of each byte of `high` is the fifth bit.
pub(super) fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let (d, min, scales) = (half_at(block, 0), half_at(block, 2), &block[4..16]);
    let high = &block[16..48];
    for (group, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, offset) = scale_and_min(group, scales);
        let (scale, offset) = (d * scale, min * offset);
        let (quants, shift) = (&block[48 + 32 * (group / 2)..], 4 * (group % 2));
        for ((out, q), high) in out.iter_mut().zip(quants).zip(high) {
            let fifth = (high >> group & 1) << 4;
            *out = scale * f32::from(q >> shift & 0xf | fifth) - offset;
        }
    }
}

/// The 6-bit scale and minimum of a group, packed by fours in 12 bytes.
fn scale_and_min(group: usize, packed: &[u8]) -> (f32, f32) {
    let (scale, min) = if group < 4 {
        (packed[group] & 63, packed[group + 4] & 63)
    } else {
        (
            packed[group + 4] & 0xf | packed[group - 4] >> 6 << 4,
            packed[group + 4] >> 4 | packed[group] >> 6 << 4,
        )
    };
    (scale.into(), min.into())
}

/// 16 groups of 16 with signed 8-bit scales.
pub(super) fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let d = half_at(block, 208);
    for (j, out) in out.iter_mut().enumerate() {
        let (half, quarter, column) = (j / 128, j % 128 / 32, j % 32);
        let nibble = low[64 * half + 32 * (quarter % 2) + column] >> (4 * (quarter / 2)) & 0xf;
        let top = high[32 * half + column] >> (2 * quarter) & 3;
        let scale = f32::from(scales[j / 16].cast_signed());
        *out = d * scale * (f32::from(nibble | top << 4) - 32.0);
    }
}

/// One float scale; the sums after the elements serve dot products only.
pub(super) fn q8_k(block: &[u8; 292], out: &mut [f32; 256]) {
    scaled_bytes(f32::from_bits(u32_at(block, 0)), &block[4..260], out);
}
