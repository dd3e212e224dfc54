//! Values as programs in Go print them, because scripts read that.

use serde_json::Value;

/// A number with as few digits as it needs, with an exponent from a million on (`%g`).
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return match value {
            value if value.is_nan() => "NaN".to_owned(),
            value if value > 0.0 => "+Inf".to_owned(),
            _ => "-Inf".to_owned(),
        };
    }
    let shortest = format!("{value:e}");
    let Some((digits, exponent)) = shortest.split_once('e') else {
        return shortest;
    };
    match exponent.parse::<i32>() {
        Ok(exponent @ -4..6) if exponent < 21 => format!("{value}"),
        Ok(exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        Err(_) => shortest,
    }
}

/// A value as Go's syntax has it (`%#v`), but whole numbers with all their digits.
pub(super) fn syntax(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Number(n) => match n.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < 1e15 => format!("{float:.0}"),
            Some(float) => number(float),
            None => n.to_string(),
        },
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            '\n' => quoted += "\\n",
            '\r' => quoted += "\\r",
            '\t' => quoted += "\\t",
            '\x07' => quoted += "\\a",
            '\x08' => quoted += "\\b",
            '\x0b' => quoted += "\\v",
            '\x0c' => quoted += "\\f",
            c if c.is_ascii_control() => quoted += &format!("\\x{:02x}", u32::from(c)),
            c if c.is_control() => quoted += &format!("\\u{:04x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers() {
        for (value, text) in [
            (0.0, "0"),
            (0.7, "0.7"),
            (1.0, "1"),
            (131_072.0, "131072"),
            (1e6, "1e+06"),
            (8_030_261_248.0, "8.030261248e+09"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (-2.5, "-2.5"),
            (1e300, "1e+300"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn values() {
        for (value, text) in [
            (json!("<|eot|>"), r#""<|eot|>""#),
            (json!("a\"\\\n\u{1}é"), r#""a\"\\\n\x01é""#),
            (json!(4096), "4096"),
            (json!(4096.0), "4096"),
            (json!(1_048_576), "1048576"),
            (json!(0.95), "0.95"),
            (json!(true), "true"),
        ] {
            assert_eq!(syntax(&value), text);
        }
    }
}
