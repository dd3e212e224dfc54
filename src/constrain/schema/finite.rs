//! Finds schemas that no finite value meets because they contain themselves.

use serde_json::Value;

use super::value::bad;
use super::{About, Checked};

/// Refuses references that lead to themselves without a value in between, and values that must contain
/// themselves.
pub(super) fn check(checked: &Checked) -> Result<(), About> {
    for (index, def) in checked.defs.iter().enumerate() {
        if leads_to(checked, index) {
            return bad(def.place.clone(), "a $ref leads to itself");
        }
    }
    let mut finite = vec![false; checked.defs.len()];
    loop {
        let before = finite.clone();
        for (index, def) in checked.defs.iter().enumerate() {
            finite[index] = finite[index] || is_finite(&def.schema, &before);
        }
        if finite == before {
            break;
        }
    }
    match finite.iter().position(|finite| !finite) {
        Some(index) => bad(
            checked.defs[index].place.clone(),
            "no finite value: each contains another one",
        ),
        None => Ok(()),
    }
}

/// The number of the definition that a schema refers to.
fn target(schema: &Value) -> Option<usize> {
    let reference = schema.get("$ref")?.as_str()?;
    reference.strip_prefix("#/$defs/")?.parse().ok()
}

/// Whether a definition is met again on the way from itself, without going into a value.
fn leads_to(checked: &Checked, start: usize) -> bool {
    let mut seen = vec![false; checked.defs.len()];
    let mut waiting = vec![&checked.defs[start].schema];
    while let Some(schema) = waiting.pop() {
        if let Some(next) = target(schema) {
            if next == start {
                return true;
            }
            if let Some(def) = checked.defs.get(next)
                && !std::mem::replace(&mut seen[next], true)
            {
                waiting.push(&def.schema);
            }
        }
        for name in ["allOf", "anyOf", "oneOf"] {
            waiting.extend(
                schema
                    .get(name)
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten(),
            );
        }
    }
    false
}

/// Whether a schema has a finite value if those definitions have. What is not known counts as yes:
/// llguidance finds out about all but recursion.
fn is_finite(schema: &Value, finite: &[bool]) -> bool {
    let inner = |schema: Option<&Value>| schema.is_none_or(|schema| is_finite(schema, finite));
    let list = |name: &str| {
        schema
            .get(name)
            .and_then(Value::as_array)
            .map_or(&[][..], |l| l)
    };
    if schema.get("const").is_some() || schema.get("enum").is_some() {
        return true;
    }
    if target(schema).is_some_and(|index| finite.get(index) == Some(&false)) {
        return false;
    }
    if !list("allOf").iter().all(|schema| is_finite(schema, finite)) {
        return false;
    }
    for name in ["anyOf", "oneOf"] {
        let options = list(name);
        if !options.is_empty() && !options.iter().any(|schema| is_finite(schema, finite)) {
            return false;
        }
    }
    let members = || {
        list("required")
            .iter()
            .filter_map(Value::as_str)
            .all(|name| {
                let named = schema
                    .get("properties")
                    .and_then(|properties| properties.get(name));
                inner(named.or(schema.get("additionalProperties")))
            })
    };
    let items = || {
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        let least = usize::try_from(least).unwrap_or(usize::MAX);
        let (first, rest) = match schema.get("items") {
            Some(Value::Array(first)) => (first.as_slice(), schema.get("additionalItems")),
            rest => (list("prefixItems"), rest),
        };
        first
            .iter()
            .take(least)
            .all(|schema| is_finite(schema, finite))
            && (least <= first.len() || inner(rest))
    };
    let of_type = |name: &str| match name {
        "object" => members(),
        "array" => items(),
        _ => true,
    };
    match schema.get("type") {
        Some(Value::String(name)) => of_type(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(of_type),
        // Values of other types are finite.
        _ => true,
    }
}
