//! Finds stop strings in text that comes in pieces, and holds back what may become one.

/// What a piece of text led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Text that is certain not to belong to a stop string.
    pub(super) text: String,
    /// Which stop string ended the text, by its place in the list that was given.
    pub(super) stop: Option<usize>,
}

/// Looks for the first of several strings in a stream of text.
///
/// The match that starts first ends the text; of those that start at the same place, the one that is
/// complete first. How the text is cut into pieces makes no difference.
#[derive(Debug, Clone)]
pub(super) struct StopStrings {
    strings: Vec<Needle>,
    /// Text that is not given out yet.
    held: String,
    /// The complete match that starts first: its place in `held` and its string. An earlier start
    /// that is not complete yet may still take its place.
    best: Option<(usize, usize)>,
    stopped: Option<usize>,
}

/// One string and how much of it the text so far ends with (Knuth, Morris, Pratt 1977).
#[derive(Debug, Clone)]
struct Needle {
    index: usize,
    bytes: Vec<u8>,
    /// For each number of matched bytes but none: how many still match when the next byte does not.
    shorter: Vec<usize>,
    matched: usize,
}

impl Needle {
    fn new(index: usize, bytes: Vec<u8>) -> Self {
        let mut needle = Self {
            index,
            shorter: vec![0],
            matched: 0,
            bytes,
        };
        // The string run over itself from its second byte on; what is needed of the table is there
        // in time.
        for i in 1..needle.bytes.len() {
            needle.advance(needle.bytes[i]);
            needle.shorter.push(needle.matched);
        }
        needle.matched = 0;
        needle
    }

    /// Whether the string is complete with this byte.
    fn advance(&mut self, byte: u8) -> bool {
        while self.matched > 0 && self.bytes[self.matched] != byte {
            self.matched = self.shorter[self.matched - 1];
        }
        if self.bytes[self.matched] == byte {
            self.matched += 1;
        }
        self.matched == self.bytes.len()
    }
}

impl StopStrings {
    /// Empty strings are ignored but counted.
    pub(super) fn new(strings: Vec<String>) -> Self {
        let strings = strings.into_iter().enumerate();
        Self {
            strings: strings
                .filter(|(_, string)| !string.is_empty())
                .map(|(index, string)| Needle::new(index, string.into_bytes()))
                .collect(),
            held: String::new(),
            best: None,
            stopped: None,
        }
    }

    /// Takes the next piece and gives out what is certain by now. After a stop string was found
    /// nothing more is given out.
    pub(super) fn push(&mut self, text: &str) -> Found {
        if self.stopped.is_some() {
            return self.found(0);
        }
        let from = self.held.len();
        self.held.push_str(text);
        for (end, byte) in (from + 1..).zip(text.bytes()) {
            self.advance(byte, end);
            if let Some((start, index)) = self.best
                && self.first_open(end) >= start
            {
                self.stopped = Some(index);
                return self.found(start);
            }
        }
        let certain = self.first_open(self.held.len());
        if let Some((start, _)) = &mut self.best {
            *start -= certain;
        }
        self.found(certain)
    }

    /// Ends the text: what is not complete is no stop string. Everything is as at the beginning
    /// then.
    pub(super) fn finish(&mut self) -> Found {
        let best = self.best.take();
        if self.stopped.is_none() {
            self.stopped = best.map(|(_, index)| index);
        }
        let certain = best.map_or(self.held.len(), |(start, _)| start);
        let found = self.found(certain);
        self.held.clear();
        self.stopped = None;
        for needle in &mut self.strings {
            needle.matched = 0;
        }
        found
    }

    /// Takes one byte, which is the last of the first `end` of the held text.
    fn advance(&mut self, byte: u8, end: usize) {
        for needle in &mut self.strings {
            if !needle.advance(byte) {
                continue;
            }
            let start = end - needle.bytes.len();
            if self.best.is_none_or(|(best, _)| start < best) {
                self.best = Some((start, needle.index));
            }
            // Its next match starts later, and so does not matter any more.
            needle.matched = 0;
        }
    }

    /// Where in the held text the first string starts that may still become complete; `end` when
    /// there is none.
    fn first_open(&self, end: usize) -> usize {
        let matched = self.strings.iter().map(|needle| needle.matched);
        end - matched.max().unwrap_or(0)
    }

