//! Upper and lower case, as Python's methods and Jinja2's filters change it.

use super::alphabet;

/// What becomes of a text, spelled as it was.
pub(super) fn change(raw: &str, change: fn(&str) -> String) -> String {
    alphabet::like(raw, change(&alphabet::plain(raw)))
}

/// The change that a method of `str` makes.
pub(super) fn method(name: &str) -> Option<fn(&str) -> String> {
    Some(match name {
        "upper" => |text| text.to_uppercase(),
        "lower" | "casefold" => |text| text.to_lowercase(),
        "capitalize" => capitalize,
        "swapcase" => swap,
        "title" => |text| title(text, |char| !char.is_alphabetic()),
        _ => return None,
    })
}

/// The change that a filter makes. Words of the `title` filter begin after other characters than those of
/// the method.
pub(super) fn filter(name: &str) -> Option<fn(&str) -> String> {
    match name {
        "title" => Some(|text| {
            title(text, |char| {
                char.is_whitespace() || matches!(char, '-' | '(' | '{' | '[' | '<')
            })
        }),
        _ => method(name),
    }
}

fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(char::to_uppercase);
    let rest = chars.as_str().to_lowercase();
    first.into_iter().flatten().collect::<String>() + &rest
}

fn title(text: &str, separates: fn(char) -> bool) -> String {
    text.split_inclusive(separates).map(capitalize).collect()
}

fn swap(text: &str) -> String {
    let swap = |char: char| {
        if char.is_uppercase() {
            char.to_lowercase().collect::<String>()
        } else {
            char.to_uppercase().collect()
        }
    };
    text.chars().map(swap).collect()
}
