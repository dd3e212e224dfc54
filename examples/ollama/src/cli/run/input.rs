//! What comes through standard input where that is no terminal.

use std::io::Read;

use crate::error::{Error, Kind, Result};

/// Bytes at most.
const MOST: u64 = 32 << 20;

/// Reads everything.
pub(super) fn read(from: impl Read) -> Result<String> {
    let mut bytes = Vec::new();
    from.take(MOST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| {
            Error::new(
                Kind::Storage,
                format!("cannot read standard input: {error}"),
            )
        })?;
    if bytes.len() as u64 > MOST {
        let message = format!(
            "standard input has more than the {} MB that a prompt can have",
            MOST >> 20
        );
        return Err(Error::new(Kind::Invalid, message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::new(
            Kind::Invalid,
            format!("standard input is not UTF-8 text (at byte {at})"),
        )
    })
}

/// The prompt: what was piped in, then the words of the command line. `None` when there is neither.
pub(super) fn prompt(piped: Option<String>, words: &[String]) -> Option<String> {
    let piped = piped.filter(|text| !text.is_empty());
    let all: Vec<&str> = piped.iter().chain(words).map(String::as_str).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_piped_comes_first() {
        let words = ["Sum".to_owned(), "up".to_owned()];
        let piped = |text: &str| Some(text.to_owned());
        for (given, words, joined) in [
            (None, &words[..], piped("Sum up")),
            (piped("text\n"), &words[..], piped("text\n Sum up")),
            (piped("text\n"), &[], piped("text\n")),
            (piped(""), &words[..], piped("Sum up")),
            (piped(""), &[], None),
            (None, &[], None),
            (None, &[String::new()], piped("")),
        ] {
            assert_eq!(prompt(given, words), joined);
        }
    }

    #[test]
    fn only_text_of_some_length_is_taken() {
        assert_eq!(read("grüß\0".as_bytes()).unwrap(), "grüß\0");
        let error = read(&b"ab\xff"[..]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "standard input is not UTF-8 text (at byte 2)"
        );
        let error = read(std::io::repeat(b'a')).unwrap_err();
        assert!(error.to_string().contains("32 MB"), "{error}");
    }
}
