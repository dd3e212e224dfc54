//! Reads the body of a request: errors name the field, and what was not understood is listed.

use std::cell::RefCell;

use serde::de::{Deserialize, Deserializer, IgnoredAny};

use super::reader::{self, Seen};

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

/// Reads a request.
///
/// # Errors
/// [`BadBody`], which names the field where there is one.
pub fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<Parsed<T>, BadBody> {
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => return Err(BadBody::Missing),
        Some(b'{') => {}
        // What is no JSON at all is told so below.
        Some(_) if serde_json::from_slice::<IgnoredAny>(body).is_ok() => {
            return Err(BadBody::NoObject);
        }
        Some(_) => {}
    }
    let seen = RefCell::new(Seen::default());
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = reader::read(&mut json, &seen);
    let read = read.and_then(|request| json.end().map(|()| request));
    let Seen { unknown, failed } = seen.into_inner();
    match read {
        Ok(request) => Ok(Parsed { request, unknown }),
        Err(error) if error.is_data() => Err(BadBody::Field {
            field: failed
                .filter(|path| !path.is_empty())
                .unwrap_or_else(|| "the body".to_owned()),
            cause: short(&error),
        }),
        Err(error) => Err(BadBody::Syntax(error.to_string())),
    }
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

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default)]
    struct Inner {
        #[serde(deserialize_with = "or_default")]
        text: String,
    }

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default)]
    struct Outer {
        #[serde(deserialize_with = "or_default")]
        items: Vec<Inner>,
        count: Option<u32>,
        any: Option<serde_json::Value>,
    }

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
        assert_eq!(
            error(r#"{"items": [{"text": "a", "text": "b"}]}"#),
            "items[0]: duplicate field `text`"
        );
        assert_eq!(
            error(r#"{"count": 1, "count": 2}"#),
            "the body: duplicate field `count`"
        );
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
        assert_eq!(parse::<Outer>(many.as_bytes()).unwrap().unknown.len(), 32);
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("{{\"x\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(parse::<Outer>(deep.as_bytes()).unwrap().unknown, ["x"]);
        let deep = deep.replace("\"x\"", "\"any\"");
        assert!(error(&deep).contains("recursion limit"));
    }
}
