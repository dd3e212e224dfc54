//! The record of which token sits at which position of which sequence.
//! Prefix reuse compares with this record, token by token.

use std::ops::Range;

use crate::token::Token;

/// One token of one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) position: i32,
    pub(super) token: Token,
    /// The cell it occupies; sequences that share a cell have the same number here.
    cell: u64,
}

/// The record of all sequences of one context. Entries of a sequence ascend by position.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    sequences: Vec<Vec<Entry>>,
    next_cell: u64,
}

impl Ledger {
    pub(super) fn new(sequences: usize) -> Self {
        Self {
            sequences: vec![Vec::new(); sequences],
            next_cell: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sequences.len()
    }

    pub(super) fn entries(&self, seq: usize) -> &[Entry] {
        &self.sequences[seq]
    }

    /// The position after a sequence's last one; 0 when it is empty.
    pub(super) fn next_position(&self, seq: usize) -> i32 {
        self.sequences[seq]
            .last()
            .map_or(0, |entry| entry.position.saturating_add(1))
    }

    /// Adds a token to the end of every sequence in `seqs`, in one shared cell.
    pub(super) fn append(
        &mut self,
        seqs: impl IntoIterator<Item = usize>,
        position: i32,
        token: Token,
    ) {
        let cell = self.new_cell();
        for seq in seqs {
            self.sequences[seq].push(Entry {
                position,
                token,
                cell,
            });
        }
    }

    /// Removes a sequence's entries in a range of positions.
    pub(super) fn remove(&mut self, seq: usize, positions: &Range<i32>) {
        self.sequences[seq].retain(|entry| !positions.contains(&entry.position));
    }

    /// Copies a range of `from` into the empty sequence `to`. `shared`: in the same cells.
    pub(super) fn copy(&mut self, from: usize, to: usize, positions: &Range<i32>, shared: bool) {
        let mut copied: Vec<Entry> = self.sequences[from]
            .iter()
            .filter(|entry| positions.contains(&entry.position))
            .copied()
            .collect();
        if !shared {
            for entry in &mut copied {
                entry.cell = self.new_cell();
            }
        }
        self.sequences[to] = copied;
    }

    /// Replaces a sequence with entries in new cells.
    pub(super) fn replace(&mut self, seq: usize, entries: impl IntoIterator<Item = (i32, Token)>) {
        let mut replaced = Vec::new();
        for (position, token) in entries {
            let cell = self.new_cell();
            replaced.push(Entry {
                position,
                token,
                cell,
            });
        }
        self.sequences[seq] = replaced;
    }

    /// Adds `delta` to the positions in a range. The caller has checked that they stay ascending.
    pub(super) fn shift(&mut self, seq: usize, positions: &Range<i32>, delta: i32) {
        for entry in &mut self.sequences[seq] {
            if positions.contains(&entry.position) {
                entry.position += delta;
            }
        }
    }

    /// Whether positions stay non-negative and ascending when a range moves by `delta`.
    pub(super) fn can_shift(&self, seq: usize, positions: &Range<i32>, delta: i32) -> bool {
        let mut last = -1;
        self.sequences[seq].iter().all(|entry| {
            let moved = if positions.contains(&entry.position) {
                entry.position.checked_add(delta)
            } else {
                Some(entry.position)
            };
            let ascends = moved.is_some_and(|position| position > last);
            last = moved.unwrap_or(last);
            ascends
        })
    }

    /// Whether another sequence has a cell of this range.
    pub(super) fn is_shared(&self, seq: usize, positions: &Range<i32>) -> bool {
        let cells: std::collections::HashSet<u64> = self.sequences[seq]
            .iter()
            .filter(|entry| positions.contains(&entry.position))
            .map(|entry| entry.cell)
            .collect();
        self.sequences.iter().enumerate().any(|(other, entries)| {
            other != seq && entries.iter().any(|entry| cells.contains(&entry.cell))
        })
    }

    /// How many leading tokens of `tokens` the sequence holds at positions 0, 1, 2, ...
    pub(super) fn common_prefix(&self, seq: usize, tokens: &[Token]) -> usize {
        self.sequences[seq]
            .iter()
            .zip(tokens)
            .zip(0_i32..)
            .take_while(|&((entry, &token), place)| entry.token == token && entry.position == place)
            .count()
    }

    /// Number of distinct cells in use.
    pub(super) fn cells(&self) -> usize {
        let cells: std::collections::HashSet<u64> = self
            .sequences
            .iter()
            .flatten()
            .map(|entry| entry.cell)
            .collect();
        cells.len()
    }

    pub(super) fn clear(&mut self) {
        self.sequences.iter_mut().for_each(Vec::clear);
    }

    fn new_cell(&mut self) -> u64 {
        self.next_cell += 1;
        self.next_cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(ids: &[i32]) -> Vec<Token> {
        ids.iter().map(|&id| Token(id)).collect()
    }

    fn filled(ids: &[i32]) -> Ledger {
        let mut ledger = Ledger::new(3);
        for (position, &id) in ids.iter().enumerate() {
            ledger.append([0], position as i32, Token(id));
        }
        ledger
    }

    #[test]
    fn the_common_prefix_ends_at_the_first_difference() {
        let ledger = filled(&[5, 6, 7, 8]);
        assert_eq!(ledger.common_prefix(0, &tokens(&[5, 6, 9, 8])), 2);
        assert_eq!(ledger.common_prefix(0, &tokens(&[5, 6, 7, 8, 9])), 4);
        assert_eq!(ledger.common_prefix(1, &tokens(&[5])), 0);
    }

    #[test]
    fn a_hole_ends_the_common_prefix() {
        let mut ledger = filled(&[5, 6, 7, 8]);
        ledger.remove(0, &(1..2));
        assert_eq!(ledger.common_prefix(0, &tokens(&[5, 7, 8])), 1);
        ledger.shift(0, &(2..4), -1);
        assert_eq!(ledger.common_prefix(0, &tokens(&[5, 7, 8])), 3);
        assert_eq!(ledger.next_position(0), 3);
    }

    #[test]
    fn shifting_onto_another_position_is_seen() {
        let ledger = filled(&[5, 6, 7]);
        assert!(!ledger.can_shift(0, &(2..3), -1));
        assert!(!ledger.can_shift(0, &(0..3), -1));
        assert!(ledger.can_shift(0, &(1..3), 4));
        assert!(!ledger.can_shift(0, &(1..3), i32::MAX));
    }

    #[test]
    fn sharing_is_by_cell_not_by_content() {
        let mut ledger = filled(&[5, 6, 7]);
        ledger.copy(0, 1, &(0..2), true);
        ledger.copy(0, 2, &(0..3), false);
        assert!(ledger.is_shared(0, &(0..1)));
        assert!(!ledger.is_shared(0, &(2..3)));
        assert!(!ledger.is_shared(2, &(0..3)));
        assert_eq!(ledger.cells(), 6);
    }
}
