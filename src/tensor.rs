//! Turns tensor data of every GGUF type into `f32`.
//!
//! Layouts and arithmetic are those of ggml's `to_float` functions (`ggml-quants.c`).

mod blocks;
mod grids;
mod iq;
mod k;

use half::{bf16, f16};
use rayon::prelude::*;

use crate::error::{Error, ErrorKind, Result};
use crate::gguf::{File, TensorInfo, TensorType};

/// Elements per piece of parallel work; smaller tensors stay on the calling thread.
const PIECE: usize = 1 << 16;

impl File {
    /// All elements of a tensor as `f32`, rows one after the other.
    ///
    /// Large tensors are converted on rayon's threads.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] when the file has no tensor of this name, or when the memory
    /// for the result cannot be had.
    pub fn tensor_f32(&self, name: &str) -> Result<Vec<f32>> {
        let info = self
            .tensor(name)
            .ok_or_else(|| Error::argument(format!("the file has no tensor {name:?}")))?;
        let mut values = zeros(info)?;
        dequantize(info.tensor_type(), self.tensor_data(info), &mut values)?;
        Ok(values)
    }
}

/// A quantised tensor can be 30 times larger as `f32`, which a hostile file may count on.
fn zeros(info: &TensorInfo) -> Result<Vec<f32>> {
    let mut values = Vec::new();
    let reserved = usize::try_from(info.elements()).ok().and_then(|elements| {
        values.try_reserve_exact(elements).ok()?;
        Some(elements)
    });
    let Some(elements) = reserved else {
        return Err(Error::argument(format!(
            "there is no memory for the {} elements of tensor {} as f32",
            info.elements(),
            info.name()
        )));
    };
    values.resize(elements, 0.0);
    Ok(values)
}

/// Converts elements of type `ty`, as they stand in a file, to `f32`.
///
/// `out.len()` must be a whole number of blocks of `ty`, and `bytes` must hold exactly these
/// blocks. Integers and F64 are rounded to the nearest `f32`.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] when the lengths do not fit together.
pub fn dequantize(ty: TensorType, bytes: &[u8], out: &mut [f32]) -> Result<()> {
    let expected = ty.tensor_bytes(&[out.len() as u64]);
    if expected != Some(bytes.len() as u64) {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!(
                "{} bytes do not hold {} elements of type {ty}",
                bytes.len(),
                out.len()
            ),
        ));
    }
    let convert = converter(ty);
    // A multiple of every block size, so that pieces are whole blocks.
    let piece_bytes = PIECE / ty.block_size() as usize * ty.block_bytes() as usize;
    if out.len() <= PIECE {
        convert(bytes, out);
    } else {
        bytes
            .par_chunks(piece_bytes)
            .zip(out.par_chunks_mut(PIECE))
            .for_each(|(bytes, out)| convert(bytes, out));
    }
    Ok(())
}

/// Converts whole blocks.
type Converter = fn(&[u8], &mut [f32]);

fn converter(ty: TensorType) -> Converter {
    use TensorType as T;
    match ty {
        T::F32 => |bytes, out| numbers(bytes, out, f32::from_le_bytes),
        T::F16 => |bytes, out| numbers(bytes, out, |b| f16::from_le_bytes(b).to_f32()),
        T::BF16 => |bytes, out| numbers(bytes, out, |b| bf16::from_le_bytes(b).to_f32()),
        T::F64 => |bytes, out| numbers(bytes, out, |b| f64::from_le_bytes(b) as f32),
        T::I8 => |bytes, out| numbers(bytes, out, |b| i8::from_le_bytes(b).into()),
        T::I16 => |bytes, out| numbers(bytes, out, |b| i16::from_le_bytes(b).into()),
        T::I32 => |bytes, out| numbers(bytes, out, |b| i32::from_le_bytes(b) as f32),
        T::I64 => |bytes, out| numbers(bytes, out, |b| i64::from_le_bytes(b) as f32),
        T::Q1_0 => |bytes, out| blocks(bytes, out, blocks::q1_0),
        T::Q2_0 => |bytes, out| blocks(bytes, out, blocks::q2_0),
        T::Q4_0 => |bytes, out| blocks(bytes, out, blocks::q4_0),
        T::Q4_1 => |bytes, out| blocks(bytes, out, blocks::q4_1),
        T::Q5_0 => |bytes, out| blocks(bytes, out, blocks::q5_0),
        T::Q5_1 => |bytes, out| blocks(bytes, out, blocks::q5_1),
        T::Q8_0 => |bytes, out| blocks(bytes, out, blocks::q8_0),
        T::Q8_1 => |bytes, out| blocks(bytes, out, blocks::q8_1),
        T::TQ1_0 => |bytes, out| blocks(bytes, out, blocks::tq1_0),
        T::TQ2_0 => |bytes, out| blocks(bytes, out, blocks::tq2_0),
        T::MXFP4 => |bytes, out| blocks(bytes, out, blocks::mxfp4),
        T::NVFP4 => |bytes, out| blocks(bytes, out, blocks::nvfp4),
        T::Q2_K => |bytes, out| blocks(bytes, out, k::q2_k),
        T::Q3_K => |bytes, out| blocks(bytes, out, k::q3_k),
        T::Q4_K => |bytes, out| blocks(bytes, out, k::q4_k),
        T::Q5_K => |bytes, out| blocks(bytes, out, k::q5_k),
        T::Q6_K => |bytes, out| blocks(bytes, out, k::q6_k),
        T::Q8_K => |bytes, out| blocks(bytes, out, k::q8_k),
        T::IQ1_S => |bytes, out| blocks(bytes, out, iq::iq1_s),
        T::IQ1_M => |bytes, out| blocks(bytes, out, iq::iq1_m),
        T::IQ2_XXS => |bytes, out| blocks(bytes, out, iq::iq2_xxs),
        T::IQ2_XS => |bytes, out| blocks(bytes, out, iq::iq2_xs),
        T::IQ2_S => |bytes, out| blocks(bytes, out, iq::iq2_s),
        T::IQ3_XXS => |bytes, out| blocks(bytes, out, iq::iq3_xxs),
        T::IQ3_S => |bytes, out| blocks(bytes, out, iq::iq3_s),
        T::IQ4_NL => |bytes, out| blocks(bytes, out, iq::iq4_nl),
        T::IQ4_XS => |bytes, out| blocks(bytes, out, iq::iq4_xs),
    }
}

fn numbers<const N: usize>(bytes: &[u8], out: &mut [f32], decode: impl Fn([u8; N]) -> f32) {
    for (number, out) in bytes.as_chunks().0.iter().zip(out) {
        *out = decode(*number);
    }
}

/// Applies `decode` to each block of `BYTES` bytes that holds `ELEMENTS` elements.
fn blocks<const BYTES: usize, const ELEMENTS: usize>(
    bytes: &[u8],
    out: &mut [f32],
    decode: impl Fn(&[u8; BYTES], &mut [f32; ELEMENTS]),
) {
    for (block, out) in bytes.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
        decode(block, out);
    }
}

/// The half-precision number at `at`.
fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn u16_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

fn u32_at(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}
