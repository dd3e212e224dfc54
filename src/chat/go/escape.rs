//! Text for HTML, JavaScript and URLs.

use super::number::Case;
use super::quote;
use super::text::{Buffer, Char, Text};

pub(super) fn html(buffer: &mut Buffer, text: &Text) {
    for char in text.chars() {
        let escape = match char.char {
            Some('\0') => "\u{fffd}",
            Some('"') => "&#34;",
            Some('\'') => "&#39;",
            Some('&') => "&amp;",
            Some('<') => "&lt;",
            Some('>') => "&gt;",
            _ => {
                buffer.push(char.bytes, char.author);
                continue;
            }
        };
        buffer.push(escape.as_bytes(), char.author);
    }
}

pub(super) fn js(buffer: &mut Buffer, text: &Text) {
    for Char {
        char,
        bytes,
        author,
    } in text.chars()
    {
        let char = char.unwrap_or(char::REPLACEMENT_CHARACTER);
        match char {
            '\\' | '\'' | '"' => buffer.push(format!("\\{char}").as_bytes(), author),
            '\0'..=' ' | '<' | '>' | '&' | '=' if char != ' ' => {
                buffer.push(format!("\\u{:04X}", u32::from(char)).as_bytes(), author);
            }
            _ if char.is_ascii() => buffer.push(bytes, author),
            _ if quote::is_printable(char) => buffer.push(bytes, author),
            _ => buffer.push(format!("\\u{:04X}", u32::from(char)).as_bytes(), author),
        }
    }
}

pub(super) fn url_query(buffer: &mut Buffer, text: &Text) {
    for (bytes, author) in text.stretches() {
        for &byte in bytes {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    buffer.push(&[byte], author);
                }
                b' ' => buffer.push(b"+", author),
                byte => {
                    let escape = format!("%{}", Case::Upper.hex(byte));
                    buffer.push(escape.as_bytes(), author);
                }
            }
        }
    }
}
