//! Splits segments into special tokens and the plain text between them.
//! Finds what `llama_tokenize` finds with `parse_special`, but control tokens in template text only.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Origin, Segment};
use crate::token::Token;

/// A token that is found by its name before text is tokenized.
#[derive(Debug, Clone)]
pub(crate) struct SpecialToken {
    pub(crate) text: String,
    pub(crate) token: Token,
    /// Found in template text only. The others are user-defined tokens, which any text may have.
    pub(crate) control: bool,
    /// Takes the white space before it away.
    pub(crate) lstrip: bool,
    /// Takes the white space behind it away.
    pub(crate) rstrip: bool,
}

/// All special tokens of a vocabulary.
#[derive(Debug, Clone)]
pub(crate) struct SpecialTokens {
    /// In order of their texts; no text is empty.
    by_text: Vec<SpecialToken>,
    /// Whether any text begins with the byte.
    begins: [bool; 256],
}

/// A part of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Run {
    /// A special token and the group of its first byte.
    Token(Token, Option<u32>),
    /// What is between special tokens; never empty.
    Text(TextRun),
}

/// Plain text, of any number of segments, that is to be tokenized as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextRun {
    pub(crate) text: String,
    /// At which byte each group begins, in order; the first at 0.
    groups: Groups,
}

type Groups = Vec<(usize, Option<u32>)>;

/// The text of all segments, and what is known of its bytes.
struct Joined {
    text: String,
    groups: Groups,
    /// Begin and end of each stretch of template text.
    templates: Vec<(usize, usize)>,
}

/// A place in the text that a special token takes, with the white space that it takes away.
struct Taken {
    end: usize,
    token: Token,
    group: Option<u32>,
}

impl SpecialTokens {
    /// Empty texts are ignored.
    pub(crate) fn new(mut tokens: Vec<SpecialToken>) -> Self {
        tokens.retain(|special| !special.text.is_empty());
        tokens.sort_by(|a, b| a.text.cmp(&b.text));
        let mut begins = [false; 256];
        for special in &tokens {
            begins[usize::from(special.text.as_bytes()[0])] = true;
        }
        Self {
            by_text: tokens,
            begins,
        }
    }

    /// The control token of this name.
    pub(crate) fn control(&self, name: &str) -> Option<Token> {
        let first = self
            .by_text
            .partition_point(|special| special.text.as_str() < name);
        let mut named = self.by_text[first..]
            .iter()
            .take_while(|special| special.text == name);
        Some(named.find(|special| special.control)?.token)
    }

    /// The special tokens and texts of a prompt, in order.
    ///
    /// Longer names are looked for first, in all of the text, then shorter ones in what is left.
    pub(crate) fn split(&self, segments: &[Segment]) -> Vec<Run> {
        let joined = Joined::new(segments);
        let mut found = self.occurrences(&joined);
        found.sort_by_key(|&(start, special)| (Reverse(special.text.len()), special.token, start));
        let mut taken = BTreeMap::new();
        for (start, special) in found {
            joined.take(&mut taken, start, special);
        }
        joined.runs(taken)
    }

    /// Where the name of any special token stands and may be one; places may overlap.
    fn occurrences(&self, joined: &Joined) -> Vec<(usize, &SpecialToken)> {
        let text = joined.text.as_bytes();
        let mut templates = joined.templates.iter().copied().peekable();
        let mut found = Vec::new();
        for start in 0..text.len() {
            if !self.begins[usize::from(text[start])] {
                continue;
            }
            while templates.next_if(|&(_, end)| end <= start).is_some() {}
            let template = templates.peek().filter(|&&(begin, _)| begin <= start);
            let template_end = template.map_or(start, |&(_, end)| end);
            self.at(&text[start..], |special| {
                if !special.control || start + special.text.len() <= template_end {
                    found.push((start, special));
                }
            });
        }
        found
    }

    /// Calls `found` with every special token whose name the text begins with.
    fn at<'a>(&'a self, text: &[u8], mut found: impl FnMut(&'a SpecialToken)) {
        // Those whose names begin with as much of the text as was looked at.
        let mut candidates = self.by_text.as_slice();
        for (depth, &byte) in text.iter().enumerate() {
            let next = |special: &SpecialToken| special.text.as_bytes()[depth];
            let from = candidates.partition_point(|special| next(special) < byte);
            let to = candidates.partition_point(|special| next(special) <= byte);
            candidates = &candidates[from..to];
            let complete = candidates.partition_point(|special| special.text.len() == depth + 1);
            let (whole, longer) = candidates.split_at(complete);
            whole.iter().for_each(&mut found);
            candidates = longer;
            if candidates.is_empty() {
                return;
            }
        }
    }
}

