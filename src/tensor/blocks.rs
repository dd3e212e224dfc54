//! Blocks with one scale for a few elements: Q4_0 and its kin, ternary and 4-bit float types.

use super::{half_at, u32_at};

pub(super) fn q1_0(block: &[u8; 18], out: &mut [f32; 128]) {
    let d = half_at(block, 0);
    for (j, out) in out.iter_mut().enumerate() {
        let positive = block[2 + j / 8] >> (j % 8) & 1 == 1;
        *out = if positive { d } else { -d };
    }
}

pub(super) fn q2_0(block: &[u8; 18], out: &mut [f32; 64]) {
    let d = half_at(block, 0);
    for (j, out) in out.iter_mut().enumerate() {
        let q = block[2 + j / 4] >> (2 * (j % 4)) & 3;
        *out = (f32::from(q) - 1.0) * d;
    }
}

pub(super) fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    for (j, q) in block[2..].iter().enumerate() {
        out[j] = (f32::from(q & 0xf) - 8.0) * d;
        out[j + 16] = (f32::from(q >> 4) - 8.0) * d;
    }
}

pub(super) fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (d, min) = (half_at(block, 0), half_at(block, 2));
    for (j, q) in block[4..].iter().enumerate() {
        out[j] = f32::from(q & 0xf) * d + min;
        out[j + 16] = f32::from(q >> 4) * d + min;
    }
}

pub(super) fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let (d, high) = (half_at(block, 0), u32_at(block, 2));
    for (j, q) in block[6..].iter().enumerate() {
        out[j] = (f32::from(q & 0xf | fifth_bit(high, j)) - 16.0) * d;
        out[j + 16] = (f32::from(q >> 4 | fifth_bit(high, j + 16)) - 16.0) * d;
    }
}

pub(super) fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (d, min, high) = (half_at(block, 0), half_at(block, 2), u32_at(block, 4));
    for (j, q) in block[8..].iter().enumerate() {
        out[j] = f32::from(q & 0xf | fifth_bit(high, j)) * d + min;
        out[j + 16] = f32::from(q >> 4 | fifth_bit(high, j + 16)) * d + min;
    }
}

fn fifth_bit(high: u32, element: usize) -> u8 {
    ((high >> element & 1) as u8) << 4
}

pub(super) fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    scaled_bytes(half_at(block, 0), &block[2..], out);
}

/// Upstream stores the sum of the elements between the scale and the elements.
pub(super) fn q8_1(block: &[u8; 36], out: &mut [f32; 32]) {
    scaled_bytes(half_at(block, 0), &block[4..], out);
}

pub(super) fn scaled_bytes(d: f32, bytes: &[u8], out: &mut [f32]) {
    for (out, q) in out.iter_mut().zip(bytes) {
        *out = f32::from(q.cast_signed()) * d;
    }
}

/// Five ternary digits per byte in runs of 32 and 16 bytes, then four per byte in the last 4.
pub(super) fn tq1_0(block: &[u8; 54], out: &mut [f32; 256]) {
    const POWERS: [u8; 5] = [1, 3, 9, 27, 81];
    let d = half_at(block, 52);
    let mut out = out.iter_mut();
    for (bytes, digits) in [(&block[..32], 5), (&block[32..48], 5), (&block[48..52], 4)] {
        for power in &POWERS[..digits] {
            // The bytes come last: `zip` would take one more output when they run out.
            for (byte, out) in bytes.iter().zip(&mut out) {
                let shifted = byte.wrapping_mul(*power);
                let digit = (u16::from(shifted) * 3) >> 8;
                *out = (f32::from(digit) - 1.0) * d;
            }
        }
    }
}

pub(super) fn tq2_0(block: &[u8; 66], out: &mut [f32; 256]) {
    let d = half_at(block, 64);
    for (half, out) in out.chunks_exact_mut(128).enumerate() {
        for (j, out) in out.iter_mut().enumerate() {
            let q = block[32 * half + j % 32] >> (2 * (j / 32)) & 3;
            *out = (f32::from(q) - 1.0) * d;
        }
    }
}

/// The values of a 4-bit float with 2 exponent bits and 1 mantissa bit, doubled.
const FP4: [f32; 16] = [
    0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 0.0, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0,
];

pub(super) fn mxfp4(block: &[u8; 17], out: &mut [f32; 32]) {
    fp4(half_of_e8m0(block[0]), &block[1..], out);
}

pub(super) fn nvfp4(block: &[u8; 36], out: &mut [f32; 64]) {
    for (part, out) in out.chunks_exact_mut(16).enumerate() {
        fp4(
            half_of_ue4m3(block[part]),
            &block[4 + 8 * part..12 + 8 * part],
            out,
        );
    }
}

/// Low halves of the bytes first, then high halves.
fn fp4(d: f32, bytes: &[u8], out: &mut [f32]) {
    let (low, high) = out.split_at_mut(bytes.len());
    for ((q, low), high) in bytes.iter().zip(low).zip(high) {
        *low = FP4[usize::from(q & 0xf)] * d;
        *high = FP4[usize::from(q >> 4)] * d;
    }
}

/// Half of 2^(x - 127), subnormal for the two smallest.
fn half_of_e8m0(x: u8) -> f32 {
    f32::from_bits(if x < 2 {
        0x0020_0000 << x
    } else {
        u32::from(x - 1) << 23
    })
}

/// Half of an unsigned float with 4 exponent bits (bias 7) and 3 mantissa bits; NaN counts as 0.
fn half_of_ue4m3(x: u8) -> f32 {
    if x == 0x7f {
        return 0.0;
    }
    let (exponent, mantissa) = (i32::from(x >> 3 & 0xf), f32::from(x & 7));
    let value = if exponent == 0 {
        mantissa * 2_f32.powi(-9)
    } else {
        (1.0 + mantissa / 8.0) * 2_f32.powi(exponent - 7)
    };
    value * 0.5
}
