//! Functions, filters and tests as Jinja2 and transformers have them, blind to how text is spelled.

use minijinja::value::{Kwargs, Rest, Tuple, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::alphabet::{self, plain};
use super::case;
use super::data::{self, List, MAX_DEPTH};
use super::python::{self, JsonStyle};
use super::rewrite;
use super::spelling::Text;
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
    for name in ["split", "lines", "bool", "chain", "zip"] {
        env.remove_filter(name);
    }
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

    env.add_filter("tojson", to_json);
    env.add_filter("string", python::str);
    env.add_filter("safe", python::str);
    env.add_filter("pprint", python::repr);
    for name in ["escape", "e"] {
        env.add_filter(name, escape);
    }
    env.add_filter(
        "trim",
        |state: &State, value: &Value, chars: Option<&str>| -> Outcome {
            let text = python::str(state, value)?;
            Ok(methods::strip(&text, chars, true, true).into())
        },
    );
    for name in ["upper", "lower", "capitalize", "title"] {
        if let Some(change) = case::filter(name) {
            env.add_filter(
                name,
                move |state: &State, value: &Value| -> Outcome<String> {
                    Ok(case::change(&python::str(state, value)?, change))
                },
            );
        }
    }
    env.add_filter("format", format);
    env.add_filter("replace", replace);
    env.add_filter("join", join);
    env.add_filter("length", length);
    env.add_filter("count", length);
    env.add_filter("indent", indent);
    env.add_filter("dictsort", dict_sort);
    env.add_filter("int", |value: &Value, default: Option<Value>| {
        int(value).or(default).unwrap_or_else(|| 0.into())
    });
    env.add_filter("float", |value: &Value, default: Option<Value>| {
        number(value)
            .map(Value::from)
            .or(default)
            .unwrap_or_else(|| 0.0.into())
    });
}

fn failed(cause: impl Into<std::borrow::Cow<'static, str>>) -> Error {
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

fn escape(state: &State, value: &Value) -> Outcome<String> {
    let raw = python::str(state, value)?;
    let escaped = plain(&raw)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
        .replace('"', "&#34;");
    Ok(alphabet::like(&raw, escaped))
}

/// Containers would be printed as the engine prints them, and without a limit.
fn printable(state: &State, args: &[Value]) -> Outcome<Vec<Value>> {
    let text = |value: &Value| match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => python::str(state, value).map(Value::from),
        ValueKind::Map if !value.is_kwargs() => python::str(state, value).map(Value::from),
        _ => Ok(value.clone()),
    };
    args.iter().map(text).collect()
}