impl Joined {
    fn new(segments: &[Segment]) -> Self {
        let mut joined = Self {
            text: String::new(),
            groups: Vec::new(),
            templates: Vec::new(),
        };
        for segment in segments.iter().filter(|segment| !segment.text.is_empty()) {
            let start = joined.text.len();
            joined.text.push_str(&segment.text);
            if joined.groups.last().map(|&(_, group)| group) != Some(segment.group) {
                joined.groups.push((start, segment.group));
            }
            if segment.origin == Origin::Template {
                let end = joined.text.len();
                match joined.templates.last_mut().filter(|(_, end)| *end == start) {
                    Some(adjacent) => adjacent.1 = end,
                    None => joined.templates.push((start, end)),
                }
            }
        }
        joined
    }

    /// Gives a special token its place unless some of it is taken.
    fn take(&self, taken: &mut BTreeMap<usize, Taken>, start: usize, special: &SpecialToken) {
        let end = start + special.text.len();
        let before = taken.range(..end).next_back();
        let free_from = before.map_or(0, |(_, before)| before.end);
        if free_from > start {
            return;
        }
        let free_to = taken
            .range(end..)
            .next()
            .map_or(self.text.len(), |(&next, _)| next);
        let space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
        let (mut from, mut to) = (start, end);
        if special.lstrip {
            let before = &self.text.as_bytes()[free_from..start];
            from -= before.iter().rev().take_while(|byte| space(byte)).count();
        }
        if special.rstrip {
            let behind = &self.text.as_bytes()[end..free_to];
            to += behind.iter().take_while(|byte| space(byte)).count();
        }
        let place = Taken {
            end: to,
            token: special.token,
            group: group_at(&self.groups, start),
        };
        taken.insert(from, place);
    }

    fn runs(&self, taken: BTreeMap<usize, Taken>) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut from = 0;
        for (start, place) in taken {
            runs.extend(self.text_run(from, start));
            runs.push(Run::Token(place.token, place.group));
            from = place.end;
        }
        runs.extend(self.text_run(from, self.text.len()));
        runs
    }

    fn text_run(&self, from: usize, to: usize) -> Option<Run> {
        if from == to {
            return None;
        }
        let first = (0, group_at(&self.groups, from));
        let others = self
            .groups
            .iter()
            .filter(|(start, _)| (from + 1..to).contains(start));
        let others = others.map(|&(start, group)| (start - from, group));
        Some(Run::Text(TextRun {
            text: self.text[from..to].to_owned(),
            groups: std::iter::once(first).chain(others).collect(),
        }))
    }
}

impl TextRun {
    /// The group of the whole run, unless it has several.
    pub(crate) fn only_group(&self) -> Option<Option<u32>> {
        match self.groups[..] {
            [(_, group)] => Some(group),
            _ => None,
        }
    }

    /// The groups of the run's tokens, whose texts are given: that of each one's first byte.
    ///
    /// Lengths are scaled to the run's text. Mostly there is nothing to scale, and the space that some
    /// tokenizers put before a text is taken off exactly; with tokenizers that change the text
    /// otherwise a border is not exact.
    pub(crate) fn groups_of(&self, pieces: &[Vec<u8>]) -> Vec<Option<u32>> {
        let length: usize = pieces.iter().map(Vec::len).sum();
        let mut end = 0;
        let starts = pieces.iter().map(|piece| {
            let start = end;
            end += piece.len();
            (start as u128 * self.text.len() as u128 / length.max(1) as u128) as usize
        });
        starts.map(|start| group_at(&self.groups, start)).collect()
    }
}

