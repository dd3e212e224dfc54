//! Values as models write them outside of JSON: Python's literals, Gemma's quotes, line breaks in
//! strings.

use serde_json::{Map, Number, Value};

use super::json::MAX_DEPTH;

/// Reads values from a text.
#[derive(Debug)]
pub(super) struct Loose<'a> {
    rest: &'a str,
    /// What opens and closes a string besides the usual quotes; nothing is escaped between two.
    quote: Option<&'a str>,
}

type Read<T> = Result<T, String>;

impl<'a> Loose<'a> {
    pub(super) fn new(text: &'a str, quote: Option<&'a str>) -> Self {
        Self { rest: text, quote }
    }

    /// The calls in `[f(a=1), g()]`, in `f(a=1)`, or in several of these on lines of their own.
    pub(super) fn calls(mut self) -> Read<Vec<(String, Map<String, Value>)>> {
        let mut calls = Vec::new();
        self.space();
        let listed = self.eat("[");
        loop {
            self.space();
            if self.rest.is_empty() || (listed && self.eat("]")) {
                break;
            }
            let name = self.word()?;
            self.expect("(")?;
            calls.push((name.to_owned(), self.named("=", ")")?));
            self.space();
            let comma = self.eat(",");
            self.space();
            if listed && self.eat("]") {
                break;
            }
            if listed && !comma {
                return Err(self.expected("`,` or `]` behind a call"));
            }
        }
        self.end(calls)
    }

    /// One value, and nothing else.
    pub(super) fn only(mut self) -> Read<Value> {
        let value = self.value(0)?;
        self.end(value)
    }

    fn end<T>(&mut self, value: T) -> Read<T> {
        self.space();
        if self.rest.is_empty() {
            Ok(value)
        } else {
            Err(self.expected("the end"))
        }
    }

    /// `name=value` and so on, up to what closes them.
    fn named(&mut self, between: &str, close: &str) -> Read<Map<String, Value>> {
        let mut map = Map::new();
        loop {
            self.space();
            if self.eat(close) {
                return Ok(map);
            }
            let name = self.word()?.to_owned();
            self.space();
            self.expect(between)?;
            let value = self.value(0)?;
            map.insert(name, value);
            self.separator(close)?;
        }
    }

    /// A comma, or what closes the list, which stays.
    fn separator(&mut self, close: &str) -> Read<()> {
        self.space();
        if self.eat(",") || self.rest.starts_with(close) {
            Ok(())
        } else {
            Err(self.expected(&format!("`,` or `{close}`")))
        }
    }

    fn value(&mut self, depth: u32) -> Read<Value> {
        self.space();
        if depth > MAX_DEPTH {
            return Err("it is nested too deep".to_owned());
        }
        if let Some(text) = self.string()? {
            return Ok(Value::String(text));
        }
        if self.eat("[") {
            return self.list("]", depth);
        }
        if self.eat("(") {
            return self.list(")", depth);
        }
        if self.eat("{") {
            return self.map(depth);
        }
        self.scalar()
    }

    fn list(&mut self, close: &str, depth: u32) -> Read<Value> {
        let mut items = Vec::new();
        loop {
            self.space();
            if self.eat(close) {
                return Ok(Value::Array(items));
            }
            items.push(self.value(depth + 1)?);
            self.separator(close)?;
        }
    }

    fn map(&mut self, depth: u32) -> Read<Value> {
        let mut map = Map::new();
        loop {
            self.space();
            if self.eat("}") {
                return Ok(Value::Object(map));
            }
            let key = match self.string()? {
                Some(key) => key,
                None => self.word()?.to_owned(),
            };
            self.space();
            self.expect(":")?;
            let value = self.value(depth + 1)?;
            map.insert(key, value);
            self.separator("}")?;
        }
    }

