//! Digits of numbers in the formats of Go's `strconv`.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Lower,
    Upper,
}

impl Case {
    pub(super) fn pick<T>(self, lower: T, upper: T) -> T {
        match self {
            Self::Lower => lower,
            Self::Upper => upper,
        }
    }

    pub(super) fn hex(self, byte: u8) -> String {
        self.pick(format!("{byte:02x}"), format!("{byte:02X}"))
    }
}

pub(super) fn sign(negative: bool, plus: bool, space: bool) -> Option<char> {
    match (negative, plus, space) {
        (true, ..) => Some('-'),
        (_, true, _) => Some('+'),
        (.., true) => Some(' '),
        _ => None,
    }
}

pub(super) fn digits(value: u64, radix: u32, case: Case) -> String {
    match radix {
        2 => format!("{value:b}"),
        8 => format!("{value:o}"),
        16 => case.pick(format!("{value:x}"), format!("{value:X}")),
        _ => value.to_string(),
    }
}

/// The number without its sign; `None` for a verb that floats do not know.
pub(super) fn float(
    value: f64,
    verb: char,
    precision: Option<usize>,
    sharp: bool,
) -> Option<String> {
    if !matches!(
        verb,
        'v' | 'g' | 'G' | 'b' | 'e' | 'E' | 'f' | 'F' | 'x' | 'X'
    ) {
        return None;
    }
    if value.is_nan() {
        return Some("NaN".to_owned());
    }
    let size = value.abs();
    if size.is_infinite() {
        return Some("Inf".to_owned());
    }
    Some(match verb {
        'e' | 'E' => {
            let text = exponential(format!("{size:.*e}", precision.unwrap_or(6)));
            with_point(text, 0, sharp, verb)
        }
        'f' | 'F' => {
            let text = format!("{size:.*}", precision.unwrap_or(6));
            with_point(text, 0, sharp, verb)
        }
        'b' => binary(size),
        'x' | 'X' => with_point(
            hexadecimal(size, precision),
            precision.unwrap_or(6),
            sharp,
            verb,
        ),
        _ => with_point(
            general(size, precision),
            precision.unwrap_or(6),
            sharp,
            verb,
        ),
    })
    .map(|text| {
        if verb.is_ascii_uppercase() {
            text.to_ascii_uppercase()
        } else {
            text
        }
    })
}

/// At least two digits of exponent and its sign, where Rust writes neither.
fn exponential(text: String) -> String {
    let Some((digits, exponent)) = text.split_once('e') else {
        return text;
    };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

/// `%g`: an exponent where it is small or large for the digits there are.
fn general(value: f64, precision: Option<usize>) -> String {
    let text = match precision {
        None => format!("{value:e}"),
        Some(precision) => format!("{value:.*e}", precision.max(1) - 1),
    };
    let Some((digits, exponent)) = text.split_once('e') else {
        return text;
    };
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let mut digits = digits.replace('.', "");
    let significant = digits.trim_end_matches('0').len().max(1);
    digits.truncate(significant);
    let least = match precision {
        None => 6,
        Some(precision) => {
            let precision = precision.max(1);
            let count = digits.len() as i64;
            if precision as i64 > count && count > exponent {
                count
            } else {
                precision as i64
            }
        }
    };
    if exponent < -4 || exponent >= least {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        return exponential(format!("{first}{point}{rest}e{exponent}"));
    }
    let count = digits.len() as i64;
    if exponent < 0 {
        format!("0.{}{digits}", "0".repeat((-exponent - 1) as usize))
    } else if exponent + 1 >= count {
        format!("{digits}{}", "0".repeat((exponent + 1 - count) as usize))
    } else {
        let (whole, fraction) = digits.split_at((exponent + 1) as usize);
        format!("{whole}.{fraction}")
    }
}

/// Mantissa and exponent of 2.
fn parts(value: f64) -> (u64, i64) {
    let bits = value.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    match (bits >> 52) & 0x7ff {
        0 => (fraction, -1074),
        exponent => (fraction | 1 << 52, exponent as i64 - 1075),
    }
}

fn binary(value: f64) -> String {
    let (mantissa, exponent) = parts(value);
    format!("{mantissa}p{exponent:+}")
}

fn hexadecimal(value: f64, precision: Option<usize>) -> String {
    let (mut mantissa, mut exponent) = parts(value);
    if mantissa == 0 {
        let zeros = "0".repeat(precision.unwrap_or(0));
        let point = if zeros.is_empty() { "" } else { "." };
        return format!("0x0{point}{zeros}p+00");
    }
    // One digit before the point, thirteen after it.
    let shift = mantissa.leading_zeros() - 11;
    mantissa <<= shift;
    exponent += 52 - i64::from(shift);
    if let Some(precision) = precision.filter(|&precision| precision < 13) {
        let dropped = (13 - precision) as u32 * 4;
        let half = 1 << (dropped - 1);
        let rest = mantissa & ((1 << dropped) - 1);
        mantissa >>= dropped;
        if rest > half || (rest == half && mantissa & 1 == 1) {
            mantissa += 1;
        }
        mantissa <<= dropped;
        if mantissa >> 53 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let mut fraction = format!("{:013x}", mantissa & ((1 << 52) - 1));
    match precision {
        None => fraction.truncate(fraction.trim_end_matches('0').len()),
        Some(precision) if precision <= fraction.len() => fraction.truncate(precision),
        Some(precision) => fraction.push_str(&"0".repeat(precision - fraction.len())),
    }
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("0x1{point}{fraction}p{sign}{:02}", exponent.abs())
}

/// With `#`, a decimal point is always there, and zeros up to that many digits.
fn with_point(text: String, digits: usize, sharp: bool, verb: char) -> String {
    if !sharp {
        return text;
    }
    let hex = matches!(verb, 'x' | 'X');
    let ends = |char| if hex { char == 'p' } else { char == 'e' };
    let split = text.find(ends).unwrap_or(text.len());
    let (number, tail) = text.split_at(split);
    let mut number = number.to_owned();
    if verb == 'v' || verb == 'g' || verb == 'G' || hex {
        let digits_of = |text: &str| text.chars().filter(|&char| char != '.').count();
        let seen = if hex {
            // Go counts the `x` as well.
            digits_of(&number) - 1
        } else if number == "0" {
            1
        } else {
            digits_of(number.trim_start_matches(['0', '.']))
        };
        if !number.contains('.') {
            number.push('.');
        }
        number.push_str(&"0".repeat(digits.saturating_sub(seen)));
    } else if !number.contains('.') {
        number.push('.');
    }
    number + tail
}
