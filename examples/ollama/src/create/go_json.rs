//! JSON as Go's encoder writes it, so that equal layers are equal bytes.

use serde_json::Value;

/// The value on one line, with keys in order if `sorted`, and a line's end.
pub(super) fn line(value: &Value, sorted: bool) -> Vec<u8> {
    let mut out = String::new();
    write(value, sorted, &mut out);
    out.push('\n');
    out.into_bytes()
}

fn write(value: &Value, sorted: bool, out: &mut String) {
    match value {
        Value::Number(number) => out.push_str(&number_text(number)),
        Value::String(text) => string(text, out),
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                out.push(if index == 0 { '[' } else { ',' });
                write(value, sorted, out);
            }
            out.push_str(if values.is_empty() { "[]" } else { "]" });
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            if sorted {
                members.sort_unstable_by_key(|(key, _)| *key);
            }
            for (index, (key, value)) in members.iter().enumerate() {
                out.push(if index == 0 { '{' } else { ',' });
                string(key, out);
                out.push(':');
                write(value, sorted, out);
            }
            out.push_str(if members.is_empty() { "{}" } else { "}" });
        }
        other => out.push_str(&other.to_string()),
    }
}

/// The shortest digits, with an exponent from 1e21 on and below 1e-6.
fn number_text(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => {
            let size = float.abs();
            if size != 0.0 && !(1e-6..1e21).contains(&size) {
                let text = format!("{float:e}");
                return if size < 1.0 {
                    text
                } else {
                    text.replace('e', "e+")
                };
            }
            format!("{float}")
        }
        _ => number.to_string(),
    }
}

/// What could be taken for HTML is escaped as well.
fn string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => escape(c, out),
            c if c < ' ' => escape(c, out),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn escape(c: char, out: &mut String) {
    out.push_str(&format!("\\u{:04x}", u32::from(c)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn as_go_writes_it() {
        let value = json!({
            "stop": ["<|im_start|>", "a&b", "\"\\\n\t\u{1}\u{2028}ü"],
            "num_ctx": 4096.0,
            "temperature": 0.7,
            "seed": 9_007_199_254_740_993_i64,
            "big": 1e21,
            "small": 0.000_000_1,
            "x": {}, "y": [], "z": null, "b": true,
        });
        assert_eq!(
            String::from_utf8(line(&value, true)).unwrap(),
            r#"{"b":true,"big":1e+21,"num_ctx":4096,"seed":9007199254740993,"small":1e-7,"stop":["\u003c|im_start|\u003e","a\u0026b","\"\\\n\t\u0001\u2028ü"],"temperature":0.7,"x":{},"y":[],"z":null}"#
                .to_owned() + "\n"
        );
        let value = json!([{"role": "user", "content": "hi"}]);
        assert_eq!(
            line(&value, false),
            b"[{\"role\":\"user\",\"content\":\"hi\"}]\n"
        );
    }
}
