//! Fields of requests that OpenAI's APIs share, and what they mean.

use llamakit::chat::ToolChoice;
use serde_json::{Map, Value};

use crate::api::{Think, ThinkLevel};
use crate::runner::wire::ConstraintKind;
use crate::server::error::ApiError;
use crate::server::schema::closed;

/// Answers of one request at most.
const ANSWERS: i64 = 16;

/// How much to think, by this API's scale, which is longer than Ollama's at both ends.
/// `at` is the field that says so.
pub(crate) fn effort(at: &str, text: Option<&str>) -> Result<Option<Think>, ApiError> {
    let level = match text {
        None | Some("") => return Ok(None),
        Some("none") => return Ok(Some(Think::Switch(false))),
        Some("minimal" | "low") => ThinkLevel::Low,
        Some("medium") => ThinkLevel::Medium,
        Some("high") => ThinkLevel::High,
        Some("xhigh" | "max" | "ultra") => ThinkLevel::Max,
        Some(_) => {
            return Err(ApiError::bad(format!(
                "{at}: it must be none, minimal, low, medium, high, xhigh or max"
            )));
        }
    };
    Ok(Some(Think::Level(level)))
}

/// A format by its kind and schema. `at` is the field that says so.
pub(crate) fn format_of(
    at: &str,
    kind: &str,
    schema: Option<&Value>,
) -> Result<Option<ConstraintKind>, ApiError> {
    match kind {
        "" | "text" => Ok(None),
        "json_object" => Ok(Some(ConstraintKind::JsonObject)),
        "json_schema" => match schema {
            Some(schema @ Value::Object(_)) => Ok(Some(ConstraintKind::JsonSchema(closed(schema)))),
            _ => Err(ApiError::bad(format!(
                "{at}: json_schema needs a schema, an object"
            ))),
        },
        _ => Err(ApiError::bad(format!(
            "{at}: type must be text, json_object or json_schema"
        ))),
    }
}

/// What must be called.
pub(crate) fn tool_choice(choice: Option<&Value>) -> Result<ToolChoice, ApiError> {
    let wrong = || {
        ApiError::bad(
            "tool_choice: it must be \"auto\", \"none\", \"required\" or an object that names a function",
        )
    };
    match choice {
        None | Some(Value::Null) => Ok(ToolChoice::Auto),
        Some(Value::String(text)) => match text.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" | "any" => Ok(ToolChoice::Required),
            _ => Err(wrong()),
        },
        Some(object) => {
            let name = object["function"]["name"]
                .as_str()
                .or(object["name"].as_str());
            name.map(|name| ToolChoice::Function(name.to_owned()))
                .ok_or_else(wrong)
        }
    }
}

/// Values that are added to logits, by the number of the token.
pub(super) fn logit_bias(given: Option<&Map<String, Value>>) -> Result<Vec<(i32, f32)>, ApiError> {
    let Some(given) = given else {
        return Ok(Vec::new());
    };
    if given.len() > 1024 {
        return Err(ApiError::bad(
            "logit_bias: there may be 1024 tokens at most",
        ));
    }
    let bias = given.iter().map(|(token, bias)| {
        let token = token.parse().ok().filter(|token| *token >= 0);
        let bias = bias.as_f64().filter(|bias| bias.abs() <= 100.0);
        let both = token.zip(bias).map(|(token, bias)| (token, bias as f32));
        both.ok_or_else(|| {
            ApiError::bad(
                "logit_bias: it must have numbers from -100 to 100 by the number of the token",
            )
        })
    });
    bias.collect()
}

/// Arguments of a call: a text that holds an object.
pub(crate) fn arguments(at: &str, text: &str) -> Result<Map<String, Value>, ApiError> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(text)
        .map_err(|_| ApiError::bad(format!("{at}: it must be a text that holds a JSON object")))
}

/// How many answers are asked for.
pub(super) fn answers(n: Option<i64>) -> Result<usize, ApiError> {
    let n = n.unwrap_or(1);
    let count = usize::try_from(n)
        .ok()
        .filter(|_| (1..=ANSWERS).contains(&n));
    count.ok_or_else(|| ApiError::bad(format!("n: it must be a number from 1 to {ANSWERS}")))
}

/// The seeds of several answers: the first as it was given, the others after it.
pub(super) fn seeded(seed: Option<i64>, at: usize) -> Option<i64> {
    seed.map(|seed| match seed {
        0.. => seed.saturating_add(i64::try_from(at).unwrap_or(0)),
        _ => seed,
    })
}
