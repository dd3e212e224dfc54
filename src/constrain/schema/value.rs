//! Values in a schema: numbers that are read exactly, and texts that can be written.

use serde_json::Value;

use super::About;
use super::place::Place;
use crate::constrain::compile::Refusal;
use crate::constrain::limits;

/// Whole numbers up to here are exact as floats, and no others are read as one of them.
const EXACT: f64 = 9_007_199_254_740_991.0;
/// Smaller numbers have more digits after the point than are allowed.
const SMALLEST: f64 = 1e-15;

pub(super) fn bad<T>(place: Place, why: impl Into<String>) -> Result<T, About> {
    let refusal = Refusal::bad(why);
    Err(About { place, refusal })
}

pub(super) fn unsupported<T>(place: Place, why: impl Into<String>) -> Result<T, About> {
    let refusal = Refusal::unsupported(why);
    Err(About { place, refusal })
}

/// A number that is read and written exactly.
pub(super) fn number(value: &Value, place: &Place) -> Result<f64, About> {
    let Some(number) = value.as_number() else {
        return bad(place.clone(), "not a number");
    };
    match number.as_f64().filter(|number| number.is_finite()) {
        Some(0.0) => Ok(0.0),
        Some(number) if (SMALLEST..=EXACT).contains(&number.abs()) => Ok(number),
        _ => unsupported(
            place.clone(),
            format!(
                "the number {number} is out of range: 0, or from 1e-15 to below 2^53 without its sign"
            ),
        ),
    }
}

/// A number of things.
pub(super) fn count(value: &Value, place: &Place) -> Result<u64, About> {
    // 2.0 is a whole number as well.
    let whole = |n: f64| (n.fract() == 0.0 && (0.0..=EXACT).contains(&n)).then_some(n as u64);
    let Some(count) = value.as_u64().or_else(|| value.as_f64().and_then(whole)) else {
        return bad(place.clone(), "not a whole number of at least 0");
    };
    if count > limits::REPEAT {
        let why = format!("{count} is too many: at most {}", limits::REPEAT);
        return unsupported(place.clone(), why);
    }
    Ok(count)
}

/// A value that an answer may have to give.
pub(super) fn constant(value: &Value, place: &Place, depth: usize) -> Result<(), About> {
    if depth > limits::DEPTH {
        return unsupported(
            place.clone(),
            format!("nested more than {} deep", limits::DEPTH),
        );
    }
    match value {
        Value::Null | Value::Bool(_) => Ok(()),
        Value::Number(_) => number(value, place).map(drop),
        Value::String(text) => {
            let is_odd = |c: char| matches!(c, '\0'..='\x07' | '\x0b' | '\x0e'..='\x1f' | '\x7f');
            match text.contains(is_odd) {
                true => unsupported(place.clone(), "a text with control characters"),
                false => Ok(()),
            }
        }
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.try_for_each(|(index, item)| constant(item, &place.member(index), depth + 1))
        }
        Value::Object(members) => {
            let mut members = members.iter();
            members.try_for_each(|(name, member)| constant(member, &place.member(name), depth + 1))
        }
    }
}
