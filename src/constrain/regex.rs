//! Regular expressions: what llguidance would take for something else is refused.

use llguidance::derivre::RegexBuilder;

use super::compile::{Refusal, guarded};
use super::limits;

/// Checks an expression that has to match a whole text.
pub(super) fn check(pattern: &str) -> Result<(), Refusal> {
    check_parts(pattern)?;
    let parsed = guarded(|| RegexBuilder::new().mk_regex(pattern).map(drop));
    parsed.map_err(Refusal::bad)
}

/// Checks an expression that has to match somewhere in a text, as `pattern` of a schema does.
pub(super) fn check_search(pattern: &str) -> Result<(), Refusal> {
    check_parts(pattern)?;
    let parsed = guarded(|| RegexBuilder::new().mk_regex_for_serach(pattern).map(drop));
    parsed.map_err(Refusal::bad)
}

/// An expression of a schema (ECMA-262) in the words of the `regex` crate, where they differ: `.` and `\s`.
/// `\d` and `\w` are ASCII in both places, which llguidance sees to.
pub(super) fn from_ecma(pattern: &str) -> String {
    const BLANKS: &str =
        r"\t-\r \u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}";
    let mut out = String::with_capacity(pattern.len());
    let mut in_class = false;
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('s') => out.extend(["[", BLANKS, "]"]),
                Some('S') => out.extend(["[^", BLANKS, "]"]),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            '.' if !in_class => out.push_str(r"[^\n\r\u{2028}\u{2029}]"),
            _ => {
                in_class = match c {
                    '[' => true,
                    ']' => false,
                    _ => in_class,
                };
                out.push(c);
            }
        }
    }
    out
}

/// Checks what does not show when an expression is parsed.
pub(super) fn check_parts(pattern: &str) -> Result<(), Refusal> {
    if pattern.len() > limits::REGEX {
        return Err(Refusal::large(format!(
            "a regular expression of {} bytes; at most {}",
            pattern.len(),
            limits::REGEX
        )));
    }
    let options = options(pattern);
    if options > limits::REGEX_OPTIONS {
        return Err(Refusal::large(format!(
            "a regular expression with {options} repetitions and groups; at most {}",
            limits::REGEX_OPTIONS
        )));
    }
    // A group of this name means look-ahead there.
    if pattern.contains("<stop>") {
        return Err(Refusal::unsupported("a group named `stop`"));
    }
    Ok(())
}

/// At least as many as there are repetitions and groups.
pub(super) fn options(pattern: &str) -> usize {
    pattern
        .bytes()
        .filter(|byte| b"?*+{(".contains(byte))
        .count()
}