/// The group that a byte lies in.
fn group_at(groups: &Groups, byte: usize) -> Option<u32> {
    let following = groups.partition_point(|&(start, _)| start <= byte);
    let (_, group) = groups.get(following.checked_sub(1)?)?;
    *group
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const END: Token = Token(0);

    fn special(text: &str, id: i32, control: bool) -> SpecialToken {
        SpecialToken {
            text: text.to_owned(),
            token: Token(id),
            control,
            lstrip: false,
            rstrip: false,
        }
    }

    /// Upstream's way: a list of fragments that each special token in turn cuts further.
    mod fragments {
        use super::*;

        #[derive(Clone, Copy)]
        enum Fragment {
            Token(Token),
            Text(usize, usize),
        }

        fn is_space(byte: u8) -> bool {
            [b' ', b'\t', b'\n', 11, 12, b'\r'].contains(&byte)
        }

        /// The first place in `from..to` where the token may be.
        fn find(
            special: &SpecialToken,
            text: &str,
            template: &[bool],
            from: usize,
            to: usize,
        ) -> Option<usize> {
            let name = special.text.as_bytes();
            (from..to).find(|&at| {
                text.as_bytes()[at..to].starts_with(name)
                    && (!special.control || template[at..at + name.len()].iter().all(|&t| t))
            })
        }

        /// Tokens and texts, neighbouring texts never.
        pub(super) fn split(
            specials: &[SpecialToken],
            segments: &[Segment],
        ) -> Vec<Result<Token, String>> {
            let text: String = segments.iter().map(|s| s.text.as_str()).collect();
            let template: Vec<bool> = segments
                .iter()
                .flat_map(|s| vec![s.origin == Origin::Template; s.text.len()])
                .collect();
            let mut order: Vec<&SpecialToken> = specials.iter().collect();
            order.sort_by_key(|special| (Reverse(special.text.len()), special.token));
            let mut fragments = vec![Fragment::Text(0, text.len())];
            for special in order {
                let mut cut = Vec::new();
                for fragment in fragments {
                    let Fragment::Text(mut from, to) = fragment else {
                        cut.push(fragment);
                        continue;
                    };
                    while let Some(at) = find(special, &text, &template, from, to) {
                        let mut left = at;
                        while special.lstrip && left > from && is_space(text.as_bytes()[left - 1]) {
                            left -= 1;
                        }
                        cut.push(Fragment::Text(from, left));
                        cut.push(Fragment::Token(special.token));
                        from = at + special.text.len();
                        while special.rstrip && from < to && is_space(text.as_bytes()[from]) {
                            from += 1;
                        }
                    }
                    cut.push(Fragment::Text(from, to));
                }
                fragments = cut;
            }
            let text = |fragment| match fragment {
                Fragment::Token(token) => Some(Ok(token)),
                Fragment::Text(from, to) => (from < to).then(|| Err(text[from..to].to_owned())),
            };
            fragments.into_iter().filter_map(text).collect()
        }
    }

    fn segment() -> impl Strategy<Value = Segment> {
        (
            "[ab<é \\n]{0,6}",
            any::<bool>(),
            proptest::option::of(0u32..3),
        )
            .prop_map(|(text, template, group)| Segment {
                text,
                origin: if template {
                    Origin::Template
                } else {
                    Origin::Message
                },
                group,
            })
    }

    /// Few letters, so that names overlap each other and the borders of segments.
    fn specials() -> impl Strategy<Value = Vec<SpecialToken>> {
        let names = proptest::collection::btree_set("[ab<é ]{1,4}", 0..6);
        let flags = proptest::collection::vec(any::<[bool; 3]>(), 6);
        (names, flags).prop_map(|(names, flags)| {
            let tokens = names.into_iter().zip(flags).zip(0..);
            tokens
                .map(|((text, [control, lstrip, rstrip]), id)| SpecialToken {
                    text,
                    token: Token(id),
                    control,
                    lstrip,
                    rstrip,
                })
                .collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        #[test]
        fn splits_as_upstream_does_but_for_messages(
            specials in specials(),
            segments in proptest::collection::vec(segment(), 0..6),
        ) {
            let runs = SpecialTokens::new(specials.clone()).split(&segments);
            let plain: Vec<Result<Token, String>> = runs
                .into_iter()
                .map(|run| match run {
                    Run::Token(token, _) => Ok(token),
                    Run::Text(run) => Err(run.text),
                })
                .collect();
            prop_assert_eq!(plain, fragments::split(&specials, &segments));
        }

        #[test]
        fn every_byte_keeps_its_group(
            specials in specials(),
            segments in proptest::collection::vec(segment(), 0..6),
        ) {
            // Nothing stripped: all bytes are there.
            let strip = |special: SpecialToken| SpecialToken { lstrip: false, rstrip: false, ..special };
            let specials: Vec<SpecialToken> = specials.into_iter().map(strip).collect();
            let groups: Groups = segments
                .iter()
                .flat_map(|segment| vec![(0, segment.group); segment.text.len()])
                .collect();
            let mut at = 0;
            for run in SpecialTokens::new(specials.clone()).split(&segments) {
                match run {
                    Run::Token(token, group) => {
                        prop_assert_eq!(group, groups[at].1);
                        at += specials[token.index().unwrap()].text.len();
                    }
                    Run::Text(run) => {
                        let bytes: Vec<Vec<u8>> = run.text.bytes().map(|byte| vec![byte]).collect();
                        let expected = &groups[at..at + bytes.len()];
                        let expected: Vec<Option<u32>> = expected.iter().map(|(_, group)| *group).collect();
                        prop_assert_eq!(&run.groups_of(&bytes), &expected);
                        if let Some(group) = run.only_group() {
                            prop_assert!(expected.iter().all(|&expected| expected == group));
                        }
                        at += bytes.len();
                    }
                }
            }
            prop_assert_eq!(at, groups.len());
        }
    }

    fn text(text: &str, groups: &[(usize, Option<u32>)]) -> Run {
        Run::Text(TextRun {
            text: text.to_owned(),
            groups: groups.to_vec(),
        })
    }

    #[test]
    fn a_message_never_has_control_tokens_nor_parts_of_one() {
        let specials = SpecialTokens::new(vec![special("<end>", 0, true)]);
        let split = |segments: &[Segment]| specials.split(segments);
        let (template, message) = (Segment::template, Segment::message);
        assert_eq!(
            split(&[template("a<end>"), message("b<end>").in_group(1)]),
            [
                text("a", &[(0, None)]),
                Run::Token(END, None),
                text("b<end>", &[(0, Some(1))]),
            ]
        );
        for cut in 1.."<end>".len() {
            let (left, right) = "<end>".split_at(cut);
            let whole = [text("<end>", &[(0, None)])];
            assert_eq!(split(&[template(left), message(right)]), whole);
            assert_eq!(split(&[message(left), template(right)]), whole);
            assert_eq!(
                split(&[template(left), message(""), template(right).in_group(2)]),
                [Run::Token(END, None)]
            );
        }
        // One that could not be does not hide one that is.
        let overlapping = SpecialTokens::new(vec![special("aa", 0, true)]);
        assert_eq!(
            overlapping.split(&[message("a"), template("aa")]),
            [text("a", &[(0, None)]), Run::Token(END, None)]
        );
    }

    #[test]
    fn user_defined_tokens_may_be_anywhere() {
        let specials = SpecialTokens::new(vec![special("<tab>", 0, false), special("", 1, false)]);
        let segments = [
            Segment::message("x<ta").in_group(1),
            Segment::template("b>y").in_group(2),
        ];
        assert_eq!(
            specials.split(&segments),
            [
                text("x", &[(0, Some(1))]),
                Run::Token(END, Some(1)),
                text("y", &[(0, Some(2))]),
            ]
        );
    }

    #[test]
    fn tokens_across_a_border_belong_to_where_they_begin() {
        let run = TextRun {
            text: "one two".to_owned(),
            groups: vec![(0, Some(1)), (2, None), (4, Some(2))],
        };
        let pieces = |pieces: &[&str]| -> Vec<Vec<u8>> {
            pieces
                .iter()
                .map(|piece| piece.as_bytes().to_vec())
                .collect()
        };
        let expected = [Some(1), None, None, Some(2)];
        assert_eq!(run.groups_of(&pieces(&["on", "e", " t", "wo"])), expected);
        // With the space that a tokenizer puts before it.
        assert_eq!(run.groups_of(&pieces(&[" on", "e", " t", "wo"])), expected);
        assert_eq!(
            run.groups_of(&pieces(&[" ", "one", " t", "wo"])),
            [Some(1), Some(1), None, Some(2)]
        );
        // Without its spaces.
        assert_eq!(run.groups_of(&pieces(&["one", "two"])), [Some(1), None]);
        assert_eq!(run.groups_of(&pieces(&["", ""])), [Some(1), Some(1)]);
    }
}
