//! Texts in quotes: read as Python reads them, written as the engine reads them.

use std::borrow::Cow;

/// What a quoted text says. Jinja2 decodes it with Python's `unicode-escape`.
pub(super) fn read(quoted: &str) -> Result<String, &'static str> {
    let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            text.push(char);
            continue;
        }
        match chars.next().ok_or("a text ends with a backslash")? {
            '\n' => {}
            'a' => text.push('\x07'),
            'b' => text.push('\x08'),
            'f' => text.push('\x0c'),
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'v' => text.push('\x0b'),
            same @ ('\\' | '\'' | '"') => text.push(same),
            'x' => text.push(code(&mut chars, 2)?),
            'u' => text.push(code(&mut chars, 4)?),
            'U' => text.push(code(&mut chars, 8)?),
            'N' => return Err("characters by name are not known"),
            digit @ '0'..='7' => text.push(octal(digit, &mut chars)),
            other => text.extend(['\\', other]),
        }
    }
    Ok(text)
}

/// A character by its number, which must have this many hexadecimal digits.
fn code(chars: &mut std::str::Chars, digits: u32) -> Result<char, &'static str> {
    let mut number = 0;
    for _ in 0..digits {
        let digit = chars.next().and_then(|char| char.to_digit(16));
        number = number * 16 + digit.ok_or("a text has an incomplete escape")?;
    }
    char::from_u32(number).ok_or("a text has a number that is no character")
}

fn octal(first: char, chars: &mut std::str::Chars) -> char {
    let mut number = first.to_digit(8).unwrap_or(0);
    for _ in 0..2 {
        let Some(digit) = chars.clone().next().and_then(|char| char.to_digit(8)) else {
            break;
        };
        number = number * 8 + digit;
        chars.next();
    }
    // Three digits say 511 at most, and all up to that are characters.
    char::from_u32(number).unwrap_or_default()
}

/// The same text for the engine; what needs no change stays as it was.
pub(super) fn write<'s>(quoted: &'s str, text: &str) -> Cow<'s, str> {
    if !quoted.contains('\\') {
        return Cow::Borrowed(quoted);
    }
    let mut written = String::with_capacity(quoted.len() + 2);
    // Newlines that were in the source keep the count of lines; escaped ones do not add any.
    written.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => written.extend(['\\', char]),
            '\n' => written.push_str("\\n"),
            _ => written.push(char),
        }
    }
    written.push('"');
    let lines = quoted.matches('\n').count();
    // Between tokens newlines are just space.
    written.extend(std::iter::repeat_n('\n', lines));
    Cow::Owned(written)
}
