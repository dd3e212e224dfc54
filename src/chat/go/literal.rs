//! Go's literals: numbers, characters, quoted text.

use super::ast::{Quoted, Term};

/// What an escape or a character of a literal stands for.
enum Unit {
    Byte(u8),
    Char(char),
}

/// The value of a quoted text with its quotes.
pub(super) fn text(literal: &str) -> Option<Quoted> {
    let inner = literal.get(1..literal.len().checked_sub(1)?)?;
    if literal.starts_with('`') {
        return Some(Quoted(inner.replace('\r', "").into_bytes()));
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while !rest.is_empty() {
        let (unit, left) = unit(rest, '"')?;
        match unit {
            Unit::Byte(byte) => bytes.push(byte),
            Unit::Char(char) => {
                bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        rest = left;
    }
    Some(Quoted(bytes))
}

/// The number of a character with its quotes.
pub(super) fn character(literal: &str) -> Option<i64> {
    let (unit, rest) = unit(literal.get(1..)?, '\'')?;
    (rest == "'").then_some(match unit {
        Unit::Byte(byte) => i64::from(byte),
        Unit::Char(char) => i64::from(u32::from(char)),
    })
}

fn unit(text: &str, quote: char) -> Option<(Unit, &str)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first == quote {
        return None;
    }
    if first != '\\' {
        return Some((Unit::Char(first), chars.as_str()));
    }
    let escape = chars.next()?;
    let rest = chars.as_str();
    let digits = |from: &'_ str, count: usize, radix: u32| {
        let digits = from.get(..count)?;
        let all = digits.chars().all(|digit| digit.is_digit(radix));
        all.then(|| u32::from_str_radix(digits, radix).ok())?
    };
    let plain = |char: char| Some((Unit::Char(char), rest));
    match escape {
        'a' => plain('\x07'),
        'b' => plain('\x08'),
        'f' => plain('\x0c'),
        'n' => plain('\n'),
        'r' => plain('\r'),
        't' => plain('\t'),
        'v' => plain('\x0b'),
        '\\' => plain('\\'),
        '\'' | '"' if escape == quote => plain(quote),
        'x' => {
            let byte = u8::try_from(digits(rest, 2, 16)?).ok()?;
            Some((Unit::Byte(byte), rest.get(2..)?))
        }
        'u' => Some((
            Unit::Char(char::from_u32(digits(rest, 4, 16)?)?),
            &rest[4..],
        )),
        'U' => Some((
            Unit::Char(char::from_u32(digits(rest, 8, 16)?)?),
            &rest[8..],
        )),
        '0'..='7' => {
            let byte = u8::try_from(digits(&text[1..], 3, 8)?).ok()?;
            Some((Unit::Byte(byte), text.get(4..)?))
        }
        _ => None,
    }
}

/// The value of a number, as Go's templates make it of a constant.
pub(super) fn number(literal: &str) -> Result<Term, String> {
    if literal.ends_with('i') {
        return Err(format!("complex number {literal}: not supported"));
    }
    let floating = literal.contains(['.', 'e', 'E', 'p', 'P']);
    let hex = is_hex(literal) && !literal.contains(['p', 'P']);
    if let Some(value) = integer(literal) {
        return Ok(Term::Int(value));
    }
    if integer_of_64_bits(literal) {
        return Err(format!("{literal} overflows int"));
    }
    match float(literal) {
        Some(_) if !floating => Err(format!("integer overflow: {literal:?}")),
        Some(value) if !hex => Ok(Term::Float(value)),
        _ => Err(format!("illegal number syntax: {literal:?}")),
    }
}

fn unsigned(literal: &str) -> &str {
    literal.strip_prefix(['+', '-']).unwrap_or(literal)
}

fn is_hex(literal: &str) -> bool {
    matches!(unsigned(literal).as_bytes(), [b'0', b'x' | b'X', _, ..])
}

/// Sign, digits and their radix; `None` if digits and underscores are not where they may be.
fn parts(literal: &str) -> Option<(bool, String, u32)> {
    let body = unsigned(literal);
    let (digits, radix) = match body.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&body[2..], 16),
        [b'0', b'o' | b'O', ..] => (&body[2..], 8),
        [b'0', b'b' | b'B', ..] => (&body[2..], 2),
        [b'0', _, ..] => (&body[1..], 8),
        _ => (body, 10),
    };
    let digits = if radix == 10 {
        digits
    } else {
        digits.strip_prefix('_').unwrap_or(digits)
    };
    let separated = digits.split('_').all(|part| !part.is_empty());
    let digits = digits.replace('_', "");
    let valid = separated && digits.chars().all(|digit| digit.is_digit(radix));
    valid.then_some((literal.starts_with('-'), digits, radix))
}

fn integer(literal: &str) -> Option<i64> {
    let (negative, digits, radix) = parts(literal)?;
    let value = i128::from(u64::from_str_radix(&digits, radix).ok()?);
    i64::try_from(if negative { -value } else { value }).ok()
}

fn integer_of_64_bits(literal: &str) -> bool {
    !literal.starts_with(['+', '-'])
        && parts(literal)
            .is_some_and(|(_, digits, radix)| u64::from_str_radix(&digits, radix).is_ok())
}

fn float(literal: &str) -> Option<f64> {
    let hex = is_hex(literal);
    let value = if !separates_digits(literal, hex) {
        return None;
    } else if hex {
        hex_float(&literal.replace('_', ""))?
    } else {
        let plain = literal.replace('_', "");
        // Rust reads all that Go does, once it is known to be digits, a point and an exponent.
        unsigned(&plain)
            .chars()
            .all(|char| matches!(char, '0'..='9' | '.' | 'e' | 'E' | '+' | '-'))
            .then(|| plain.parse().ok())??
    };
    f64::is_finite(value).then_some(value)
}

/// Whether each underscore stands between digits, or between the prefix and a digit.
fn separates_digits(literal: &str, hex: bool) -> bool {
    let radix = if hex { 16 } else { 10 };
    let digit = |byte: Option<&u8>| byte.is_some_and(|&byte| char::from(byte).is_digit(radix));
    let body = unsigned(literal).as_bytes();
    let underscores = body.iter().enumerate().filter(|(_, byte)| **byte == b'_');
    let mut separates = underscores.map(|(at, _)| {
        let before = at.checked_sub(1);
        let prefixed = hex && at == 2;
        (prefixed || digit(before.and_then(|at| body.get(at)))) && digit(body.get(at + 1))
    });
    separates.all(|separates| separates)
}

fn hex_float(literal: &str) -> Option<f64> {
    let body = unsigned(literal).get(2..)?;
    let (mantissa, exponent) = body.split_once(['p', 'P'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut bits = 0_u64;
    let mut scale = i64::from(exponent) - 4 * i64::try_from(fraction.len()).ok()?;
    let mut any = false;
    for digit in whole.chars().chain(fraction.chars()) {
        let digit = u64::from(digit.to_digit(16)?);
        any = true;
        if bits >> 60 == 0 {
            bits = bits << 4 | digit;
        } else {
            // Beyond what a float holds: only whether something is there matters for rounding.
            bits |= u64::from(digit != 0);
            scale += 4;
        }
    }
    let scale = i32::try_from(scale.clamp(-4000, 4000)).ok()?;
    // In two steps, as 2 to the scale alone may be out of range.
    let half = scale / 2;
    let value = bits as f64 * 2_f64.powi(half) * 2_f64.powi(scale - half);
    any.then_some(if literal.starts_with('-') {
        -value
    } else {
        value
    })
}
