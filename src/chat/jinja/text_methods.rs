//! The methods of Python's `str`, blind to how text is spelled.
//!
//! <https://docs.python.org/3/library/stdtypes.html#string-methods>

use minijinja::value::{Kwargs, Tuple, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};

use super::alphabet;
use super::case;
use super::spelling::{Text, is_space};

type Outcome = Result<Value, Error>;

/// Calls a method by its name; `None` if there is none of that name here.
pub(super) fn call(state: &State, raw: &str, name: &str, args: &[Value]) -> Option<Outcome> {
    let text = Text::new(raw);
    let predicate =
        |holds: &dyn Fn(&str) -> bool| from_args(args).map(|()| holds(&text.plain).into());
    Some(match name {
        "strip" | "lstrip" | "rstrip" => strip_method(&text, name, args),
        "split" | "rsplit" => split_method(&text, name == "rsplit", args),
        "splitlines" => split_lines(&text, args),
        "partition" | "rpartition" => partition(&text, args, name == "rpartition"),
        "startswith" => begins(&text, args, |text, affix| text.starts_with(affix)),
        "endswith" => begins(&text, args, |text, affix| text.ends_with(affix)),
        "removeprefix" => remove_affix(&text, args, |text, affix| text.strip_prefix(affix)),
        "removesuffix" => remove_affix(&text, args, |text, affix| text.strip_suffix(affix)),
        "find" | "index" => find(&text, args, name == "index", false),
        "rfind" | "rindex" => find(&text, args, name == "rindex", true),
        "count" => count(&text, args),
        "replace" => replace_method(state, &text, args),
        "join" => join_method(state, raw, args),
        "zfill" | "ljust" | "rjust" | "center" => pad(state, &text, name, args),
        "isdigit" | "isdecimal" | "isnumeric" => {
            predicate(&|text| !text.is_empty() && text.chars().all(char::is_numeric))
        }
        "isalpha" => predicate(&|text| !text.is_empty() && text.chars().all(char::is_alphabetic)),
        "isalnum" => predicate(&|text| !text.is_empty() && text.chars().all(char::is_alphanumeric)),
        "isspace" => predicate(&|text| !text.is_empty() && text.chars().all(is_space)),
        "isascii" => predicate(&str::is_ascii),
        "islower" => predicate(&|text| is_case(text, char::is_lowercase, char::is_uppercase)),
        "isupper" => predicate(&|text| is_case(text, char::is_uppercase, char::is_lowercase)),
        _ => {
            let change = case::method(name)?;
            from_args(args).map(|()| case::change(raw, change).into())
        }
    })
}

fn is_case(text: &str, wanted: fn(char) -> bool, other: fn(char) -> bool) -> bool {
    text.chars().any(wanted) && !text.chars().any(other)
}

/// A text argument as it reads.
fn plain(value: &Value) -> Result<String, Error> {
    value
        .as_str()
        .map(|text| alphabet::plain(text).into_owned())
        .ok_or_else(|| wrong(format!("a text was expected, not {}", value.kind())))
}

fn wrong(cause: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, cause)
}

/// What remains without these characters, or without space, at the wanted ends.
pub(super) fn strip<'t>(raw: &'t str, chars: Option<&str>, left: bool, right: bool) -> &'t str {
    let text = Text::new(raw);
    let chars = chars.map(alphabet::plain);
    let unwanted = |char: char| match &chars {
        Some(chars) => chars.contains(char),
        None => is_space(char),
    };
    let mut slice: &str = &text.plain;
    if left {
        slice = slice.trim_start_matches(unwanted);
    }
    if right {
        slice = slice.trim_end_matches(unwanted);
    }
    text.cut_slice(slice)
}

fn strip_method(text: &Text, name: &str, args: &[Value]) -> Outcome {
    let (chars,): (Option<&str>,) = from_args(args)?;
    let raw = text.cut(0..text.plain.len());
    Ok(strip(raw, chars, name != "rstrip", name != "lstrip").into())
}

fn split_method(text: &Text, from_right: bool, args: &[Value]) -> Outcome {
    let (separator, limit, kwargs): (Option<Value>, Option<i64>, Kwargs) = from_args(args)?;
    let separator = match separator {
        Some(separator) => Some(separator),
        None => kwargs.get::<Option<Value>>("sep")?,
    };
    let limit = match limit {
        Some(limit) => Some(limit),
        None => kwargs.get::<Option<i64>>("maxsplit")?,
    };
    kwargs.assert_all_used()?;
    split(text, separator.as_ref(), limit, from_right)
}

