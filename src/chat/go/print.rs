//! Values as Go's `fmt` prints them.

use super::number::{self, Case};
use super::quote;
use super::text::{Author, Buffer, Text};
use super::value::{Entries, ListKind, MapKind, Struct, StructKind, Value};
use super::{json, limits};

/// What pointers print as: Go prints an address, which nothing can rely on.
const ADDRESS: &str = "0xc000000000";

/// How `print` and an action print a value.
pub(super) fn print(buffer: &mut Buffer, value: &Value) {
    Printer::new(buffer).argument(value, 'v');
}

/// What a template's action prints: no value has a name of its own, pointers are followed.
pub(super) fn action(buffer: &mut Buffer, value: &Value) {
    match value {
        Value::Invalid | Value::Nil => buffer.push_str("<no value>"),
        Value::Struct(value) if value.is_pointer() => Printer::new(buffer).fields(value, 'v'),
        Value::Ordered(Some(_)) => buffer.push_str("{<nil>}"),
        value => print(buffer, value),
    }
}

/// Go's `Sprint`: spaces between operands when neither is a string.
pub(super) fn all(buffer: &mut Buffer, values: &[Value]) {
    let is_text = |value: &Value| matches!(value, Value::Text(_));
    spaced(buffer, values, is_text, print);
}

/// The same with operands as actions print them, for which no value is a string.
pub(super) fn all_actions(buffer: &mut Buffer, values: &[Value]) {
    let is_text = |value: &Value| matches!(value, Value::Text(_) | Value::Invalid | Value::Nil);
    spaced(buffer, values, is_text, action);
}

fn spaced(
    buffer: &mut Buffer,
    values: &[Value],
    is_text: fn(&Value) -> bool,
    print: fn(&mut Buffer, &Value),
) {
    // The first operand has nothing before it.
    let mut after_text = true;
    for value in values {
        let is_text = is_text(value);
        if !after_text && !is_text {
            buffer.push_str(" ");
        }
        print(buffer, value);
        after_text = is_text;
    }
}

/// Go's `Sprintln`.
pub(super) fn line(buffer: &mut Buffer, values: &[Value]) {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            buffer.push_str(" ");
        }
        print(buffer, value);
    }
    buffer.push_str("\n");
}

/// What the type's own `String` method gives, if it has one.
pub(super) fn string_method(value: &Value, limit: usize) -> Option<Text> {
    let kind_has_it = match value {
        Value::List(list) => matches!(list.kind, ListKind::Tools | ListKind::Types),
        Value::Map(map) => map.kind != MapKind::Any,
        Value::Struct(value) => value.kind == StructKind::Tool,
        _ => false,
    };
    if !kind_has_it {
        return None;
    }
    let mut buffer = Buffer::new(limit);
    match value {
        Value::List(list) if list.kind == ListKind::Types => match list.items() {
            [] => {}
            [only] => print(&mut buffer, only),
            items => Printer::new(&mut buffer).list(items, 'v'),
        },
        Value::Map(map) if map.entries.is_none() => buffer.push_str("{}"),
        value => json::write(&mut buffer, value),
    }
    Some(buffer.into_text())
}

/// What stands between `%` and the verb.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags {
    pub(super) plus: bool,
    pub(super) minus: bool,
    pub(super) sharp: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    /// `%+v`
    pub(super) plus_v: bool,
    /// `%#v`
    pub(super) sharp_v: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

pub(super) struct Printer<'b> {
    pub(super) buffer: &'b mut Buffer,
    pub(super) flags: Flags,
    /// Inside of a report about a verb that does not fit.
    reporting: bool,
}

impl<'b> Printer<'b> {
    pub(super) fn new(buffer: &'b mut Buffer) -> Self {
        Self {
            buffer,
            flags: Flags::default(),
            reporting: false,
        }
    }

