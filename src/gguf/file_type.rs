//! What `general.file_type` says: the scheme by which a model's tensors got their types.

use std::fmt;
use std::str::FromStr;

use super::TensorType;
use crate::error::{Error, Result};

macro_rules! file_types {
    ($($variant:ident = $id:literal, $ty:ident;)*) => {
        /// A scheme of quantisation (`llama_ftype`): which type most tensors have, and which are kept
        /// more exact. Types whose support upstream removed (numbers 4 to 6 and 33 to 35) have no variant.
        ///
        /// As text it is its short name, `Q4_K_M`; parsing takes upper and lower case.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[allow(non_camel_case_types, reason = "the names that the whole field uses for these types")]
        pub enum FileType {
            $(#[doc = concat!("`", stringify!($variant), "`: most tensors are ", stringify!($ty), ".")]
            $variant = $id,)*
        }

        impl FileType {
            /// Every scheme, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The short name, such as `Q4_K_M`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)*
                }
            }

            /// The type that most tensors get.
            #[must_use]
            pub const fn tensor_type(self) -> TensorType {
                match self {
                    $(Self::$variant => TensorType::$ty,)*
                }
            }
        }
    };
}

file_types! {
    F32 = 0, F32;
    F16 = 1, F16;
    Q4_0 = 2, Q4_0;
    Q4_1 = 3, Q4_1;
    Q8_0 = 7, Q8_0;
    Q5_0 = 8, Q5_0;
    Q5_1 = 9, Q5_1;
    Q2_K = 10, Q2_K;
    Q3_K_S = 11, Q3_K;
    Q3_K_M = 12, Q3_K;
    Q3_K_L = 13, Q3_K;
    Q4_K_S = 14, Q4_K;
    Q4_K_M = 15, Q4_K;
    Q5_K_S = 16, Q5_K;
    Q5_K_M = 17, Q5_K;
    Q6_K = 18, Q6_K;
    IQ2_XXS = 19, IQ2_XXS;
    IQ2_XS = 20, IQ2_XS;
    Q2_K_S = 21, Q2_K;
    IQ3_XS = 22, IQ3_S;
    IQ3_XXS = 23, IQ3_XXS;
    IQ1_S = 24, IQ1_S;
    IQ4_NL = 25, IQ4_NL;
    IQ3_S = 26, IQ3_S;
    IQ3_M = 27, IQ3_S;
    IQ2_S = 28, IQ2_XS;
    IQ2_M = 29, IQ2_S;
    IQ4_XS = 30, IQ4_XS;
    IQ1_M = 31, IQ1_M;
    BF16 = 32, BF16;
    TQ1_0 = 36, TQ1_0;
    TQ2_0 = 37, TQ2_0;
    MXFP4_MOE = 38, MXFP4;
    NVFP4 = 39, NVFP4;
    Q1_0 = 40, Q1_0;
    Q2_0 = 41, Q2_0;
}

impl FileType {
    /// The number, as it stands in files.
    #[must_use]
    pub const fn id(self) -> u32 {
        self as u32
    }

    /// The scheme with this number; `None` for an unknown or removed one.
    #[must_use]
    pub fn from_u32(id: u32) -> Option<Self> {
        Self::ALL.iter().find(|known| known.id() == id).copied()
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FileType {
    type Err = Error;

    /// Reads a short name, in any case.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) naming those that there are.
    fn from_str(text: &str) -> Result<Self> {
        let known = |one: &&Self| one.name().eq_ignore_ascii_case(text);
        Self::ALL.iter().find(known).copied().ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|one| one.name()).collect();
            Error::argument(format!(
                "{text:?} is no type of quantisation; there are {}",
                names.join(", ")
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_names_and_types_match_both_ways() {
        for &one in FileType::ALL {
            assert_eq!(FileType::from_u32(one.id()), Some(one));
            assert_eq!(one.name().parse::<FileType>().ok(), Some(one));
            assert_eq!(
                one.name().to_lowercase().parse::<FileType>().ok(),
                Some(one)
            );
        }
        for removed in [4, 5, 6, 33, 34, 35, 42, 1024, u32::MAX] {
            assert_eq!(FileType::from_u32(removed), None, "{removed}");
        }
        assert_eq!(FileType::Q4_K_M.id(), 15);
        assert_eq!(FileType::Q4_K_M.to_string(), "Q4_K_M");
        let error = "Q4_K_XXL".parse::<FileType>().unwrap_err().to_string();
        assert!(
            error.contains("\"Q4_K_XXL\"") && error.contains("Q4_K_M, "),
            "{error}"
        );
    }
}
