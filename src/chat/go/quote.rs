//! Quoted text as Go writes it.

use super::text::{Author, Buffer, Char, Text};

/// In double quotes, or in backquotes where `raw` asks for them and the text allows it.
pub(super) fn text(buffer: &mut Buffer, text: &Text, ascii: bool, raw: bool) {
    if raw && text.chars().all(|char| char.char.is_some_and(is_raw)) {
        buffer.push_str("`");
        buffer.push_text(text);
        buffer.push_str("`");
        return;
    }
    buffer.push_str("\"");
    for Char {
        char,
        bytes,
        author,
    } in text.chars()
    {
        match char {
            Some(char) => buffer.push(escaped(char, '"', ascii).as_bytes(), author),
            None => {
                let byte = bytes.first().copied().unwrap_or_default();
                buffer.push(format!("\\x{byte:02x}").as_bytes(), author);
            }
        }
    }
    buffer.push("\"".as_bytes(), Author::Template);
}

/// In single quotes.
pub(super) fn char(char: char, ascii: bool) -> String {
    format!("'{}'", escaped(char, '\'', ascii))
}

fn is_raw(char: char) -> bool {
    match char {
        '\t' => true,
        '`' | '\x7f' | '\u{feff}' => false,
        char => char >= ' ',
    }
}

fn escaped(char: char, quote: char, ascii: bool) -> String {
    match char {
        '\\' => "\\\\".to_owned(),
        _ if char == quote => format!("\\{char}"),
        ' '..='~' => char.to_string(),
        '\x07' => "\\a".to_owned(),
        '\x08' => "\\b".to_owned(),
        '\x0c' => "\\f".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\x0b' => "\\v".to_owned(),
        '\0'..='\x7f' => format!("\\x{:02x}", u32::from(char)),
        _ if !ascii && is_printable(char) => char.to_string(),
        '\0'..='\u{ffff}' => format!("\\u{:04x}", u32::from(char)),
        _ => format!("\\U{:08x}", u32::from(char)),
    }
}

/// Letters, marks, numbers, punctuation, symbols and the ASCII space.
pub(super) fn is_printable(char: char) -> bool {
    // Rust escapes what is not one of these, and marks only where a text begins.
    let text = format!("a{char}");
    matches!(char, '"' | '\'' | '\\') || !text.escape_debug().to_string().contains('\\')
}
