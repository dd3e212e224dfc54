//! How Go's templates compare values.

use std::rc::Rc;

use super::value::Value;

const INVALID: &str = "invalid type for comparison";

/// Whether the first equals one of the others.
pub(super) fn equal(first: &Value, others: &[Value]) -> Result<bool, String> {
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        if equal_to(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal_to(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Int(a), Value::Int(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Text(a), Value::Text(b)) => Ok(a == b),
        (Value::Invalid | Value::Nil, other) | (other, Value::Invalid | Value::Nil) => {
            Ok(is_nil(other))
        }
        _ if is_basic(a) || is_basic(b) => Err(incompatible(a, b)),
        (Value::Struct(one), Value::Ordered(_)) | (Value::Ordered(_), Value::Struct(one))
            if one.is_pointer() =>
        {
            Ok(false)
        }
        _ if std::mem::discriminant(a) != std::mem::discriminant(b) => Err(format!(
            "non-comparable types {}, {}",
            a.described(),
            b.described()
        )),
        _ if is_nil(a) || is_nil(b) => Ok(is_nil(a) == is_nil(b)),
        (Value::Struct(a), Value::Struct(b)) if a.is_pointer() && b.is_pointer() => {
            Ok(Rc::ptr_eq(a, b))
        }
        (Value::Ordered(Some(a)), Value::Ordered(Some(b))) => Ok(Rc::ptr_eq(a, b)),
        _ => Err(format!("non-comparable type {}", b.described())),
    }
}

/// Whether the first comes before the second.
pub(super) fn less(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(a < b),
        (Value::Float(a), Value::Float(b)) => Ok(a < b),
        (Value::Text(a), Value::Text(b)) => Ok(a.bytes() < b.bytes()),
        (Value::Bool(_), Value::Bool(_)) => Err(INVALID.to_owned()),
        _ if is_basic(a) && is_basic(b) => Err(incompatible(a, b)),
        _ => Err(INVALID.to_owned()),
    }
}

pub(super) fn less_or_equal(a: &Value, b: &Value) -> Result<bool, String> {
    Ok(less(a, b)? || equal_to(a, b)?)
}

fn is_basic(value: &Value) -> bool {
    matches!(
        value,
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_)
    )
}

fn is_nil(value: &Value) -> bool {
    match value {
        Value::Invalid | Value::Nil => true,
        Value::List(list) => list.items.is_none(),
        Value::Map(map) => map.entries.is_none(),
        Value::Ordered(map) => map.is_none(),
        _ => false,
    }
}

fn incompatible(a: &Value, b: &Value) -> String {
    format!(
        "incompatible types for comparison: {} and {}",
        a.described(),
        b.described()
    )
}
