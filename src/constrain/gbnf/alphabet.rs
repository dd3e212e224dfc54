//! Sets of characters, and the few kinds of characters that a grammar tells apart.

use super::{Chars, Node};

/// The last code point before the surrogates, and the first after them.
const BELOW: char = '\u{d7ff}';
const ABOVE: char = '\u{e000}';

impl Chars {
    /// From ranges in any order.
    pub(super) fn new(mut ranges: Vec<(char, char)>) -> Self {
        ranges.sort_unstable();
        let mut joined: Vec<(char, char)> = Vec::with_capacity(ranges.len());
        for (from, to) in ranges {
            match joined.last_mut() {
                Some((_, last)) if from <= *last || Some(from) == next(*last) => {
                    *last = to.max(*last);
                }
                _ => joined.push((from, to)),
            }
        }
        Self(joined)
    }

    pub(super) fn all() -> Self {
        Self(vec![('\0', char::MAX)])
    }

    /// All others; `None` if there are none.
    pub(super) fn negated(&self) -> Option<Self> {
        let mut gaps = Vec::new();
        let mut from = Some('\0');
        for &(first, last) in &self.0 {
            if let Some(from) = from.filter(|&from| from < first)
                && let Some(to) = previous(first)
            {
                gaps.push((from, to));
            }
            from = next(last);
        }
        gaps.extend(from.map(|from| (from, char::MAX)));
        (!gaps.is_empty()).then_some(Self(gaps))
    }
}

fn next(c: char) -> Option<char> {
    match c {
        BELOW => Some(ABOVE),
        _ => char::from_u32(u32::from(c) + 1),
    }
}

fn previous(c: char) -> Option<char> {
    match c {
        ABOVE => Some(BELOW),
        _ => u32::from(c).checked_sub(1).and_then(char::from_u32),
    }
}

/// Kinds of characters: two of one kind are in the same sets.
pub(super) struct Alphabet {
    /// The first character of each kind's run but the first's, ascending.
    borders: Vec<char>,
}

/// A set of kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kinds(Vec<u64>);

impl Alphabet {
    pub(super) fn of(nodes: &[Node]) -> Self {
        let mut borders = Vec::new();
        let mut add = |from: char, to: char| {
            borders.push(from);
            borders.extend(next(to));
        };
        let mut waiting: Vec<&Node> = nodes.iter().collect();
        while let Some(node) = waiting.pop() {
            match node {
                Node::Chars(chars) => chars.0.iter().for_each(|&(from, to)| add(from, to)),
                Node::Text(text) => text.iter().for_each(|&c| add(c, c)),
                _ => waiting.extend(node.parts()),
            }
        }
        borders.sort_unstable();
        borders.dedup();
        Self { borders }
    }

    /// How many kinds there are.
    pub(super) fn len(&self) -> usize {
        self.borders.len() + 1
    }

    pub(super) fn none(&self) -> Kinds {
        Kinds(vec![0; self.len().div_ceil(64)])
    }

    pub(super) fn one(&self, c: char) -> Kinds {
        self.kinds(&[(c, c)])
    }

    pub(super) fn set(&self, chars: &Chars) -> Kinds {
        self.kinds(&chars.0)
    }

    fn kinds(&self, ranges: &[(char, char)]) -> Kinds {
        let mut kinds = self.none();
        for &(from, to) in ranges {
            for kind in self.kind(from)..=self.kind(to) {
                kinds.0[kind / 64] |= 1 << (kind % 64);
            }
        }
        kinds
    }

    fn kind(&self, c: char) -> usize {
        self.borders.partition_point(|&border| border <= c)
    }
}

impl Kinds {
    /// Adds others; whether any was new.
    pub(super) fn add(&mut self, other: &Self) -> bool {
        let mut new = false;
        for (mine, other) in self.0.iter_mut().zip(&other.0) {
            new |= other & !*mine != 0;
            *mine |= other;
        }
        new
    }

    pub(super) fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }
}
