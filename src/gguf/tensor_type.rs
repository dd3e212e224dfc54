//! The element types a GGUF tensor can have, with the sizes of their blocks.

use std::fmt;

macro_rules! tensor_types {
    ($($variant:ident = $id:literal, $name:literal, $block:literal, $bytes:literal;)*) => {
        /// How the numbers of a tensor are stored (`ggml_type`).
        ///
        /// Quantised types store blocks of [`block_size`](Self::block_size) consecutive elements of a
        /// row in [`block_bytes`](Self::block_bytes) bytes. Types whose support upstream removed
        /// (numbers 4, 5, 31 to 33 and 36 to 38) have no variant.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[allow(non_camel_case_types, reason = "the names that the whole field uses for these types")]
        pub enum TensorType {
            $(#[doc = concat!("`", $name, "`: ", $block, " element(s) in ", $bytes, " byte(s).")]
            $variant = $id,)*
        }

        impl TensorType {
            /// Every type, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The type with this `ggml_type` number; `None` for an unknown or removed one.
            #[must_use]
            pub const fn from_u32(id: u32) -> Option<Self> {
                match id {
                    $($id => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Upstream's name of the type, such as `q4_K` (`ggml_type_name`).
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Elements per block; 1 for types that are not quantised (`ggml_blck_size`).
            #[must_use]
            pub const fn block_size(self) -> u64 {
                match self {
                    $(Self::$variant => $block,)*
                }
            }

            /// Bytes per block (`ggml_type_size`).
            #[must_use]
            pub const fn block_bytes(self) -> u64 {
                match self {
                    $(Self::$variant => $bytes,)*
                }
            }
        }
    };
}

tensor_types! {
    F32 = 0, "f32", 1, 4;
    F16 = 1, "f16", 1, 2;
    Q4_0 = 2, "q4_0", 32, 18;
    Q4_1 = 3, "q4_1", 32, 20;
    Q5_0 = 6, "q5_0", 32, 22;
    Q5_1 = 7, "q5_1", 32, 24;
    Q8_0 = 8, "q8_0", 32, 34;
    Q8_1 = 9, "q8_1", 32, 36;
    Q2_K = 10, "q2_K", 256, 84;
    Q3_K = 11, "q3_K", 256, 110;
    Q4_K = 12, "q4_K", 256, 144;
    Q5_K = 13, "q5_K", 256, 176;
    Q6_K = 14, "q6_K", 256, 210;
    Q8_K = 15, "q8_K", 256, 292;
    IQ2_XXS = 16, "iq2_xxs", 256, 66;
    IQ2_XS = 17, "iq2_xs", 256, 74;
    IQ3_XXS = 18, "iq3_xxs", 256, 98;
    IQ1_S = 19, "iq1_s", 256, 50;
    IQ4_NL = 20, "iq4_nl", 32, 18;
    IQ3_S = 21, "iq3_s", 256, 110;
    IQ2_S = 22, "iq2_s", 256, 82;
    IQ4_XS = 23, "iq4_xs", 256, 136;
    I8 = 24, "i8", 1, 1;
    I16 = 25, "i16", 1, 2;
    I32 = 26, "i32", 1, 4;
    I64 = 27, "i64", 1, 8;
    F64 = 28, "f64", 1, 8;
    IQ1_M = 29, "iq1_m", 256, 56;
    BF16 = 30, "bf16", 1, 2;
    TQ1_0 = 34, "tq1_0", 256, 54;
    TQ2_0 = 35, "tq2_0", 256, 66;
    MXFP4 = 39, "mxfp4", 32, 17;
    NVFP4 = 40, "nvfp4", 64, 36;
    Q1_0 = 41, "q1_0", 128, 18;
    Q2_0 = 42, "q2_0", 64, 18;
}

impl TensorType {
    /// The `ggml_type` number, as it stands in files.
    #[must_use]
    pub const fn id(self) -> u32 {
        self as u32
    }

    /// Bytes that a tensor of these dimensions (row length first) takes, without padding.
    ///
    /// `None` when the row length is not a multiple of the block size or a number overflows `i64`,
    /// which is what upstream counts elements in.
    #[must_use]
    pub fn tensor_bytes(self, dims: &[u64]) -> Option<u64> {
        let row = dims.first().copied().unwrap_or(1);
        if row % self.block_size() != 0 {
            return None;
        }
        let elements = element_count(dims)?;
        let bytes = (elements / self.block_size()).checked_mul(self.block_bytes())?;
        i64::try_from(bytes).ok()?;
        Some(bytes)
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The product of the dimensions; `None` when it overflows `i64`, zero dimensions left out.
pub(crate) fn element_count(dims: &[u64]) -> Option<u64> {
    // Upstream multiplies in order and has no order in which a zero comes first, so a zero must not
    // hide an overflow of the others.
    let mut product = 1_u64;
    for &dim in dims.iter().filter(|&&dim| dim != 0) {
        product = product.checked_mul(dim)?;
        i64::try_from(product).ok()?;
    }
    Some(if dims.contains(&0) { 0 } else { product })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_types_match_both_ways() {
        for &ty in TensorType::ALL {
            assert_eq!(TensorType::from_u32(ty.id()), Some(ty));
        }
        for removed in [4, 5, 31, 32, 33, 36, 37, 38, 43, u32::MAX] {
            assert_eq!(TensorType::from_u32(removed), None, "{removed}");
        }
    }

    #[test]
    fn tensor_bytes_counts_blocks() {
        assert_eq!(TensorType::F32.tensor_bytes(&[3, 2]), Some(24));
        assert_eq!(TensorType::F32.tensor_bytes(&[]), Some(4));
        assert_eq!(TensorType::Q4_K.tensor_bytes(&[512, 3]), Some(6 * 144));
        assert_eq!(TensorType::Q4_K.tensor_bytes(&[500, 3]), None);
        assert_eq!(TensorType::F16.tensor_bytes(&[0, 7]), Some(0));
    }

    #[test]
    fn overflowing_dimensions_have_no_size() {
        assert_eq!(TensorType::I8.tensor_bytes(&[u64::MAX]), None);
        assert_eq!(TensorType::I8.tensor_bytes(&[1 << 32, 1 << 31]), None);
        assert_eq!(
            TensorType::I8.tensor_bytes(&[1 << 32, 1 << 30, 1]),
            Some(1 << 62)
        );
        assert_eq!(TensorType::F32.tensor_bytes(&[1 << 62]), None);
        assert_eq!(
            TensorType::F32.tensor_bytes(&[8, (1 << 42) + 1, 1 << 22]),
            None
        );
        assert_eq!(TensorType::F32.tensor_bytes(&[1 << 62, 4, 0]), None);
    }
}