    /// Prints one operand.
    pub(super) fn argument(&mut self, value: &Value, verb: char) {
        let Some(name) = value.type_name() else {
            match verb {
                'T' | 'v' => self.padded_str("<nil>"),
                _ => self.bad_verb(value, verb),
            }
            return;
        };
        match verb {
            'T' => self.text(&Text::new(name, Author::Template), 's'),
            'p' => match value {
                Value::List(_) | Value::Map(_) | Value::Ordered(_) => {
                    self.buffer.push_str(ADDRESS);
                }
                Value::Struct(value) if value.is_pointer() => self.buffer.push_str(ADDRESS),
                value => self.bad_verb(value, verb),
            },
            _ if self.by_method(value, verb) => {}
            _ => match value {
                Value::Struct(pointed) if pointed.is_pointer() => {
                    self.buffer.push_str("&");
                    self.fields(pointed, verb);
                }
                Value::Ordered(Some(_)) => self.buffer.push_str("&{<nil>}"),
                value => self.value(value, verb),
            },
        }
    }

    /// Lets the type's own methods print it, where it has some.
    fn by_method(&mut self, value: &Value, verb: char) -> bool {
        let composite = matches!(
            value,
            Value::List(_) | Value::Map(_) | Value::Struct(_) | Value::Ordered(_)
        );
        if self.reporting || !composite {
            return false;
        }
        if verb == 'w' {
            self.bad_verb(value, verb);
            return true;
        }
        if self.flags.sharp_v || !matches!(verb, 'v' | 's' | 'x' | 'X' | 'q') {
            return false;
        }
        match string_method(value, limits::OUTPUT) {
            Some(text) => {
                self.text(&text, verb);
                true
            }
            None => false,
        }
    }

    /// Prints what is inside of another value.
    fn inner(&mut self, value: &Value, verb: char) {
        match value {
            Value::Invalid | Value::Nil if self.flags.sharp_v => {
                self.buffer.push_str("interface {}(nil)");
            }
            Value::Invalid | Value::Nil => self.buffer.push_str("<nil>"),
            Value::Ordered(None) if self.flags.sharp_v => {
                self.buffer.push_str("(*api.ToolPropertiesMap)(nil)");
            }
            Value::Ordered(None) => match verb {
                'v' => self.padded_str("<nil>"),
                'b' | 'o' | 'd' | 'x' | 'X' => self.int(0, verb),
                _ => self.bad_verb(value, verb),
            },
            Value::Ordered(_) => self.pointer(value, verb),
            Value::Struct(pointed) if pointed.is_pointer() => self.pointer(value, verb),
            value => {
                if !self.by_method(value, verb) {
                    self.value(value, verb);
                }
            }
        }
    }

    fn pointer(&mut self, value: &Value, verb: char) {
        match verb {
            'v' | 'p' | 'b' | 'o' | 'd' | 'x' | 'X' => self.buffer.push_str(ADDRESS),
            _ => self.bad_verb(value, verb),
        }
    }

    fn value(&mut self, value: &Value, verb: char) {
        match value {
            Value::Invalid | Value::Nil | Value::Ordered(_) => self.inner(value, verb),
            Value::Bool(bool) => match verb {
                't' | 'v' => self.padded_str(if *bool { "true" } else { "false" }),
                _ => self.bad_verb(value, verb),
            },
            Value::Int(int) => self.int(*int, verb),
            Value::Float(float) => self.float(*float, verb),
            Value::Text(text) => self.text(text, verb),
            Value::List(list) => {
                self.type_prefix(value);
                if self.flags.sharp_v && list.items.is_none() {
                    self.buffer.push_str("(nil)");
                } else {
                    self.list(list.items(), verb);
                }
            }
            Value::Map(map) => {
                self.type_prefix(value);
                match &map.entries {
                    None if self.flags.sharp_v => self.buffer.push_str("(nil)"),
                    None => self.buffer.push_str("map[]"),
                    Some(entries) => self.map(entries, verb),
                }
            }
            Value::Struct(fields) => self.fields(fields, verb),
        }
    }

    fn type_prefix(&mut self, value: &Value) {
        if self.flags.sharp_v {
            let name = value.described().trim_start_matches('*');
            self.buffer.push_str(name);
        }
    }

    fn separator(&mut self, index: usize) {
        if index > 0 {
            let separator = if self.flags.sharp_v { ", " } else { " " };
            self.buffer.push_str(separator);
        }
    }

