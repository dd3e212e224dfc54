//! Values as Python prints them, `str` and `repr`, and as its `json.dumps` writes them.

use std::fmt::Write as _;

use minijinja::value::{ValueIter, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::alphabet;
use super::data::MAX_DEPTH;

type Outcome<T = ()> = Result<T, Error>;

fn failed(cause: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, cause)
}

/// `str(value)`. A container with text of messages in it is a message's as a whole.
pub(super) fn str(state: &State, value: &Value) -> Outcome<String> {
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    print(Some(state), |printer| printer.repr(value, 0))
}

/// `str` of a value that is as large as the input at most.
pub(super) fn str_of_input(value: &Value) -> Outcome<String> {
    print(None, |printer| printer.repr(value, 0))
}

/// `repr(value)`.
pub(super) fn repr(state: &State, value: &Value) -> Outcome<String> {
    print(Some(state), |printer| printer.repr(value, 1))
}

/// How `json.dumps` is asked to write.
#[derive(Debug, Clone)]
pub(super) struct JsonStyle {
    pub(super) ensure_ascii: bool,
    pub(super) sort_keys: bool,
    /// What a level is indented with; `None` writes one line.
    pub(super) indent: Option<String>,
    pub(super) item_separator: String,
    pub(super) key_separator: String,
}

impl Default for JsonStyle {
    fn default() -> Self {
        Self {
            ensure_ascii: false,
            sort_keys: false,
            indent: None,
            item_separator: ", ".to_owned(),
            key_separator: ": ".to_owned(),
        }
    }
}

/// `json.dumps(value)`. What has text of messages in it is a message's as a whole.
pub(super) fn json(state: &State, value: &Value, style: &JsonStyle) -> Outcome<String> {
    print(Some(state), |printer| printer.json(value, style, 0))
}

fn print(state: Option<&State>, write: impl FnOnce(&mut Printer) -> Outcome) -> Outcome<String> {
    let mut printer = Printer {
        state,
        text: String::new(),
        spelled: false,
    };
    write(&mut printer)?;
    Ok(if printer.spelled {
        alphabet::respell(&printer.text)
    } else {
        printer.text
    })
}

/// How Python writes a float.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    // The shortest digits that read back as the same number are the same in both languages.
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = value.to_string();
        if plain.contains('.') {
            plain
        } else {
            plain + ".0"
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}e{sign}{:02}", exponent.abs())
    }
}

struct Printer<'s> {
    /// What pays for the work.
    state: Option<&'s State<'s, 's>>,
    text: String,
    spelled: bool,
}