/// `str.split` and `str.rsplit`.
pub(super) fn split(
    text: &Text,
    separator: Option<&Value>,
    limit: Option<i64>,
    from_right: bool,
) -> Outcome {
    // A negative limit is none.
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(usize::MAX - 1);
    let plain_text: &str = &text.plain;
    let mut parts: Vec<&str> = match separator.filter(|separator| !separator.is_none()) {
        Some(separator) => {
            let separator = plain(separator)?;
            if separator.is_empty() {
                return Err(wrong("empty separator"));
            }
            if from_right {
                plain_text.rsplitn(limit + 1, &*separator).collect()
            } else {
                plain_text.splitn(limit + 1, &*separator).collect()
            }
        }
        None => split_at_space(plain_text, limit, from_right),
    };
    if from_right {
        parts.reverse();
    }
    Ok(parts.into_iter().map(|part| text.cut_slice(part)).collect())
}

/// In the order in which the parts are found.
fn split_at_space(text: &str, limit: usize, from_right: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        rest = if from_right {
            rest.trim_end_matches(is_space)
        } else {
            rest.trim_start_matches(is_space)
        };
        if rest.is_empty() {
            return parts;
        }
        let space = if from_right {
            rest.rfind(is_space).map(|at| {
                let after = rest[at..]
                    .chars()
                    .next()
                    .map_or(at, |char| at + char.len_utf8());
                (&rest[after..], &rest[..after])
            })
        } else {
            rest.find(is_space).map(|at| rest.split_at(at))
        };
        match space.filter(|_| parts.len() < limit) {
            Some((part, left)) => {
                parts.push(part);
                rest = left;
            }
            // The last part keeps the space within it.
            None => {
                parts.push(rest);
                return parts;
            }
        }
    }
}

fn split_lines(text: &Text, args: &[Value]) -> Outcome {
    let (keep, kwargs): (Option<bool>, Kwargs) = from_args(args)?;
    let keep = match keep {
        Some(keep) => keep,
        None => kwargs.get::<Option<bool>>("keepends")?.unwrap_or(false),
    };
    kwargs.assert_all_used()?;
    let mut lines = Vec::new();
    let mut rest: &str = &text.plain;
    let is_end = |char: char| matches!(char, '\n'..='\r' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}');
    while let Some(at) = rest.find(is_end) {
        let end = if rest[at..].starts_with("\r\n") {
            at + 2
        } else {
            at + rest[at..].chars().next().map_or(0, char::len_utf8)
        };
        lines.push(text.cut_slice(&rest[..if keep { end } else { at }]));
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        lines.push(text.cut_slice(rest));
    }
    Ok(lines.into_iter().collect())
}

fn partition(text: &Text, args: &[Value], from_right: bool) -> Outcome {
    let (separator,): (&Value,) = from_args(args)?;
    let separator = plain(separator)?;
    let length = text.plain.len();
    let found = if from_right {
        text.plain.rfind(&*separator)
    } else {
        text.plain.find(&*separator)
    };
    let (left, right) = match found {
        Some(at) => (at, at + separator.len()),
        None if from_right => (0, 0),
        None => (length, length),
    };
    let parts = [0..left, left..right, right..length].map(|part| Value::from(text.cut(part)));
    Ok(Tuple::from(parts).into())
}

/// The part of a text between two places as slices have them.
fn window(text: &str, start: Option<i64>, end: Option<i64>) -> Option<(usize, &str)> {
    if start.is_none() && end.is_none() {
        return Some((0, text));
    }
    let count = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let place = |at: i64| {
        let at = if at < 0 { (count + at).max(0) } else { at };
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        text.char_indices()
            .nth(at)
            .map_or(text.len(), |(byte, _)| byte)
    };
    let (from, to) = (place(start.unwrap_or(0)), place(end.unwrap_or(count)));
    text.get(from..to).map(|part| (from, part))
}

fn begins(text: &Text, args: &[Value], test: fn(&str, &str) -> bool) -> Outcome {
    let (affix, start, end): (&Value, Option<i64>, Option<i64>) = from_args(args)?;
    let Some((_, part)) = window(&text.plain, start, end) else {
        return Ok(false.into());
    };
    if affix.kind() == ValueKind::Seq {
        for affix in affix.try_iter()? {
            if test(part, &plain(&affix)?) {
                return Ok(true.into());
            }
        }
        return Ok(false.into());
    }
    Ok(test(part, &plain(affix)?).into())
}