    fn list(&mut self, items: &[Value], verb: char) {
        let (open, close) = self.brackets("[", "]");
        self.buffer.push_str(open);
        for (index, item) in items.iter().enumerate() {
            self.separator(index);
            self.inner(item, verb);
        }
        self.buffer.push_str(close);
    }

    fn brackets(&self, open: &'static str, close: &'static str) -> (&'static str, &'static str) {
        if self.flags.sharp_v {
            ("{", "}")
        } else {
            (open, close)
        }
    }

    fn map(&mut self, entries: &Entries, verb: char) {
        let (open, close) = self.brackets("map[", "]");
        self.buffer.push_str(open);
        for (index, (key, value)) in entries.iter().enumerate() {
            self.separator(index);
            self.text(key, verb);
            self.buffer.push_str(":");
            self.inner(value, verb);
        }
        self.buffer.push_str(close);
    }

    fn fields(&mut self, value: &Struct, verb: char) {
        if self.flags.sharp_v {
            self.buffer
                .push_str(value.kind.type_name().trim_start_matches('*'));
        }
        self.buffer.push_str("{");
        for (index, field) in value.kind.fields().iter().enumerate() {
            self.separator(index);
            if self.flags.plus_v || self.flags.sharp_v {
                self.buffer.push_str(field.name);
                self.buffer.push_str(":");
            }
            if let Some(value) = value.values.get(index) {
                self.inner(value, verb);
            }
        }
        self.buffer.push_str("}");
    }

    /// `%!d(string=hi)`
    fn bad_verb(&mut self, value: &Value, verb: char) {
        let outer = std::mem::replace(&mut self.reporting, true);
        self.buffer.push_str("%!");
        self.buffer.push_char(verb, Author::Template);
        self.buffer.push_str("(");
        match value.type_name() {
            Some(name) => {
                self.buffer.push_str(name);
                self.buffer.push_str("=");
                match value {
                    Value::Struct(pointed) if pointed.is_pointer() => {
                        self.buffer.push_str("&");
                        self.fields(pointed, 'v');
                    }
                    value => self.value(value, 'v'),
                }
            }
            None => self.buffer.push_str("<nil>"),
        }
        self.buffer.push_str(")");
        self.reporting = outer;
    }

    fn padded_str(&mut self, text: &str) {
        self.padded(&Text::new(text, Author::Template));
    }

    fn padded(&mut self, text: &Text) {
        let width = self.flags.width.unwrap_or(0);
        // What is wide enough need not be counted.
        let missing = if width == 0 {
            0
        } else {
            width.saturating_sub(text.char_count())
        };
        if self.flags.minus {
            self.buffer.push_text(text);
            self.buffer.pad(' ', missing);
        } else {
            let padding = if self.flags.zero { '0' } else { ' ' };
            self.buffer.pad(padding, missing);
            self.buffer.push_text(text);
        }
    }

    fn text(&mut self, text: &Text, verb: char) {
        match verb {
            'v' if !self.flags.sharp_v => self.padded(&self.truncated(text)),
            's' => self.padded(&self.truncated(text)),
            'x' => self.hex(text, Case::Lower),
            'X' => self.hex(text, Case::Upper),
            'q' | 'v' => {
                let text = self.truncated(text);
                let mut quoted = Buffer::new(limits::OUTPUT);
                quote::text(&mut quoted, &text, self.flags.plus, self.flags.sharp);
                self.padded(&quoted.into_text());
            }
            _ => self.bad_verb(&Value::Text(text.clone()), verb),
        }
    }

    /// As many characters as the precision allows.
    fn truncated(&self, text: &Text) -> Text {
        match self.flags.precision {
            None => text.clone(),
            Some(count) => {
                let end = text.chars().take(count).map(|char| char.bytes.len()).sum();
                text.cut(0, end)
            }
        }
    }

