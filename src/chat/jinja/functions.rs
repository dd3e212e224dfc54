//! Functions and tests as Jinja2 and transformers have them, blind to how text is spelled.

use minijinja::value::{Rest, Tuple, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::alphabet::{self, plain};
use super::data::{self, List, MAX_DEPTH};
use super::python;
use super::rewrite;
use super::text_methods as methods;

type Outcome<T = Value> = Result<T, Error>;

/// Adds all of them.
pub(super) fn add(env: &mut Environment<'static>) {
    env.add_function("raise_exception", raise_exception);
    env.add_function(rewrite::EQUAL, equal);
    env.add_function(rewrite::CONTAINS, contains);
    env.add_function(rewrite::TEXT, python::str);
    env.add_function(rewrite::KEEP, |state: &State, values: Rest<Value>| {
        keep(state, &values, false)
    });
    env.add_function(rewrite::STORE, |state: &State, values: Rest<Value>| {
        keep(state, &values, true)
    });
    // Neither Jinja2 has them nor are they blind to how text is spelled.
    env.remove_global("debug");
    for name in ["startingwith", "endingwith"] {
        env.remove_test(name);
    }

    for name in ["eq", "equalto", "=="] {
        env.add_test(name, equal);
    }
    for name in ["ne", "!="] {
        env.add_test(name, |state: &State, a: &Value, b: &Value| {
            equal(state, a, b).map(|equal| !equal)
        });
    }
    env.add_test("in", contains);
    env.add_test("sequence", |value: &Value| {
        matches!(
            value.kind(),
            ValueKind::String
                | ValueKind::Seq
                | ValueKind::Iterable
                | ValueKind::Map
                | ValueKind::Undefined
        )
    });
    env.add_test("mapping", |value: &Value| {
        value.kind() == ValueKind::Map && !is_namespace(value)
    });
    env.add_test("iterable", |value: &Value| {
        !value.is_none() && value.try_iter().is_ok()
    });
    env.add_test("callable", |value: &Value| value.kind() == ValueKind::Plain);
}

pub(super) fn failed(cause: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, cause)
}

fn raise_exception(state: &State, message: &Value) -> Outcome {
    let message = python::str(state, message)?;
    Err(failed(format!("the template refuses: {}", plain(&message))))
}

/// `a == b`.
fn equal(state: &State, a: &Value, b: &Value) -> Outcome<bool> {
    Ok(match (a.as_str(), b.as_str()) {
        (Some(a), Some(b)) => plain(a) == plain(b),
        _ => {
            if let (Some(a), Some(b)) = (a.len(), b.len()) {
                state.consume_fuel(a.min(b) as u64)?;
            }
            a == b
        }
    })
}

/// `needle in container`.
fn contains(state: &State, needle: &Value, container: &Value) -> Outcome<bool> {
    if let Some(text) = container.as_str() {
        let needle = needle
            .as_str()
            .ok_or_else(|| failed(format!("`in` a text needs a text, not {}", needle.kind())))?;
        return Ok(plain(text).contains(&*plain(needle)));
    }
    match container.kind() {
        ValueKind::Undefined => return Ok(false),
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => {}
        kind => return Err(failed(format!("`in` needs a container, not {kind}"))),
    }
    for item in container.try_iter()? {
        state.consume_fuel(1)?;
        if equal(state, &item, needle)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Containers would be printed as the engine prints them, and without a limit.
pub(super) fn printable(state: &State, args: &[Value]) -> Outcome<Vec<Value>> {
    let text = |value: &Value| match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => python::str(state, value).map(Value::from),
        ValueKind::Map if !value.is_kwargs() => python::str(state, value).map(Value::from),
        _ => Ok(value.clone()),
    };
    args.iter().map(text).collect()
}

/// What a variable or an attribute of a namespace is set to: nested not too deep, since it may be part of
/// the next value that is stored there, and not evaluated at each use.
fn keep(state: &State, values: &[Value], attribute: bool) -> Outcome {
    let value = match values {
        [] => return Err(failed("a value is missing")),
        [value] => value.clone(),
        several => Tuple::from(several.to_vec()).into(),
    };
    let value = if value.kind() == ValueKind::Iterable {
        let mut items = Vec::new();
        for item in value.try_iter()? {
            state.consume_fuel(1)?;
            items.push(item);
        }
        Value::from_object(List::new(items))
    } else {
        value
    };
    check_depth(state, &value, MAX_DEPTH, attribute)?;
    Ok(value)
}

fn check_depth(state: &State, value: &Value, limit: usize, no_namespace: bool) -> Outcome<()> {
    if !matches!(
        value.kind(),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable
    ) {
        return Ok(());
    }
    let known = data::depth(value);
    let below = limit.checked_sub(known.max(1));
    let below = below.ok_or_else(|| failed("a value is nested too deep"))?;
    if known > 0 {
        return Ok(());
    }
    if is_namespace(value) && no_namespace {
        // It could then hold itself.
        return Err(failed("a namespace can't be stored in a namespace"));
    }
    for item in value.try_iter()? {
        state.consume_fuel(1)?;
        if value.kind() == ValueKind::Map {
            check_depth(state, &value.get_item(&item)?, below, no_namespace)?;
        } else {
            check_depth(state, &item, below, no_namespace)?;
        }
    }
    Ok(())
}

/// The engine has no other way to tell.
fn is_namespace(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|object| object.type_name().ends_with("::Namespace"))
}

/// A method that the engine does not know.
pub(super) fn call_method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Outcome {
    if let Some(text) = value.as_str()
        && let Some(result) = methods::call(state, text, name, args)
    {
        return result;
    }
    if value.kind() == ValueKind::Map && name == "copy" && args.is_empty() {
        return Ok(value.clone());
    }
    if value.kind() == ValueKind::Map
        && name == "get"
        && let Some(key) = args.first().and_then(Value::as_str)
        && alphabet::is_spelled(key)
        && data::depth(value) == 0
    {
        // A dictionary of the template's own, with a key that a message has.
        let mut args = args.to_vec();
        args[0] = plain(key).into_owned().into();
        return minijinja_contrib::pycompat::unknown_method_callback(state, value, name, &args);
    }
    if name == "format" && value.as_str().is_some() {
        let args = printable(state, args)?;
        return minijinja_contrib::pycompat::unknown_method_callback(state, value, name, &args);
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
}
