//! Metadata values borrowed from the bytes of a file: nothing is copied, however long the array.

use std::fmt;

use super::cursor::{invalid, quote};
use super::value::{Array, Value, ValueType};
use crate::error::Result;

macro_rules! views {
    ($($variant:ident($type:ty) from $size:literal: $decode:expr;)*) => {
        /// One metadata value of an open file.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum ValueRef<'a> {
            $(#[doc = concat!("A single `", stringify!($type), "`.")]
            $variant($type),)*
            /// A string, nearly always UTF-8.
            String(&'a [u8]),
            /// An array, decoded when it is read.
            Array(ArrayRef<'a>),
        }

        impl<'a> ValueRef<'a> {
            /// The type of this value.
            #[must_use]
            pub const fn value_type(&self) -> ValueType {
                match self {
                    $(Self::$variant(_) => ValueType::$variant,)*
                    Self::String(_) => ValueType::String,
                    Self::Array(_) => ValueType::Array,
                }
            }

            /// A copy that owns its data.
            #[must_use]
            pub fn to_value(&self) -> Value {
                match *self {
                    $(Self::$variant(value) => Value::$variant(value),)*
                    Self::String(text) => Value::String(text.to_vec()),
                    Self::Array(array) => Value::Array(array.to_array()),
                }
            }

            /// Decodes a number or boolean; `bytes` has the size of the type.
            pub(super) fn decode(ty: ValueType, bytes: &[u8]) -> Option<ValueRef<'static>> {
                match ty {
                    $(ValueType::$variant => {
                        let bytes: [u8; $size] = bytes.try_into().ok()?;
                        Some(ValueRef::$variant(($decode)(bytes)))
                    })*
                    ValueType::String | ValueType::Array => None,
                }
            }
        }

        impl ArrayRef<'_> {
            /// A copy that owns its data.
            #[must_use]
            pub fn to_array(&self) -> Array {
                match self.element {
                    $(ValueType::$variant => Array::$variant(
                        self.numbers::<$type>().into_iter().flatten().collect(),
                    ),)*
                    ValueType::String | ValueType::Array => {
                        Array::String(self.strings().into_iter().flatten().map(<[u8]>::to_vec).collect())
                    }
                }
            }
        }

        $(impl private::Sealed for $type {}

        impl Number for $type {
            const TYPE: ValueType = ValueType::$variant;

            fn decode(bytes: &[u8]) -> Self {
                // Callers cut chunks of the type's size, so the default is never taken.
                bytes.first_chunk::<$size>().copied().map($decode).unwrap_or_default()
            }
        }

        impl<'a> FromValue<'a> for $type {
            const EXPECTED: &'static str = ValueType::$variant.name();

            fn from_value(value: ValueRef<'a>) -> Option<Self> {
                match value {
                    ValueRef::$variant(value) => Some(value),
                    _ => None,
                }
            }
        })*
    };
}

views! {
    U8(u8) from 1: u8::from_le_bytes;
    I8(i8) from 1: i8::from_le_bytes;
    U16(u16) from 2: u16::from_le_bytes;
    I16(i16) from 2: i16::from_le_bytes;
    U32(u32) from 4: u32::from_le_bytes;
    I32(i32) from 4: i32::from_le_bytes;
    F32(f32) from 4: f32::from_le_bytes;
    Bool(bool) from 1: |byte: [u8; 1]| byte != [0];
    U64(u64) from 8: u64::from_le_bytes;
    I64(i64) from 8: i64::from_le_bytes;
    F64(f64) from 8: f64::from_le_bytes;
}

mod private {
    pub trait Sealed {}
}

/// A number or boolean that arrays can hold.
pub trait Number: Copy + private::Sealed {
    /// The type of such elements in a file.
    const TYPE: ValueType;

    #[doc(hidden)]
    fn decode(bytes: &[u8]) -> Self;
}

/// A Rust type that a metadata value of exactly one type can be read as.
pub trait FromValue<'a>: Sized {
    /// What a value must be, for messages.
    const EXPECTED: &'static str;

    /// The value, when it is of this type.
    fn from_value(value: ValueRef<'a>) -> Option<Self>;
}

impl<'a> FromValue<'a> for &'a [u8] {
    const EXPECTED: &'static str = "str";

    fn from_value(value: ValueRef<'a>) -> Option<Self> {
        match value {
            ValueRef::String(text) => Some(text),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for &'a str {
    const EXPECTED: &'static str = "str of UTF-8";

    fn from_value(value: ValueRef<'a>) -> Option<Self> {
        value.as_str()
    }
}

impl<'a> FromValue<'a> for ArrayRef<'a> {
    const EXPECTED: &'static str = "arr";

    fn from_value(value: ValueRef<'a>) -> Option<Self> {
        match value {
            ValueRef::Array(array) => Some(array),
            _ => None,
        }
    }
}

