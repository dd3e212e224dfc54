//! The IQ types: elements are indices into codebooks, with signs and scales beside them.

use super::grids::{IQ1, IQ2_S, IQ2_XS, IQ2_XXS, IQ3_S, IQ3_XXS};
use super::{half_at, u16_at, u32_at};

/// The levels of IQ4_NL and IQ4_XS.
const IQ4: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0,
    89.0, 113.0,
];

pub(super) fn iq4_nl(block: &[u8; 18], out: &mut [f32; 32]) {
    iq4(half_at(block, 0), &block[2..], out);
}

/// 8 groups of 32 with 6-bit scales, whose low and high bits are apart.
pub(super) fn iq4_xs(block: &[u8; 136], out: &mut [f32; 256]) {
    let (d, high) = (half_at(block, 0), u16_at(block, 2));
    for (group, out) in out.chunks_exact_mut(32).enumerate() {
        let low = block[4 + group / 2] >> (4 * (group % 2)) & 0xf;
        let scale = low | ((high >> (2 * group) & 3) as u8) << 4;
        iq4(
            d * (f32::from(scale) - 32.0),
            &block[8 + 16 * group..24 + 16 * group],
            out,
        );
    }
}

fn iq4(d: f32, bytes: &[u8], out: &mut [f32]) {
    let (low, high) = out.split_at_mut(16);
    for ((q, low), high) in bytes.iter().zip(low).zip(high) {
        *low = d * IQ4[usize::from(q & 0xf)];
        *high = d * IQ4[usize::from(q >> 4)];
    }
}

/// 8 groups of 32: four codewords, four times seven signs, and a scale in the top bits.
pub(super) fn iq2_xxs(block: &[u8; 66], out: &mut [f32; 256]) {
    let d = half_at(block, 0);
    for (group, out) in out.chunks_exact_mut(32).enumerate() {
        let at = 2 + 8 * group;
        let rest = u32_at(block, at + 4);
        let scale = d * (0.5 + (rest >> 28) as f32) * 0.25;
        for (l, out) in out.chunks_exact_mut(8).enumerate() {
            signed(
                scale,
                &IQ2_XXS[usize::from(block[at + l])],
                seven_signs(rest >> (7 * l)),
                out,
            );
        }
    }
}

pub(super) fn iq2_xs(block: &[u8; 74], out: &mut [f32; 256]) {
    let d = half_at(block, 0);
    for (l, out) in out.chunks_exact_mut(8).enumerate() {
        let q = u16_at(block, 2 + 2 * l);
        let scale = quarter_scale(d, block[66 + l / 4], l);
        signed(
            scale,
            &IQ2_XS[usize::from(q & 511)],
            seven_signs(u32::from(q >> 9)),
            out,
        );
    }
}

pub(super) fn iq2_s(block: &[u8; 82], out: &mut [f32; 256]) {
    let d = half_at(block, 0);
    for (l, out) in out.chunks_exact_mut(8).enumerate() {
        let high = block[66 + l / 4] >> (2 * (l % 4)) & 3;
        let index = usize::from(block[2 + l]) | usize::from(high) << 8;
        let scale = quarter_scale(d, block[74 + l / 4], l);
        signed(scale, &IQ2_S[index], block[34 + l], out);
    }
}

/// The scale of the eighth `l`: two eighths share the low half of the byte, two the high one.
fn quarter_scale(d: f32, scales: u8, l: usize) -> f32 {
    d * (0.5 + f32::from(scales >> (4 * (l % 4 / 2)) & 0xf)) * 0.25
}

pub(super) fn iq3_xxs(block: &[u8; 98], out: &mut [f32; 256]) {
    let d = half_at(block, 0);
    for (l, out) in out.chunks_exact_mut(8).enumerate() {
        let rest = u32_at(block, 66 + 4 * (l / 4));
        let scale = d * (0.5 + (rest >> 28) as f32) * 0.5;
        let signs = seven_signs(rest >> (7 * (l % 4)));
        let [first, second] = [0, 1].map(|half| &IQ3_XXS[usize::from(block[2 + 2 * l + half])]);
        signed(scale, first, signs, &mut out[..4]);
        signed(scale, second, signs >> 4, &mut out[4..]);
    }
}

pub(super) fn iq3_s(block: &[u8; 110], out: &mut [f32; 256]) {
    let d = half_at(block, 0);
    for (l, out) in out.chunks_exact_mut(8).enumerate() {
        let group = l / 4;
        let scale = block[106 + group / 2] >> (4 * (group % 2)) & 0xf;
        let scale = d * (1.0 + 2.0 * f32::from(scale));
        let high = block[66 + group] >> (2 * (l % 4));
        let [first, second] = [0, 1].map(|half| {
            let bit = usize::from(high >> half & 1) << 8;
            &IQ3_S[usize::from(block[2 + 2 * l + half]) | bit]
        });
        let signs = block[74 + l];
        signed(scale, first, signs, &mut out[..4]);
        signed(scale, second, signs >> 4, &mut out[4..]);
    }
}

/// What IQ1 types add to or take from the elements of a codeword.
const DELTA: f32 = 0.125;

pub(super) fn iq1_s(block: &[u8; 50], out: &mut [f32; 256]) {
    let d = half_at(block, 0);
    for (l, out) in out.chunks_exact_mut(8).enumerate() {
        let high = u16_at(block, 34 + 2 * (l / 4));
        let scale = d * (2.0 * f32::from(high >> 12 & 7) + 1.0);
        let delta = if high & 0x8000 == 0 { DELTA } else { -DELTA };
        let index = usize::from(block[2 + l]) | usize::from(high >> (3 * (l % 4)) & 7) << 8;
        shifted(scale, &IQ1[index], delta, out);
    }
}

/// The common scale is spread over the top bits of four words that hold 3-bit scales below.
pub(super) fn iq1_m(block: &[u8; 56], out: &mut [f32; 256]) {
    let words = [48, 50, 52, 54].map(|at| u16_at(block, at));
    let bits = words[0] >> 12 | words[1] >> 8 & 0xf0 | words[2] >> 4 & 0xf00 | words[3] & 0xf000;
    let d = half::f16::from_bits(bits).to_f32();
    for (l, out) in out.chunks_exact_mut(8).enumerate() {
        let scale = words[l / 8] >> (3 * (l / 2 % 4)) & 7;
        let scale = d * (2.0 * f32::from(scale) + 1.0);
        let high = block[32 + l / 2] >> (4 * (l % 2));
        let delta = if high & 8 == 0 { DELTA } else { -DELTA };
        let index = usize::from(block[l]) | usize::from(high & 7) << 8;
        shifted(scale, &IQ1[index], delta, out);
    }
}

fn shifted(scale: f32, codeword: &[i8; 8], delta: f32, out: &mut [f32]) {
    for (out, &element) in out.iter_mut().zip(codeword) {
        *out = scale * (f32::from(element) + delta);
    }
}

/// Elements of a codeword, negative where the bit of `signs` is set.
fn signed(scale: f32, codeword: &[i8], signs: u8, out: &mut [f32]) {
    for (j, (out, &element)) in out.iter_mut().zip(codeword).enumerate() {
        let value = scale * f32::from(element);
        *out = if signs >> j & 1 == 0 { value } else { -value };
    }
}

/// Eight signs from seven: the number of negative ones is always even.
fn seven_signs(bits: u32) -> u8 {
    let seven = (bits & 127) as u8;
    seven | ((seven.count_ones() as u8 & 1) << 7)
}
