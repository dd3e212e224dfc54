//! The texts of a vocabulary that a template writes and a message must not.

use std::ops::Range;

use minijinja::Value;

/// The special tokens of a vocabulary, by their texts.
///
/// Templates read the named ones as variables (`bos_token` and so on). The list says what a message must
/// not be able to write; while it is empty, whatever looks like a control token counts as one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpecialTexts {
    /// `bos_token`: what a text begins with.
    pub bos: Option<String>,
    /// `eos_token`: what a text ends with.
    pub eos: Option<String>,
    /// `unk_token`: what stands for the unknown.
    pub unk: Option<String>,
    /// `sep_token`: what separates texts.
    pub sep: Option<String>,
    /// `pad_token`: what fills batches.
    pub pad: Option<String>,
    /// `cls_token`: what stands for a whole text.
    pub cls: Option<String>,
    /// `mask_token`: what hides a token.
    pub mask: Option<String>,
    /// The texts of all control tokens.
    pub control: Vec<String>,
}

impl SpecialTexts {
    /// The variables of a template.
    pub(super) fn variables(&self) -> impl Iterator<Item = (String, Value)> {
        let named = [
            ("bos_token", &self.bos),
            ("eos_token", &self.eos),
            ("unk_token", &self.unk),
            ("sep_token", &self.sep),
            ("pad_token", &self.pad),
            ("cls_token", &self.cls),
            ("mask_token", &self.mask),
        ];
        named
            .into_iter()
            .filter_map(|(name, text)| Some((name.to_owned(), Value::from(text.as_ref()?))))
    }

    /// Where a text reads like control tokens, in order and without overlaps. A text in which tokens
    /// could begin or end is found as well: from the first of their characters that could be part of one.
    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        if self.control.is_empty() {
            found.extend(shapes(text));
        } else {
            // Templates can change the case of what they print.
            let lower = text.to_lowercase();
            let same_places = lower.len() == text.len();
            for control in self.control.iter().filter(|control| !control.is_empty()) {
                if same_places {
                    found.extend(matches(&lower, &control.to_lowercase()));
                } else {
                    found.extend(matches(text, control));
                }
                found.extend(open_ends(text, control));
            }
        }
        found
            .retain(|range| text.is_char_boundary(range.start) && text.is_char_boundary(range.end));
        found.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<usize>> = Vec::with_capacity(found.len());
        for range in found {
            match merged.last_mut().filter(|last| range.start <= last.end) {
                Some(last) => last.end = last.end.max(range.end),
                None => merged.push(range),
            }
        }
        merged
    }
}

/// Overlapping ones as well.
fn matches(text: &str, part: &str) -> Vec<Range<usize>> {
    let step = part.chars().next().map_or(1, char::len_utf8);
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(part)) {
        found.push(from + at..from + at + part.len());
        from += at + step;
    }
    found
}

/// An end of a token at the beginning of the text, and the beginning of one at its end.
fn open_ends(text: &str, control: &str) -> Vec<Range<usize>> {
    let cuts = control.char_indices().skip(1).map(|(at, _)| at);
    let mut found = Vec::new();
    for cut in cuts {
        let (head, tail) = control.split_at(cut);
        if text.starts_with(tail) {
            found.push(0..tail.len());
        }
        if text.ends_with(head) {
            found.push(text.len() - head.len()..text.len());
        }
    }
    found
}

/// What looks like a control token of some vocabulary: anything in angle or square brackets, and the
/// brackets alone.
fn shapes(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open: Option<usize> = None;
    for (at, char) in text.char_indices() {
        match char {
            '<' | '[' | '＜' | '｟' => open = Some(open.unwrap_or(at)),
            '>' | ']' | '＞' | '｠' => {
                found.push(open.take().unwrap_or(at)..at + char.len_utf8());
            }
            '\n' => {
                found.extend(open.take().map(|start| start..at));
            }
            _ => {}
        }
    }
    found.extend(open.map(|start| start..text.len()));
    found
}
