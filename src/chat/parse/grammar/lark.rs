//! Pieces of a grammar's text.

use std::fmt::Write;

use serde_json::{Value, json};

/// A grammar that is being written.
#[derive(Debug)]
pub(super) struct Lark<'a> {
    special: &'a [(String, u32)],
    rules: String,
    count: usize,
}

impl<'a> Lark<'a> {
    pub(super) fn new(special: &'a [(String, u32)]) -> Self {
        Self {
            special,
            rules: String::new(),
            count: 0,
        }
    }

    /// The whole text.
    pub(super) fn finish(self, start: &str) -> String {
        format!(
            "%llguidance {{}}\nstart: {start}\nSPACE: /[ \\t\\r\\n]{{1,8}}/\n{}",
            self.rules
        )
    }

    /// Adds a rule and returns its name.
    pub(super) fn rule(&mut self, name: &str, body: &str) -> String {
        self.count += 1;
        let name = format!("{name}_{}", self.count);
        self.line(&name, body);
        name
    }

    fn line(&mut self, head: &str, body: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.rules, "{head}: {body}");
    }

    pub(super) fn special(&self, text: &str) -> bool {
        self.special.iter().any(|(marker, _)| marker == text)
    }

    /// A text, with the tokens that stand for parts of it.
    pub(super) fn text(&self, text: &str) -> String {
        let mut written = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let next = self
                .special
                .iter()
                .filter_map(|(marker, token)| Some((rest.find(marker.as_str())?, marker, token)))
                // Of two at one place the longer one is meant.
                .min_by_key(|(at, marker, _)| (*at, std::cmp::Reverse(marker.len())));
            let (plain, left) = match next {
                Some((at, marker, token)) => {
                    let (plain, left) = rest.split_at(at);
                    (plain, Some((token, left.strip_prefix(marker.as_str()))))
                }
                None => (rest, None),
            };
            if !plain.is_empty() {
                written.push(literal(plain));
            }
            rest = match left {
                Some((token, left)) => {
                    written.push(format!("<[{token}]>"));
                    left.unwrap_or("")
                }
                None => "",
            };
        }
        written.join(" ")
    }

    /// Text up to and with `end`, in which none of `never` occurs before it.
    pub(super) fn until(&mut self, never: &[String], end: &str) -> String {
        self.bounded(never, end, 0, None)
    }

    /// The same with limits for the number of characters before `end`.
    pub(super) fn bounded(
        &mut self,
        never: &[String],
        end: &str,
        min: u64,
        max: Option<u64>,
    ) -> String {
        let limits = match (min, max) {
            (0, None) => "*".to_owned(),
            (min, None) => format!("{{{min},}}"),
            (min, Some(max)) => format!("{{{min},{max}}}"),
        };
        let text = self.terminal(&format!("/(?s:.){limits}/{}", without(never)));
        if self
            .special
            .iter()
            .any(|(marker, _)| end.contains(marker.as_str()))
        {
            let optional = if min == 0 { "?" } else { "" };
            format!("{text}{optional} {}", self.text(end))
        } else {
            self.count += 1;
            let name = format!("until_{}", self.count);
            self.line(
                &format!("{name}[lazy]"),
                &format!("{text} {}", literal(end)),
            );
            name
        }
    }

    /// Text that is not empty, begins so and has none of `never` in it.
    pub(super) fn free(&mut self, never: &[String], begin: &str) -> String {
        let begin = if begin.is_empty() { "(?s:.)" } else { begin };
        let text = format!("/[ \\t\\r\\n]{{0,8}}{begin}(?s:.*)/{}", without(never));
        self.terminal(&text)
    }

    pub(super) fn terminal(&mut self, body: &str) -> String {
        self.count += 1;
        let name = format!("TEXT_{}", self.count);
        self.line(&name, body);
        name
    }

    /// JSON that fits the schema.
    pub(super) fn json(&mut self, schema: &Value) -> String {
        let mut schema = schema.clone();
        if let Some(object) = schema.as_object_mut() {
            let style = json!({
                "whitespace_flexible": false,
                "item_separator": ", ",
                "key_separator": ": ",
            });
            object.entry("x-guidance").or_insert(style);
        }
        self.rule("json", &format!("%json {schema}"))
    }
}

/// A text in quotes.
pub(super) fn literal(text: &str) -> String {
    Value::from(text).to_string()
}

/// The condition that none of the texts occurs.
fn without(never: &[String]) -> String {
    let mut never: Vec<String> = never.iter().map(|text| regex(text)).collect();
    never.sort();
    never.dedup();
    if never.is_empty() {
        String::new()
    } else {
        format!(" & ~/(?s:.*)({})(?s:.*)/", never.join("|"))
    }
}

/// A regular expression of exactly this text, for use between slashes.
fn regex(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\n' => escaped += "\\n",
            '\r' => escaped += "\\r",
            '\t' => escaped += "\\t",
            c if c.is_ascii_punctuation() && !"_<>\"'`,;:=%!@".contains(c) => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// Whether a schema says something under this key.
pub(super) fn has(schema: &Value, key: &str) -> bool {
    schema.get(key).is_some_and(|value| !value.is_null())
}