    fn scalar(&mut self) -> Read<Value> {
        let end = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || "+-._".contains(c)));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        let value = match word {
            "true" | "True" => Value::Bool(true),
            "false" | "False" => Value::Bool(false),
            "null" | "None" => Value::Null,
            word => Value::Number(number(word).ok_or_else(|| self.expected("a value"))?),
        };
        self.rest = rest;
        Ok(value)
    }

    /// A string, if one begins here.
    fn string(&mut self) -> Read<Option<String>> {
        if let Some(quote) = self.quote
            && let Some(rest) = self.rest.strip_prefix(quote)
        {
            let (text, rest) = rest.split_once(quote).ok_or("a string has no end")?;
            self.rest = rest;
            return Ok(Some(text.to_owned()));
        }
        let Some(quote) = self.rest.chars().next().filter(|&c| c == '"' || c == '\'') else {
            return Ok(None);
        };
        let mut text = String::new();
        let mut chars = self.rest.chars();
        chars.next();
        loop {
            match chars.next() {
                None => return Err("a string has no end".to_owned()),
                Some(c) if c == quote => break,
                Some('\\') => escape(&mut chars, &mut text)?,
                Some(c) => text.push(c),
            }
        }
        self.rest = chars.as_str();
        Ok(Some(text))
    }

    fn word(&mut self) -> Read<&'a str> {
        let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        if end == 0 {
            return Err(self.expected("a name"));
        }
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(word)
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => self.rest = rest,
            None => return false,
        }
        true
    }

    fn expect(&mut self, text: &str) -> Read<()> {
        if self.eat(text) {
            Ok(())
        } else {
            Err(self.expected(&format!("`{text}`")))
        }
    }

    fn expected(&self, what: &str) -> String {
        let found: String = self.rest.chars().take(20).collect();
        if found.is_empty() {
            format!("{what} is missing at the end")
        } else {
            format!("{what} is missing before `{found}`")
        }
    }
}

/// What a name of a tool or argument is made of where nothing quotes it.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_-./".contains(c)
}

/// A number; the largest there is for one that is larger.
pub(super) fn number(word: &str) -> Option<Number> {
    let plain = word.replace('_', "");
    let plain = plain.strip_prefix('+').unwrap_or(&plain);
    if let Ok(whole) = plain.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = plain.parse::<u64>() {
        return Some(whole.into());
    }
    // Rust also reads `nan` and `infinity`, which no value of JSON can be.
    if plain.contains(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')) {
        return None;
    }
    let number = plain.parse::<f64>().ok()?;
    Number::from_f64(number.clamp(f64::MIN, f64::MAX))
}

/// What follows a backslash, in JSON or Python.
fn escape(chars: &mut std::str::Chars<'_>, text: &mut String) -> Read<()> {
    let c = chars.next().ok_or("a string has no end")?;
    let plain = match c {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'x' => code(hex(chars, 2)?)?,
        'U' => code(hex(chars, 8)?)?,
        'u' => {
            let first = hex(chars, 4)?;
            if (0xd800..0xdc00).contains(&first) {
                let rest = chars.as_str();
                let second = rest.strip_prefix("\\u").and_then(|rest| rest.get(..4));
                let second = second.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                let second = second
                    .filter(|low| (0xdc00..0xe000).contains(low))
                    .ok_or("half of a surrogate pair is missing")?;
                *chars = rest.get(6..).unwrap_or("").chars();
                code(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))?
            } else {
                code(first)?
            }
        }
        '\n' => return Ok(()),
        '"' | '\'' | '\\' | '/' => c,
        // Python keeps the backslash of what it does not know.
        other => {
            text.push('\\');
            other
        }
    };
    text.push(plain);
    Ok(())
}

fn hex(chars: &mut std::str::Chars<'_>, digits: usize) -> Read<u32> {
    let rest = chars.as_str();
    let value = rest.get(..digits).filter(|d| !d.starts_with('+'));
    let value = value.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let value = value.ok_or("an escape lacks its digits")?;
    *chars = rest.get(digits..).unwrap_or("").chars();
    Ok(value)
}

fn code(value: u32) -> Read<char> {
    char::from_u32(value).ok_or_else(|| format!("there is no character {value:#x}"))
}
