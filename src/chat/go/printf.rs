//! Go's `Sprintf`.

use super::limits;
use super::print::{Flags, Printer};
use super::text::{Author, Buffer, Text};
use super::value::Value;

/// Writes `values` by `format`, whose plain parts keep their authors.
pub(super) fn printf(buffer: &mut Buffer, format: &Text, values: &[Value]) {
    Printf {
        format,
        bytes: format.bytes(),
        at: 0,
        values,
        next: 0,
        reordered: false,
        good_index: true,
    }
    .run(buffer);
}

struct Printf<'f> {
    format: &'f Text,
    bytes: &'f [u8],
    at: usize,
    values: &'f [Value],
    /// The operand whose turn it is.
    next: usize,
    /// Whether the format chose operands by their numbers.
    reordered: bool,
    good_index: bool,
}

impl Printf<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn run(&mut self, buffer: &mut Buffer) {
        while self.at < self.bytes.len() && !buffer.overflowed() {
            let rest = &self.bytes[self.at..];
            let plain = rest.iter().position(|&byte| byte == b'%');
            let end = self.at + plain.unwrap_or(rest.len());
            buffer.push_text(&self.format.cut(self.at, end));
            self.at = end + 1;
            if plain.is_some() && !self.directive(buffer) {
                buffer.push_str("%!(NOVERB)");
                break;
            }
        }
        if !self.reordered && self.next < self.values.len() {
            self.extra(buffer);
        }
    }

    /// What follows a `%`; false if there is no verb.
    fn directive(&mut self, buffer: &mut Buffer) -> bool {
        self.good_index = true;
        let mut flags = Flags::default();
        while let Some(byte) = self.peek() {
            match byte {
                b'#' => flags.sharp = true,
                b'0' => flags.zero = true,
                b'+' => flags.plus = true,
                b'-' => flags.minus = true,
                b' ' => flags.space = true,
                _ => break,
            }
            self.at += 1;
        }
        let mut after_index = self.index();
        if self.peek() == Some(b'*') {
            self.at += 1;
            match self.int_operand() {
                Some(width) => {
                    flags.width = Some(width.unsigned_abs() as usize);
                    if width < 0 {
                        flags.minus = true;
                        flags.zero = false;
                    }
                }
                None => buffer.push_str("%!(BADWIDTH)"),
            }
            after_index = false;
        } else {
            flags.width = self.number();
            if after_index && flags.width.is_some() {
                self.good_index = false;
            }
        }
        if self.peek() == Some(b'.') && self.at + 1 < self.bytes.len() {
            self.at += 1;
            if after_index {
                self.good_index = false;
            }
            after_index = self.index();
            if self.peek() == Some(b'*') {
                self.at += 1;
                let given = self.int_operand().filter(|&precision| precision >= 0);
                flags.precision = given.map(|precision| precision as usize);
                if given.is_none() {
                    buffer.push_str("%!(BADPREC)");
                }
                after_index = false;
            } else {
                flags.precision = Some(self.number().unwrap_or(0));
            }
        }
        if !after_index {
            self.index();
        }
        let Some(verb) = self.verb() else {
            return false;
        };
        self.print(buffer, flags, verb);
        true
    }

    fn verb(&mut self) -> Option<char> {
        let rest = self.format.cut(self.at, self.bytes.len());
        let verb = rest.chars().next()?;
        self.at += verb.bytes.len();
        Some(verb.char.unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn print(&mut self, buffer: &mut Buffer, mut flags: Flags, verb: char) {
        let mut complain = |what: &str| {
            buffer.push_str("%!");
            buffer.push_char(verb, Author::Template);
            buffer.push_str(what);
        };
        if verb == '%' {
            buffer.push_str("%");
        } else if !self.good_index {
            complain("(BADINDEX)");
        } else if let Some(value) = self.values.get(self.next) {
            if matches!(verb, 'v' | 'w') {
                flags.sharp_v = std::mem::take(&mut flags.sharp);
                flags.plus_v = std::mem::take(&mut flags.plus);
            }
            let mut printer = Printer::new(buffer);
            printer.flags = flags;
            printer.argument(value, verb);
            self.next += 1;
        } else {
            complain("(MISSING)");
        }
    }

    /// Digits; what is too large ends the format, as in Go.
    fn number(&mut self) -> Option<usize> {
        let mut number = None;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            let so_far = number.unwrap_or(0);
            if so_far > limits::WIDTH {
                self.at = self.bytes.len();
                return None;
            }
            number = Some(so_far * 10 + usize::from(digit - b'0'));
            self.at += 1;
        }
        number
    }

    /// `[n]`, which chooses the next operand.
    fn index(&mut self) -> bool {
        if self.peek() != Some(b'[') {
            return false;
        }
        self.reordered = true;
        let rest = &self.bytes[self.at..];
        let Some(close) = rest.iter().position(|&byte| byte == b']') else {
            self.good_index = false;
            self.at += 1;
            return false;
        };
        let digits = std::str::from_utf8(&rest[1..close]).unwrap_or_default();
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let index: Option<usize> = plain.then(|| digits.parse().ok()).flatten();
        self.at += close + 1;
        match index.and_then(|index| index.checked_sub(1)) {
            Some(index) if index < self.values.len() => {
                self.next = index;
                true
            }
            _ => {
                self.good_index = false;
                plain
            }
        }
    }

    fn int_operand(&mut self) -> Option<i64> {
        let operand = self.values.get(self.next)?;
        self.next += 1;
        match operand {
            Value::Int(int) if int.unsigned_abs() <= limits::WIDTH as u64 => Some(*int),
            _ => None,
        }
    }

    fn extra(&self, buffer: &mut Buffer) {
        buffer.push_str("%!(EXTRA ");
        for (index, value) in self.values[self.next..].iter().enumerate() {
            if index > 0 {
                buffer.push_str(", ");
            }
            match value.type_name() {
                None => buffer.push_str("<nil>"),
                Some(name) => {
                    buffer.push_str(name);
                    buffer.push_str("=");
                    Printer::new(buffer).argument(value, 'v');
                }
            }
        }
        buffer.push_str(")");
    }
}