impl Printer<'_> {
    fn pay(&self, bytes: usize) -> Outcome {
        match self.state {
            Some(state) => state.consume_fuel(1 + (bytes / 64) as u64),
            None => Ok(()),
        }
    }

    /// A text as it reads.
    fn read<'t>(&mut self, text: &'t str) -> std::borrow::Cow<'t, str> {
        self.spelled |= alphabet::is_spelled(text);
        alphabet::plain(text)
    }

    fn repr(&mut self, value: &Value, depth: usize) -> Outcome {
        if depth > MAX_DEPTH {
            return Err(failed("a value is nested too deep to be printed"));
        }
        self.pay(value.as_str().map_or(0, |text| text.len()))?;
        match value.kind() {
            ValueKind::Undefined => {
                if depth > 0 {
                    self.text.push_str("Undefined");
                }
            }
            ValueKind::Number => self.number(value, "nan", "inf"),
            ValueKind::String => self.quoted(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let tuple = value.is_tuple();
                self.text.push(if tuple { '(' } else { '[' });
                let mut count = 0;
                for item in items(value)? {
                    if count > 0 {
                        self.text.push_str(", ");
                    }
                    self.repr(&item, depth + 1)?;
                    count += 1;
                }
                if tuple && count == 1 {
                    self.text.push(',');
                }
                self.text.push(if tuple { ')' } else { ']' });
            }
            ValueKind::Map => {
                self.text.push('{');
                for (at, key) in items(value)?.enumerate() {
                    if at > 0 {
                        self.text.push_str(", ");
                    }
                    self.repr(&key, depth + 1)?;
                    self.text.push_str(": ");
                    self.repr(&value.get_item(&key)?, depth + 1)?;
                }
                self.text.push('}');
            }
            _ => self.text.push_str(&value.to_string()),
        }
        Ok(())
    }

    fn quoted(&mut self, text: &str) {
        let text = self.read(text);
        let quote = if text.contains('\'') && !text.contains('"') {
            '"'
        } else {
            '\''
        };
        self.text.push(quote);
        for char in text.chars() {
            match char {
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                _ if char == quote => self.text.extend(['\\', quote]),
                _ if is_printable(char) => self.text.push(char),
                _ => self.escape(char),
            }
        }
        self.text.push(quote);
    }

    fn escape(&mut self, char: char) {
        let code = u32::from(char);
        // Writing to a String cannot fail.
        let _ = match code {
            0..=0xff => write!(self.text, "\\x{code:02x}"),
            0x100..=0xffff => write!(self.text, "\\u{code:04x}"),
            _ => write!(self.text, "\\U{code:08x}"),
        };
    }

    fn number(&mut self, value: &Value, nan: &str, infinity: &str) {
        if value.is_integer() {
            self.text.push_str(&value.to_string());
            return;
        }
        let number = f64::try_from(value.clone()).unwrap_or(f64::NAN);
        if number.is_nan() {
            self.text.push_str(nan);
        } else if number.is_infinite() {
            self.text.push_str(if number > 0.0 { "" } else { "-" });
            self.text.push_str(infinity);
        } else {
            self.text.push_str(&float(number));
        }
    }

    fn json(&mut self, value: &Value, style: &JsonStyle, depth: usize) -> Outcome {
        if depth > MAX_DEPTH {
            return Err(failed("a value is nested too deep for JSON"));
        }
        self.pay(value.as_str().map_or(0, |text| text.len()))?;
        match value.kind() {
            ValueKind::None => self.text.push_str("null"),
            ValueKind::Bool => self
                .text
                .push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.number(value, "NaN", "Infinity"),
            ValueKind::String => {
                self.json_text(value.as_str().unwrap_or_default(), style.ensure_ascii);
            }
            ValueKind::Seq | ValueKind::Iterable => {
                let mut empty = true;
                self.text.push('[');
                for item in items(value)? {
                    self.separate(style, depth, std::mem::take(&mut empty));
                    self.json(&item, style, depth + 1)?;
                }
                self.close(style, depth, empty, ']');
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = items(value)?.collect();
                if style.sort_keys {
                    keys.sort_by_cached_key(|key| {
                        key.as_str().map(|key| alphabet::plain(key).into_owned())
                    });
                }
                self.text.push('{');
                for (at, key) in keys.iter().enumerate() {
                    self.separate(style, depth, at == 0);
                    match key.as_str() {
                        Some(key) => self.json_text(key, style.ensure_ascii),
                        None => {
                            let key =
                                print(None, |key_printer| key_printer.json(key, style, MAX_DEPTH))?;
                            self.json_text(&key, style.ensure_ascii);
                        }
                    }
                    self.text.push_str(&style.key_separator);
                    self.json(&value.get_item(key)?, style, depth + 1)?;
                }
                self.close(style, depth, keys.is_empty(), '}');
            }
            ValueKind::Undefined => return Err(failed("an undefined value has no JSON")),
            _ => return Err(failed("a value of this kind has no JSON")),
        }
        Ok(())
    }

    fn separate(&mut self, style: &JsonStyle, depth: usize, first: bool) {
        if !first {
            self.text.push_str(&style.item_separator);
        }
        self.line(style, depth + 1);
    }

    fn close(&mut self, style: &JsonStyle, depth: usize, empty: bool, bracket: char) {
        if !empty {
            self.line(style, depth);
        }
        self.text.push(bracket);
    }

    fn line(&mut self, style: &JsonStyle, depth: usize) {
        if let Some(indent) = &style.indent {
            self.text.push('\n');
            for _ in 0..depth {
                self.text.push_str(indent);
            }
        }
    }

    fn json_text(&mut self, text: &str, ensure_ascii: bool) {
        let text = self.read(text);
        self.text.push('"');
        for char in text.chars() {
            match char {
                '"' | '\\' => self.text.extend(['\\', char]),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\x08' => self.text.push_str("\\b"),
                '\x0c' => self.text.push_str("\\f"),
                '\0'..='\x1f' => self.code_units(char),
                _ if ensure_ascii && char > '\x7e' => self.code_units(char),
                _ => self.text.push(char),
            }
        }
        self.text.push('"');
    }

    fn code_units(&mut self, char: char) {
        for unit in char.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(self.text, "\\u{unit:04x}");
        }
    }
}

fn items(value: &Value) -> Outcome<ValueIter> {
    value.try_iter()
}

/// What Python's `str.isprintable` says, as far as no tables are needed: controls, separators other than
/// the space, and what is no character are not printed as they are.
fn is_printable(char: char) -> bool {
    !char.is_control()
        && (char == ' ' || !char.is_whitespace())
        && !matches!(char,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{fffe}'..='\u{ffff}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..)
}
