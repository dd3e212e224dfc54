//! Turns a stream of token bytes into valid UTF-8 text.

/// Joins the bytes of successive tokens into text: a token may end in the middle of a character.
///
/// [`push`](Self::push) gives out what is certain, holding back at most the three bytes of a
/// character that isn't complete yet; [`finish`](Self::finish) gives what was held back. All
/// pieces together are what [`String::from_utf8_lossy`] makes of all bytes together: U+FFFD stands
/// for what isn't UTF-8.
///
/// ```
/// use llamakit::TextDecoder;
///
/// let mut decoder = TextDecoder::new();
/// assert_eq!(decoder.push(b"caf\xc3"), "caf");
/// assert_eq!(decoder.push(b"\xa9!"), "é!");
/// assert_eq!(decoder.finish(), "");
/// ```
#[derive(Debug, Clone, Default)]
pub struct TextDecoder {
    /// The beginning of a character that is not complete yet.
    held: Vec<u8>,
}

impl TextDecoder {
    /// An empty decoder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and returns the text that is certain by now; it may be empty.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let incomplete = incomplete_suffix(&self.held);
        let rest = self.held.split_off(self.held.len() - incomplete);
        let certain = std::mem::replace(&mut self.held, rest);
        match String::from_utf8(certain) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }
    }

    /// Whether bytes of an incomplete character are held back.
    #[must_use]
    pub fn is_mid_character(&self) -> bool {
        !self.held.is_empty()
    }

    /// Ends the stream: what was held back can't become a character any more and comes as U+FFFD.
    /// The decoder is empty then and can be used again.
    pub fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        String::from_utf8_lossy(&held).into_owned()
    }
}

/// How many bytes at the end begin a character that further bytes may complete.
fn incomplete_suffix(bytes: &[u8]) -> usize {
    let Some(last) = bytes.utf8_chunks().last() else {
        return 0;
    };
    // An invalid part at the very end may only be cut short: the standard library tells.
    let tail = last.invalid();
    match std::str::from_utf8(tail) {
        Err(error) if error.error_len().is_none() => tail.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut_at(bytes: &[u8], cuts: &[usize]) -> String {
        let mut decoder = TextDecoder::new();
        let mut text = String::new();
        let mut from = 0;
        for &cut in cuts {
            text += &decoder.push(&bytes[from..cut]);
            from = cut;
        }
        text += &decoder.push(&bytes[from..]);
        text + &decoder.finish()
    }

    fn every_cut(bytes: &[u8]) {
        let whole = String::from_utf8_lossy(bytes);
        for one in 0..=bytes.len() {
            for two in one..=bytes.len() {
                assert_eq!(
                    cut_at(bytes, &[one, two]),
                    whole,
                    "{bytes:x?} at {one}, {two}"
                );
            }
        }
        let single: Vec<usize> = (0..bytes.len()).collect();
        assert_eq!(cut_at(bytes, &single), whole);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn text_survives_every_cut(text in "\\PC{0,12}") {
            every_cut(text.as_bytes());
        }

        #[test]
        fn bytes_become_what_from_utf8_lossy_makes_of_them(
            bytes in proptest::collection::vec(prop_oneof![
                Just(b'a'), 0x80u8..0xc0, 0xc0u8..=0xff,
                proptest::sample::select(vec![0xe0, 0xed, 0xf0, 0xf4, 0x9f, 0xa0, 0x8f, 0x90]),
            ], 0..16)
        ) {
            every_cut(&bytes);
        }

        #[test]
        fn nothing_certain_is_held_back(text in "\\PC{0,20}", cut in 0usize..60) {
            let bytes = text.as_bytes();
            let cut = cut.min(bytes.len());
            let whole = (0..=cut).rev().find(|&n| text.is_char_boundary(n)).unwrap();
            prop_assert_eq!(TextDecoder::new().push(&bytes[..cut]), &text[..whole]);
        }
    }

    #[test]
    fn an_emoji_in_four_tokens_comes_whole() {
        let mut decoder = TextDecoder::new();
        let pieces: Vec<String> = "🦙".bytes().map(|b| decoder.push(&[b])).collect();
        assert_eq!(pieces, ["", "", "", "🦙"]);
        assert!(!decoder.is_mid_character());
        assert_eq!(decoder.push(b"\xf0\x9f"), "");
        assert!(decoder.is_mid_character());
        assert_eq!(decoder.finish(), "\u{fffd}");
        assert_eq!(decoder.push(b"ok"), "ok");
    }
}