impl<'a> ValueRef<'a> {
    /// The text, when this is a string of valid UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        match self {
            Self::String(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    /// The number, when this is an integer of any width that is not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(value) => Some(value.into()),
            Self::U16(value) => Some(value.into()),
            Self::U32(value) => Some(value.into()),
            Self::U64(value) => Some(value),
            Self::I8(value) => value.try_into().ok(),
            Self::I16(value) => value.try_into().ok(),
            Self::I32(value) => value.try_into().ok(),
            Self::I64(value) => value.try_into().ok(),
            _ => None,
        }
    }

    /// The value as `T`, or an error that names the key and both types.
    pub(super) fn read<T: FromValue<'a>>(self, key: &str) -> Result<T> {
        T::from_value(self).ok_or_else(|| {
            invalid(format!(
                "key {key} has type {}, expected {}",
                self.type_name(),
                T::EXPECTED
            ))
        })
    }

    /// The type as messages show it, with the element type of arrays.
    pub(super) fn type_name(&self) -> String {
        match self {
            Self::Array(array) => format!("arr[{}]", array.element),
            other => other.value_type().name().to_owned(),
        }
    }
}

/// Shows the value, with long strings and arrays cut.
impl fmt::Display for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U8(value) => value.fmt(f),
            Self::I8(value) => value.fmt(f),
            Self::U16(value) => value.fmt(f),
            Self::I16(value) => value.fmt(f),
            Self::U32(value) => value.fmt(f),
            Self::I32(value) => value.fmt(f),
            Self::F32(value) => value.fmt(f),
            Self::Bool(value) => value.fmt(f),
            Self::U64(value) => value.fmt(f),
            Self::I64(value) => value.fmt(f),
            Self::F64(value) => value.fmt(f),
            Self::String(text) => f.write_str(&quote(text)),
            Self::Array(array) => array.fmt(f),
        }
    }
}

/// An array of an open file; elements are decoded while iterating.
#[derive(Clone, Copy, PartialEq)]
pub struct ArrayRef<'a> {
    element: ValueType,
    len: usize,
    bytes: &'a [u8],
}

impl<'a> ArrayRef<'a> {
    /// `bytes` holds exactly `len` elements: the parser has walked them.
    pub(super) fn new(element: ValueType, len: usize, bytes: &'a [u8]) -> Self {
        Self {
            element,
            len,
            bytes,
        }
    }

    /// The type of the elements.
    #[must_use]
    pub const fn element_type(&self) -> ValueType {
        self.element
    }

    /// The elements as they stand in the file: numbers little endian, strings with their lengths.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The number of elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The strings in order; `None` when the elements are not strings.
    #[must_use]
    pub fn strings(&self) -> Option<Strings<'a>> {
        (self.element == ValueType::String).then_some(Strings {
            left: self.len,
            bytes: self.bytes,
        })
    }

    /// The numbers in order; `None` when the elements are not of type `T`.
    #[must_use]
    pub fn numbers<T: Number + 'a>(
        &self,
    ) -> Option<impl ExactSizeIterator<Item = T> + DoubleEndedIterator + Clone + use<'a, T>> {
        let size = T::TYPE.fixed_bytes().filter(|_| T::TYPE == self.element)?;
        Some(self.bytes.chunks_exact(size).map(T::decode))
    }

    /// The elements in order, whatever their type.
    pub fn iter(&self) -> impl Iterator<Item = ValueRef<'a>> + use<'a> {
        let element = self.element;
        let size = element.fixed_bytes().unwrap_or(1);
        let numbers = if element == ValueType::String {
            &[]
        } else {
            self.bytes
        };
        self.strings()
            .into_iter()
            .flatten()
            .map(ValueRef::String)
            .chain(
                numbers
                    .chunks_exact(size)
                    .filter_map(move |c| ValueRef::decode(element, c)),
            )
    }
}

/// Shows the first elements and the length.
impl fmt::Display for ArrayRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        f.write_str("[")?;
        for (index, item) in self.iter().take(SHOWN).enumerate() {
            write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
        }
        if self.len > SHOWN {
            write!(f, ", ... ({} in all)", self.len)?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for ArrayRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{self}", self.element)
    }
}

/// Iterates over the strings of an array without copying them.
#[derive(Debug, Clone)]
pub struct Strings<'a> {
    left: usize,
    bytes: &'a [u8],
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.bytes.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (text, rest) = rest.split_at_checked(length)?;
        self.bytes = rest;
        self.left -= 1;
        Some(text)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Strings<'_> {}