fn remove_affix(
    text: &Text,
    args: &[Value],
    strip: for<'a> fn(&'a str, &str) -> Option<&'a str>,
) -> Outcome {
    let (affix,): (&Value,) = from_args(args)?;
    let rest = strip(&text.plain, &plain(affix)?).unwrap_or(&text.plain);
    Ok(text.cut_slice(rest).into())
}

fn find(text: &Text, args: &[Value], must: bool, from_right: bool) -> Outcome {
    let (part, start, end): (&Value, Option<i64>, Option<i64>) = from_args(args)?;
    let part = plain(part)?;
    let found = window(&text.plain, start, end)
        .and_then(|(from, window)| {
            let at = if from_right {
                window.rfind(&*part)
            } else {
                window.find(&*part)
            };
            at.map(|at| from + at)
        })
        .map(|at| text.plain[..at].chars().count());
    match found {
        Some(at) => Ok(at.into()),
        None if must => Err(wrong("substring not found")),
        None => Ok((-1).into()),
    }
}

fn count(text: &Text, args: &[Value]) -> Outcome {
    let (part, start, end): (&Value, Option<i64>, Option<i64>) = from_args(args)?;
    let part = plain(part)?;
    let window = window(&text.plain, start, end);
    Ok(window
        .map_or(0, |(_, window)| window.matches(&*part).count())
        .into())
}

fn replace_method(state: &State, text: &Text, args: &[Value]) -> Outcome {
    let (old, new, count, kwargs): (&Value, &str, Option<i64>, Kwargs) = from_args(args)?;
    let count = match count {
        Some(count) => Some(count),
        None => kwargs.get::<Option<i64>>("count")?,
    };
    kwargs.assert_all_used()?;
    replace(state, text, &plain(old)?, new, count)
}

/// `str.replace`.
pub(super) fn replace(
    state: &State,
    text: &Text,
    old: &str,
    new: &str,
    count: Option<i64>,
) -> Outcome {
    let count = count.and_then(|count| usize::try_from(count).ok());
    let mut result = String::new();
    let mut from = 0;
    for (at, found) in text
        .plain
        .match_indices(old)
        .take(count.unwrap_or(usize::MAX))
    {
        // The engine counts what comes out; this must not grow far before it does.
        state.consume_fuel((new.len() / 64) as u64)?;
        result.push_str(text.cut(from..at));
        result.push_str(new);
        from = at + found.len();
    }
    result.push_str(text.cut(from..text.plain.len()));
    Ok(result.into())
}

fn join_method(state: &State, separator: &str, args: &[Value]) -> Outcome {
    let (values,): (&Value,) = from_args(args)?;
    let mut result = String::new();
    for (at, value) in values.try_iter()?.enumerate() {
        let text = value
            .as_str()
            .ok_or_else(|| wrong(format!("item {at} of join is no text but {}", value.kind())))?;
        if at > 0 {
            result.push_str(separator);
        }
        result.push_str(text);
        state.consume_fuel(((separator.len() + text.len()) / 64) as u64)?;
    }
    Ok(result.into())
}

fn pad(state: &State, text: &Text, name: &str, args: &[Value]) -> Outcome {
    let (width, fill): (i64, Option<&str>) = from_args(args)?;
    let length = text.plain.chars().count();
    let raw = text.cut(0..text.plain.len());
    let missing = usize::try_from(width).unwrap_or(0).saturating_sub(length);
    state.consume_fuel((missing / 16) as u64)?;
    let fill = if name == "zfill" {
        "0"
    } else {
        fill.unwrap_or(" ")
    };
    let left = match name {
        "ljust" => 0,
        // CPython puts the odd one on the left when the width is odd.
        "center" => missing / 2 + (missing & usize::try_from(width).unwrap_or(0) & 1),
        _ => missing,
    };
    if name == "zfill" && text.plain.starts_with(['+', '-']) {
        let (sign, digits) = (text.cut(0..1), text.cut(1..text.plain.len()));
        return Ok(format!("{sign}{}{digits}", fill.repeat(left)).into());
    }
    Ok(format!("{}{raw}{}", fill.repeat(left), fill.repeat(missing - left)).into())
}
