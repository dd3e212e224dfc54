//! Filters as Jinja2 and transformers have them, blind to how text is spelled.

use minijinja::value::{Kwargs, Rest, Tuple, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State, Value};

use super::alphabet::{self, plain};
use super::case;
use super::functions::{failed, printable};
use super::python::{self, JsonStyle};
use super::spelling::Text;
use super::text_methods as methods;

type Outcome<T = Value> = Result<T, Error>;

/// Adds all of them.
pub(super) fn add(env: &mut Environment<'static>) {
    for name in ["split", "lines", "bool", "chain", "zip"] {
        // Jinja2 does not have them.
        env.remove_filter(name);
    }
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

fn format(state: &mut State, format: &Value, args: Rest<ValueOrKwargs>) -> Outcome {
    let args = printable(state, &values(args))?;
    let format = python::str(state, format)?;
    let style = minijinja::formatting::FormatStyle::Printf;
    minijinja::formatting::format(style, &format, &args).map(Value::from)
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