    /// Gives out the beginning of the held text, and drops the rest once a stop string was found.
    fn found(&mut self, certain: usize) -> Found {
        let rest = self.held.split_off(certain);
        let text = std::mem::replace(&mut self.held, rest);
        if self.stopped.is_some() {
            self.held.clear();
            self.best = None;
        }
        Found {
            text,
            stop: self.stopped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stops(strings: &[&str]) -> StopStrings {
        StopStrings::new(strings.iter().map(|&s| s.to_owned()).collect())
    }

    fn given(text: &str) -> Found {
        Found {
            text: text.to_owned(),
            stop: None,
        }
    }

    fn stopped(text: &str, index: usize) -> Found {
        Found {
            text: text.to_owned(),
            stop: Some(index),
        }
    }

    /// The whole text cut at its first match, by looking for every string at every place.
    fn naive(text: &str, strings: &[String]) -> Found {
        for start in 0..text.len() {
            let here = |s: &String| text.as_bytes()[start..].starts_with(s.as_bytes());
            let matching =
                (0..strings.len()).filter(|&i| !strings[i].is_empty() && here(&strings[i]));
            if let Some(index) = matching.min_by_key(|&i| strings[i].len()) {
                return stopped(&text[..start], index);
            }
        }
        given(text)
    }

    /// The longest suffix that is the beginning of a string.
    fn open_suffix(text: &str, strings: &[String]) -> usize {
        let open = |n: &usize| {
            let suffix = &text.as_bytes()[text.len() - n..];
            strings.iter().any(|s| s.as_bytes().starts_with(suffix))
        };
        (0..=text.len()).rev().find(open).unwrap_or(0)
    }

    fn pieces(text: &str, cuts: &[usize]) -> Vec<String> {
        let chars: Vec<char> = text.chars().collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (chars.len() + 1)).collect();
        cuts.extend([0, chars.len()]);
        cuts.sort_unstable();
        cuts.windows(2)
            .map(|ends| chars[ends[0]..ends[1]].iter().collect())
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        #[test]
        fn the_text_ends_at_the_first_match_however_it_is_cut(
            text in "[abé]{0,30}",
            strings in proptest::collection::vec("[abé]{0,5}", 0..4),
            cuts in proptest::collection::vec(0usize..100, 0..20),
        ) {
            let expected = naive(&text, &strings);
            let mut search = StopStrings::new(strings.clone());
            let mut output = String::new();
            let mut pushed = String::new();
            let mut stop = None;
            for piece in pieces(&text, &cuts) {
                let found = search.push(&piece);
                output += &found.text;
                pushed += &piece;
                stop = found.stop;
                if stop.is_some() {
                    break;
                }
                if naive(&pushed, &strings).stop.is_none() {
                    let held = open_suffix(&pushed, &strings);
                    prop_assert_eq!(&output, &pushed[..pushed.len() - held]);
                }
            }
            let last = search.finish();
            output += &last.text;
            prop_assert_eq!(stop.or(last.stop), expected.stop);
            prop_assert_eq!(output, expected.text);
        }
    }

    #[test]
    fn only_what_may_become_a_stop_string_is_held_back() {
        let mut search = stops(&["\nUser:", "</s>"]);
        assert_eq!(search.push("Hello\n"), given("Hello"));
        assert_eq!(search.push("Us"), given(""));
        assert_eq!(search.push("ed <"), given("\nUsed "));
        assert_eq!(search.push("b>"), given("<b>"));
        assert_eq!(search.push("bye\nUser"), given("bye"));
        assert_eq!(search.push(": and more"), stopped("", 0));
        assert_eq!(search.push("</s>"), stopped("", 0));
        assert_eq!(search.finish(), stopped("", 0));
        assert_eq!(search.push("again</"), given("again"));
        assert_eq!(search.finish(), given("</"));
        assert_eq!(search.push("s>"), given("s>"));
    }

    #[test]
    fn an_earlier_start_wins_once_it_is_complete() {
        let mut search = stops(&["abcd", "bc"]);
        assert_eq!(search.push("xabc"), given("x"));
        assert_eq!(search.clone().push("d"), stopped("", 0));
        assert_eq!(search.clone().push("e"), stopped("a", 1));
        assert_eq!(search.finish(), stopped("a", 1));
    }

    #[test]
    fn of_one_start_the_shorter_wins_and_empty_strings_are_none() {
        let mut search = stops(&["", "aab", "aa", "aa"]);
        assert_eq!(search.push("xaab"), stopped("x", 2));
        let mut none = stops(&["", ""]);
        assert_eq!(none.push("anything"), given("anything"));
        assert_eq!(none.finish(), given(""));
    }

    #[test]
    fn characters_of_several_bytes_stay_whole() {
        let mut search = stops(&["é!"]);
        assert_eq!(search.push("caf"), given("caf"));
        assert_eq!(search.push("è"), given("è"));
        assert_eq!(search.push("é"), given(""));
        assert_eq!(search.push("é"), given("é"));
        assert_eq!(search.push("!"), stopped("", 0));
    }
}
