//! Reads JSON into a request and knows where in the body it is.
//!
//! A layer of its own over `serde_json`: scalars go straight through, since each layer around them is compiled anew for
//! each type of each request.

use std::cell::RefCell;
use std::fmt;

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::error::shown;

/// Fields that are reported at most; a hostile body may have millions.
const UNKNOWN: usize = 32;

/// Signs of a field's name that are shown at most: it is the client's, and may be as long as the body.
const NAME: usize = 64;

/// Where something lies in the body.
#[derive(Clone, Copy)]
enum Place<'a> {
    Body,
    Field(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body => Ok(()),
            Self::Field(Self::Body, name) => out.write_str(&shown(name, NAME)),
            Self::Field(of, name) => write!(out, "{of}.{}", shown(name, NAME)),
            Self::Item(of, index) => write!(out, "{of}[{index}]"),
        }
    }
}

/// What was seen on the way.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Paths of fields that are in no request of this kind.
    pub(super) unknown: Vec<String>,
    /// Path of the value that could not be read; empty for the body itself.
    pub(super) failed: Option<String>,
}

/// A place, and where to note what is seen there.
#[derive(Clone, Copy)]
struct Spot<'a> {
    place: &'a Place<'a>,
    seen: &'a RefCell<Seen>,
}

impl Spot<'_> {
    /// Notes the place of what failed, unless it is known from further inside.
    fn note<T, E>(self, read: Result<T, E>) -> Result<T, E> {
        if read.is_err() {
            let failed = &mut self.seen.borrow_mut().failed;
            failed.get_or_insert_with(|| self.place.to_string());
        }
        read
    }
}

/// Reads a request from a deserializer, noting what is seen.
pub(super) fn read<'de, T, D>(json: D, seen: &RefCell<Seen>) -> Result<T, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let spot = Spot {
        place: &Place::Body,
        seen,
    };
    spot.note(T::deserialize(Reader { json, spot }))
}

/// A deserializer of what lies at a spot.
struct Reader<'a, D> {
    json: D,
    spot: Spot<'a>,
}

/// Passes scalars on as they are.
macro_rules! scalars {
    ($($name:ident)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.json.$name(visitor)
        }
    )*};
}

/// What may hold other values is read by a visitor that keeps the place.
macro_rules! holders {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {$(
        fn $name<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let spot = self.spot;
            self.json.$name($($argument,)* Within { visitor, spot })
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Reader<'_, D> {
    type Error = D::Error;

    scalars! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char
        deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_identifier
    }

    holders! {
        deserialize_any();
        deserialize_option();
        deserialize_seq();
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
        deserialize_newtype_struct(name: &'static str);
        deserialize_map();
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.json.deserialize_unit_struct(name, visitor)
    }

    /// From an object only: derived code takes an array as well, field by field.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.json.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let unknown = &mut self.spot.seen.borrow_mut().unknown;
        if unknown.len() < UNKNOWN {
            unknown.push(self.spot.place.to_string());
        }
        self.json.deserialize_ignored_any(visitor)
    }
}

/// A visitor of what lies at a spot.
struct Within<'a, V> {
    visitor: V,
    spot: Spot<'a>,
}

macro_rules! forward {
    ($($name:ident($type:ty))*) => {$(
        fn $name<E: serde::de::Error>(self, value: $type) -> Result<V::Value, E> {
            self.visitor.$name(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Within<'_, V> {
    type Value = V::Value;

    forward! {
        visit_bool(bool) visit_i64(i64) visit_u64(u64) visit_f64(f64)
        visit_str(&str) visit_borrowed_str(&'de str) visit_string(String)
    }

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(out)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<V::Value, D::Error> {
        let spot = self.spot;
        self.visitor.visit_some(Reader { json, spot })
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, json: D) -> Result<V::Value, D::Error> {
        let spot = self.spot;
        self.visitor.visit_newtype_struct(Reader { json, spot })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        let spot = self.spot;
        self.visitor.visit_seq(Items {
            items,
            next: 0,
            spot,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        let spot = self.spot;
        self.visitor.visit_map(Fields {
            fields,
            name: String::new(),
            spot,
        })
    }
}

/// A value that is read at its place.
struct At<'a, S> {
    seed: S,
    place: Place<'a>,
    seen: &'a RefCell<Seen>,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for At<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<S::Value, D::Error> {
        let spot = Spot {
            place: &self.place,
            seen: self.seen,
        };
        spot.note(self.seed.deserialize(Reader { json, spot }))
    }
}

/// The items of an array.
struct Items<'a, A> {
    items: A,
    next: usize,
    spot: Spot<'a>,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Items<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let place = Place::Item(self.spot.place, self.next);
        self.next += 1;
        self.items.next_element_seed(At {
            seed,
            place,
            seen: self.spot.seen,
        })
    }
}

/// The fields of an object.
struct Fields<'a, A> {
    fields: A,
    /// Of the field whose value comes next.
    name: String,
    spot: Spot<'a>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let Some(name) = self.fields.next_key::<String>()? else {
            return Ok(None);
        };
        self.name = name;
        seed.deserialize(StrDeserializer::new(&self.name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let place = Place::Field(self.spot.place, &self.name);
        self.fields.next_value_seed(At {
            seed,
            place,
            seen: self.spot.seen,
        })
    }
}