fn format(state: &mut State, format: &Value, args: Rest<ValueOrKwargs>) -> Outcome {
    let args = printable(state, &values(args))?;
    let format = python::str(state, format)?;
    let style = minijinja::formatting::FormatStyle::Printf;
    minijinja::formatting::format(style, &format, &args).map(Value::from)
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

fn values(args: Rest<ValueOrKwargs>) -> Vec<Value> {
    args.0.into_iter().map(Value::from).collect()
}

/// Arguments by place or by name, as Python binds them.
fn bind<const N: usize>(
    args: Rest<ValueOrKwargs>,
    names: [&str; N],
) -> Outcome<[Option<Value>; N]> {
    let args = values(args);
    let (positional, named) = match args.split_last() {
        Some((last, rest)) if last.is_kwargs() => (rest, Some(Kwargs::try_from(last.clone())?)),
        _ => (&args[..], None),
    };
    if positional.len() > N {
        return Err(failed(format!(
            "{} arguments are too many",
            positional.len()
        )));
    }
    let mut bound = [const { None }; N];
    for (at, name) in names.into_iter().enumerate() {
        let by_name = named
            .as_ref()
            .map(|named| named.get::<Option<Value>>(name))
            .transpose()?;
        bound[at] = positional.get(at).cloned().or(by_name.flatten());
    }
    if let Some(named) = named {
        named.assert_all_used()?;
    }
    Ok(bound)
}

fn is_true(argument: Option<&Value>) -> bool {
    argument.is_some_and(Value::is_true)
}

/// So many spaces, or the text itself.
fn spaces(state: &State, width: &Value) -> Outcome<String> {
    if let Some(text) = width.as_str() {
        return Ok(text.to_owned());
    }
    let width = width
        .as_i64()
        .ok_or_else(|| failed("a width must be a number"))?;
    let width = usize::try_from(width).unwrap_or(0);
    state.consume_fuel(width as u64)?;
    Ok(" ".repeat(width))
}

/// transformers' `tojson`.
fn to_json(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Outcome<String> {
    let [ascii, indent, separators, sort_keys] =
        bind(args, ["ensure_ascii", "indent", "separators", "sort_keys"])?;
    let mut style = JsonStyle {
        ensure_ascii: is_true(ascii.as_ref()),
        sort_keys: is_true(sort_keys.as_ref()),
        ..JsonStyle::default()
    };
    if let Some(indent) = indent.filter(|indent| !indent.is_none()) {
        style.indent = Some(spaces(state, &indent)?);
        style.item_separator = ",".to_owned();
    }
    if let Some(separators) = separators.filter(|given| !given.is_none()) {
        let texts: Vec<Value> = separators.try_iter()?.take(3).collect();
        let [item, key] = &texts[..] else {
            return Err(failed("separators must be two texts"));
        };
        style.item_separator = python::str(state, item)?;
        style.key_separator = python::str(state, key)?;
    }
    python::json(state, value, &style)
}

fn replace(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Outcome {
    let [old, new, count] = bind(args, ["old", "new", "count"])?;
    let (Some(old), Some(new)) = (old, new) else {
        return Err(failed("replace needs what to replace and what by"));
    };
    let text = python::str(state, value)?;
    let (old, new) = (python::str(state, &old)?, python::str(state, &new)?);
    let count = count.and_then(|count| count.as_i64());
    methods::replace(state, &Text::new(&text), &plain(&old), &new, count)
}

fn join(state: &mut State, value: &Value, args: Rest<ValueOrKwargs>) -> Outcome<String> {
    let [separator, attribute] = bind(args, ["d", "attribute"])?;
    let separator = separator.map_or(Ok(String::new()), |value| python::str(state, &value))?;
    let value = match attribute {
        Some(attribute) => {
            let named = Kwargs::from_iter([("attribute", attribute)]);
            state.apply_filter("map", &[value.clone(), named.into()])?
        }
        None => value.clone(),
    };
    let mut text = String::new();
    for (at, item) in value.try_iter()?.enumerate() {
        if at > 0 {
            text.push_str(&separator);
        }
        let item = python::str(state, &item)?;
        state.consume_fuel(1 + ((separator.len() + item.len()) / 64) as u64)?;
        text.push_str(&item);
    }
    Ok(text)
}

fn length(state: &State, value: &Value) -> Outcome<usize> {
    if value.is_undefined() {
        return Ok(0);
    }
    if let Some(length) = value.len() {
        return Ok(length);
    }
    if value.kind() != ValueKind::Iterable {
        return Err(failed(format!(
            "a value of type {} has no length",
            value.kind()
        )));
    }
    let mut count = 0;
    for _ in value.try_iter()? {
        state.consume_fuel(1)?;
        count += 1;
    }
    Ok(count)
}

fn indent(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Outcome<String> {
    let [width, first, blank] = bind(args, ["width", "first", "blank"])?;
    let (first, blank) = (is_true(first.as_ref()), is_true(blank.as_ref()));
    let space = spaces(state, &width.unwrap_or_else(|| 4.into()))?;
    let raw = python::str(state, value)?;
    let text = Text::new(&raw);
    let mut result = String::new();
    let mut from = 0;
    for (at, line) in text.plain.split('\n').enumerate() {
        let end = from + line.len();
        if at > 0 {
            result.push_str(text.cut(from - 1..from));
        }
        if if at == 0 {
            first
        } else {
            blank || !line.is_empty()
        } {
            state.consume_fuel(1 + (space.len() / 64) as u64)?;
            result.push_str(&space);
        }
        result.push_str(text.cut(from..end));
        from = end + 1;
    }
    Ok(result)
}

fn dict_sort(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Outcome {
    let [case_sensitive, by, reverse] = bind(args, ["case_sensitive", "by", "reverse"])?;
    let case_sensitive = is_true(case_sensitive.as_ref());
    if value.kind() != ValueKind::Map {
        return Err(failed(format!(
            "dictsort needs a mapping, not {}",
            value.kind()
        )));
    }
    let at = match by.as_ref().map_or(Some("key"), Value::as_str) {
        Some("key") => 0,
        Some("value") => 1,
        _ => return Err(failed("dictsort sorts by key or value")),
    };
    let mut pairs = Vec::new();
    for key in value.try_iter()? {
        state.consume_fuel(4)?;
        let item = value.get_item(&key)?;
        pairs.push([key, item]);
    }
    let order = |value: &Value| match value.as_str() {
        Some(text) if case_sensitive => Value::from(plain(text)),
        Some(text) => Value::from(plain(text).to_lowercase()),
        None => value.clone(),
    };
    pairs.sort_by_cached_key(|pair| order(&pair[at]));
    if is_true(reverse.as_ref()) {
        pairs.reverse();
    }
    Ok(pairs
        .into_iter()
        .map(|pair| Value::from(Tuple::from(pair)))
        .collect())
}

/// Python's `int`, then `int(float(…))`, as the filter tries them.
fn int(value: &Value) -> Option<Value> {
    if value.is_integer() {
        return Some(value.clone());
    }
    if let Some(text) = value.as_str() {
        let digits = plain(text).trim().replace('_', "");
        if let Ok(number) = digits.parse::<i128>() {
            return Some(number.into());
        }
    }
    let number = number(value).filter(|number| number.is_finite())?;
    // The conversion saturates.
    Some(Value::from(number.trunc() as i128))
}

fn number(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some(text) => plain(text).trim().replace('_', "").parse().ok(),
        None => match value.kind() {
            ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
            ValueKind::Number => f64::try_from(value.clone()).ok(),
            _ => None,
        },
    }
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
