//! GGUF metadata values that own their data: what the writer stores and overrides replace.

use std::fmt;

/// The type of a metadata value, as it stands in files (`gguf_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// An unsigned byte.
    U8 = 0,
    /// A signed byte.
    I8 = 1,
    /// An unsigned 16-bit number.
    U16 = 2,
    /// A signed 16-bit number.
    I16 = 3,
    /// An unsigned 32-bit number.
    U32 = 4,
    /// A signed 32-bit number.
    I32 = 5,
    /// A 32-bit float.
    F32 = 6,
    /// A boolean, stored as one byte.
    Bool = 7,
    /// A byte string with its length, nearly always UTF-8.
    String = 8,
    /// An array of values of one other type.
    Array = 9,
    /// An unsigned 64-bit number.
    U64 = 10,
    /// A signed 64-bit number.
    I64 = 11,
    /// A 64-bit float.
    F64 = 12,
}

impl ValueType {
    /// The type with this number; `None` for an unknown one.
    #[must_use]
    pub const fn from_u32(id: u32) -> Option<Self> {
        Some(match id {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            8 => Self::String,
            9 => Self::Array,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            _ => return None,
        })
    }

    /// The short name that upstream prints: `u32`, `str`, `arr`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::F32 => "f32",
            Self::Bool => "bool",
            Self::String => "str",
            Self::Array => "arr",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F64 => "f64",
        }
    }

    /// Bytes per value; `None` for strings and arrays, whose size varies.
    #[must_use]
    pub const fn fixed_bytes(self) -> Option<usize> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::String | Self::Array => None,
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! values {
    ($($variant:ident($type:ty);)*) => {
        /// One metadata value.
        ///
        /// Strings are bytes because files with tokens that are not UTF-8 exist. Arrays of arrays
        /// cannot be expressed: upstream refuses them.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Value {
            $(#[doc = concat!("A single `", stringify!($type), "`.")]
            $variant($type),)*
            /// A string, nearly always UTF-8.
            String(Vec<u8>),
            /// An array.
            Array(Array),
        }

        /// A metadata array; its elements have one type.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Array {
            $(#[doc = concat!("An array of `", stringify!($type), "`.")]
            $variant(Vec<$type>),)*
            /// An array of strings.
            String(Vec<Vec<u8>>),
        }

        impl Value {
            /// The type of this value.
            #[must_use]
            pub const fn value_type(&self) -> ValueType {
                match self {
                    $(Self::$variant(_) => ValueType::$variant,)*
                    Self::String(_) => ValueType::String,
                    Self::Array(_) => ValueType::Array,
                }
            }

            /// Appends the value as it stands in files, without its type.
            pub(super) fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant(value) => value.encode(out),)*
                    Self::String(text) => text.encode(out),
                    Self::Array(array) => array.encode(out),
                }
            }
        }

        impl Array {
            /// The type of the elements.
            #[must_use]
            pub const fn element_type(&self) -> ValueType {
                match self {
                    $(Self::$variant(_) => ValueType::$variant,)*
                    Self::String(_) => ValueType::String,
                }
            }

            /// The number of elements.
            #[must_use]
            pub fn len(&self) -> usize {
                match self {
                    $(Self::$variant(items) => items.len(),)*
                    Self::String(items) => items.len(),
                }
            }

            fn encode(&self, out: &mut Vec<u8>) {
                (self.element_type() as u32).encode(out);
                (self.len() as u64).encode(out);
                match self {
                    $(Self::$variant(items) => items.iter().for_each(|item| item.encode(out)),)*
                    Self::String(items) => items.iter().for_each(|item| item.encode(out)),
                }
            }
        }

        $(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        }

        impl From<Vec<$type>> for Value {
            fn from(items: Vec<$type>) -> Self {
                Self::Array(Array::$variant(items))
            }
        }

        impl From<&[$type]> for Value {
            fn from(items: &[$type]) -> Self {
                items.to_vec().into()
            }
        })*
    };
}

values! {
    U8(u8);
    I8(i8);
    U16(u16);
    I16(i16);
    U32(u32);
    I32(i32);
    F32(f32);
    Bool(bool);
    U64(u64);
    I64(i64);
    F64(f64);
}

impl Array {
    /// Whether the array has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.as_bytes().to_vec())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text.into_bytes())
    }
}

impl From<Vec<String>> for Value {
    fn from(items: Vec<String>) -> Self {
        Self::Array(Array::String(
            items.into_iter().map(String::into_bytes).collect(),
        ))
    }
}

impl From<&[String]> for Value {
    fn from(items: &[String]) -> Self {
        items.to_vec().into()
    }
}

impl From<Vec<&str>> for Value {
    fn from(items: Vec<&str>) -> Self {
        items.as_slice().into()
    }
}

impl From<&[&str]> for Value {
    fn from(items: &[&str]) -> Self {
        Self::Array(Array::String(
            items.iter().map(|item| item.as_bytes().to_vec()).collect(),
        ))
    }
}

impl From<Vec<Vec<u8>>> for Value {
    fn from(items: Vec<Vec<u8>>) -> Self {
        Self::Array(Array::String(items))
    }
}

/// Appends a value in the file's byte order.
pub(super) trait Encode {
    fn encode(&self, out: &mut Vec<u8>);
}

macro_rules! encode_numbers {
    ($($type:ty)*) => {
        $(impl Encode for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        })*
    };
}

encode_numbers!(u8 i8 u16 i16 u32 i32 f32 u64 i64 f64);

impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Encode for Vec<u8> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_slice().encode(out);
    }
}

impl Encode for [u8] {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.len() as u64).encode(out);
        out.extend_from_slice(self);
    }
}