    fn hex(&mut self, text: &Text, case: Case) {
        let length = text.len().min(self.flags.precision.unwrap_or(usize::MAX));
        let text = text.cut(0, length);
        let Flags { sharp, space, .. } = self.flags;
        let mut digits = Buffer::new(limits::OUTPUT);
        let prefix = case.pick("0x", "0X");
        let mut first = true;
        for (bytes, author) in text.stretches() {
            for &byte in bytes {
                if !first && space {
                    digits.push_str(" ");
                }
                if sharp && (first || space) {
                    digits.push_str(prefix);
                }
                first = false;
                digits.push(case.hex(byte).as_bytes(), author);
            }
        }
        self.padded(&digits.into_text());
    }

    fn int(&mut self, value: i64, verb: char) {
        let char = u32::try_from(value).ok().and_then(char::from_u32);
        match verb {
            'v' | 'd' => self.integer(value, 10, Case::Lower, ""),
            'b' => self.integer(value, 2, Case::Lower, "0b"),
            'o' | 'O' => self.integer(value, 8, Case::Lower, if verb == 'O' { "0o" } else { "" }),
            'x' => self.integer(value, 16, Case::Lower, "0x"),
            'X' => self.integer(value, 16, Case::Upper, "0X"),
            'c' => self.padded_str(&char.unwrap_or(char::REPLACEMENT_CHARACTER).to_string()),
            'q' => {
                let char = char.unwrap_or(char::REPLACEMENT_CHARACTER);
                self.padded_str(&quote::char(char, self.flags.plus));
            }
            'U' => {
                let code = value as u64;
                let digits = self.flags.precision.unwrap_or(0).max(4);
                let mut text = format!("U+{code:0digits$X}");
                if self.flags.sharp
                    && let Some(char) = char.filter(|&char| quote::is_printable(char))
                {
                    text = format!("{text} '{char}'");
                }
                self.unzeroed(&text);
            }
            _ => self.bad_verb(&Value::Int(value), verb),
        }
    }

    fn integer(&mut self, value: i64, radix: u32, case: Case, prefix: &str) {
        let flags = self.flags;
        let precision = flags.precision;
        if precision == Some(0) && value == 0 {
            self.buffer.pad(' ', flags.width.unwrap_or(0));
            return;
        }
        let signed = value < 0 || flags.plus || flags.space;
        let zeros = match (precision, flags.width) {
            (Some(precision), _) => precision,
            (None, Some(width)) if flags.zero && !flags.minus => {
                width.saturating_sub(usize::from(signed))
            }
            _ => 0,
        };
        let mut digits = number::digits(value.unsigned_abs(), radix, case);
        if digits.len() < zeros {
            digits.insert_str(0, &"0".repeat(zeros - digits.len()));
        }
        if prefix == "0o" || (flags.sharp && radix != 10 && radix != 8) {
            digits.insert_str(0, prefix);
        }
        if flags.sharp && radix == 8 && prefix.is_empty() && !digits.starts_with('0') {
            digits.insert(0, '0');
        }
        if let Some(sign) = number::sign(value < 0, flags.plus, flags.space) {
            digits.insert(0, sign);
        }
        self.unzeroed(&digits);
    }

    /// Padded with spaces whatever the flags say: zeros are there already, or make no sense.
    fn unzeroed(&mut self, text: &str) {
        let zero = std::mem::replace(&mut self.flags.zero, false);
        self.padded_str(text);
        self.flags.zero = zero;
    }

    fn float(&mut self, value: f64, verb: char) {
        let Some(mut text) = number::float(value, verb, self.flags.precision, self.flags.sharp)
        else {
            return self.bad_verb(&Value::Float(value), verb);
        };
        let Flags { plus, space, .. } = self.flags;
        if !value.is_finite() {
            let sign = number::sign(value < 0.0, plus, space);
            if let Some(sign) = sign {
                text.insert(0, sign);
            }
            return self.unzeroed(&text);
        }
        let Some(sign) = number::sign(value.is_sign_negative(), plus, space) else {
            return self.padded_str(&text);
        };
        let width = self.flags.width.unwrap_or(0);
        if self.flags.zero && !self.flags.minus && width > text.len() + 1 {
            self.buffer.push_char(sign, Author::Template);
            self.buffer.pad('0', width - text.len() - 1);
            self.buffer.push_str(&text);
        } else {
            text.insert(0, sign);
            self.padded_str(&text);
        }
    }
}
