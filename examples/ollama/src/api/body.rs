//! Reads the body of a request: errors name the field, and what was not understood is listed.

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

/// A request, and the paths of the fields in its body that mean nothing.
#[derive(Debug)]
pub struct Parsed<T> {
    /// The request.
    pub request: T,
    /// Fields that are in the body and in no request of this kind, such as `messages[0].foo`.
    pub unknown: Vec<String>,
}

/// Why a body is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// There is none.
    #[error("missing request body")]
    Missing,
    /// It is JSON of another kind.
    #[error("the body must be a JSON object")]
    NoObject,
    /// It is no JSON.
    #[error("the body is not valid JSON: {0}")]
    Syntax(String),
    /// A field is not what it must be.
    #[error("{field}: {cause}")]
    Field {
        /// The field's path.
        field: String,
        /// What is wrong with it.
        cause: String,
    },
}

/// Fields that are reported at most; a hostile body may have millions.
const UNKNOWN: usize = 32;

/// Reads a request.
///
/// # Errors
/// [`BadBody`], which names the field where there is one.
pub fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<Parsed<T>, BadBody> {
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => return Err(BadBody::Missing),
        Some(b'{') => {}
        // What is no JSON at all is told so below.
        Some(_) if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() => {
            return Err(BadBody::NoObject);
        }
        Some(_) => {}
    }
    let mut unknown = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(body);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let mut note = |path: serde_ignored::Path<'_>| {
        if unknown.len() < UNKNOWN {
            unknown.push(readable(&path.to_string()));
        }
    };
    let read = T::deserialize(serde_ignored::Deserializer::new(tracked, &mut note));
    let read = read.and_then(|request| json.end().map(|()| request));
    match read {
        Ok(request) => Ok(Parsed { request, unknown }),
        Err(error) if error.is_data() => Err(BadBody::Field {
            field: track.path().to_string(),
            cause: short(&error),
        }),
        Err(error) => Err(BadBody::Syntax(error.to_string())),
    }
}

/// `messages.0.foo` of one crate as `messages[0].foo`, which the other writes.
fn readable(path: &str) -> String {
    let mut out = String::new();
    for step in path.split('.').filter(|step| *step != "?") {
        if !out.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()) {
            out.push_str(&format!("[{step}]"));
            continue;
        }
        if !out.is_empty() {
            out.push('.');
        }
        // A field's name is the client's: it may be as long as the body.
        out.extend(step.chars().take(64));
    }
    out
}

/// The error without the place in the body, which the path tells better, and without a value of any length.
fn short(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    match text.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Lets a struct be read from a JSON object only: derived code takes an array as well, field by field.
pub(crate) struct ObjectOnly<D>(pub(crate) D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ObjectOnly<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// For types with `#[serde(remote = "Self")]`: reads them from objects only.
macro_rules! from_object {
    ($($type:ty),* $(,)?) => {$(
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
                <$type>::deserialize($crate::api::body::ObjectOnly(json))
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
                <$type>::serialize(self, json)
            }
        }
    )*};
}
pub(crate) use from_object;

/// `null` means the same as nothing: many clients write all fields.
pub(crate) fn or_default<'de, D, T>(json: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(json)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    #[derive(Debug, Default, Deserialize, Serialize)]
    #[serde(remote = "Self", default)]
    struct Inner {
        #[serde(deserialize_with = "or_default")]
        text: String,
    }

    #[derive(Debug, Default, Deserialize, Serialize)]
    #[serde(remote = "Self", default)]
    struct Outer {
        #[serde(deserialize_with = "or_default")]
        items: Vec<Inner>,
        count: Option<u32>,
        any: Option<serde_json::Value>,
    }

    from_object!(Inner, Outer);

    fn error(body: &str) -> String {
        parse::<Outer>(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_the_field() {
        assert_eq!(
            error(r#"{"items": [{"text": "a"}, {"text": 5}]}"#),
            "items[1].text: invalid type: integer `5`, expected a string"
        );
        assert_eq!(
            error(r#"{"count": -1}"#),
            "count: invalid value: integer `-1`, expected u32"
        );
        assert!(error(r#"{"items": [["a"]]}"#).starts_with("items[0]: invalid type: sequence"));
        assert!(error(r#"{"items": {}}"#).starts_with("items: invalid type: map"));
    }

    #[test]
    fn bodies_that_are_no_objects_are_told_so() {
        assert_eq!(error(""), "missing request body");
        assert_eq!(error(" \n"), "missing request body");
        for body in ["[]", "5", "null", "\"text\"", "[1, 2]"] {
            assert_eq!(error(body), "the body must be a JSON object", "{body}");
        }
        for body in ["{", "}", "{\"items\"", "{} {}", "text", "{\"count\": 01}"] {
            assert!(
                error(body).starts_with("the body is not valid JSON: "),
                "{body}: {}",
                error(body)
            );
        }
    }

    #[test]
    fn null_is_nothing_and_unknown_fields_are_listed() {
        let body = br#"{"items": [{"text": null, "foo": 1}], "count": null, "bar": {"x": []}}"#;
        let parsed = parse::<Outer>(body).unwrap();
        assert_eq!(parsed.request.items[0].text, "");
        assert_eq!(parsed.unknown, ["items[0].foo", "bar"]);
        let many = format!(
            "{{{}}}",
            (0..1000)
                .map(|i| format!("\"f{i}\": 0"))
                .collect::<Vec<_>>()
                .join(", ")
        );
        assert_eq!(
            parse::<Outer>(many.as_bytes()).unwrap().unknown.len(),
            UNKNOWN
        );
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("{{\"x\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(parse::<Outer>(deep.as_bytes()).unwrap().unknown, ["x"]);
        let deep = deep.replace("\"x\"", "\"any\"");
        assert!(error(&deep).contains("recursion limit"));
    }
}
