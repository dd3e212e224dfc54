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
    cell: u32,
}

/// The record of all sequences of one context. Entries of a sequence ascend by position.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    sequences: Vec<Vec<Entry>>,
    /// How many sequences hold each cell.
    holders: Vec<u16>,
    /// Cells that no sequence holds.
    free: Vec<u32>,
}

impl Ledger {
    pub(super) fn new(sequences: usize) -> Self {
        Self {
            sequences: vec![Vec::new(); sequences],
            holders: Vec::new(),
            free: Vec::new(),
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
        let mut shared = None;
        for seq in seqs {
            let cell = match shared {
                None => self.new_cell(),
                Some(cell) => self.hold(cell),
            };
            shared = Some(cell);
            self.sequences[seq].push(Entry {
                position,
                token,
                cell,
            });
        }
    }

    /// Removes a sequence's entries in a range of positions.
    pub(super) fn remove(&mut self, seq: usize, positions: &Range<i32>) {
        let mut entries = std::mem::take(&mut self.sequences[seq]);
        entries.retain(|entry| {
            let stays = !positions.contains(&entry.position);
            if !stays {
                self.release(entry.cell);
            }
            stays
        });
        self.sequences[seq] = entries;
    }

    /// Copies a range of `from` into the empty sequence `to`. `shared`: in the same cells.
    pub(super) fn copy(&mut self, from: usize, to: usize, positions: &Range<i32>, shared: bool) {
        let mut copied: Vec<Entry> = self.sequences[from]
            .iter()
            .filter(|entry| positions.contains(&entry.position))
            .copied()
            .collect();
        for entry in &mut copied {
            entry.cell = if shared {
                self.hold(entry.cell)
            } else {
                self.new_cell()
            };
        }
        self.sequences[to] = copied;
    }

    /// Replaces a sequence with entries in new cells.
    pub(super) fn replace(&mut self, seq: usize, entries: impl IntoIterator<Item = (i32, Token)>) {
        self.remove(seq, &(i32::MIN..i32::MAX));
        for (position, token) in entries {
            self.append([seq], position, token);
        }
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
        self.sequences[seq].iter().any(|entry| {
            positions.contains(&entry.position) && self.holders[entry.cell as usize] > 1
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
        self.holders.len() - self.free.len()
    }

    /// Number of distinct cells that any of these sequences holds.
    #[cfg(feature = "engine")]
    pub(super) fn cells_of(&self, seqs: impl IntoIterator<Item = usize>) -> usize {
        let mut seen = vec![false; self.holders.len()];
        let mut count = 0;
        for entry in seqs.into_iter().flat_map(|seq| &self.sequences[seq]) {
            let seen = &mut seen[entry.cell as usize];
            count += usize::from(!*seen);
            *seen = true;
        }
        count
    }

    pub(super) fn clear(&mut self) {
        self.sequences.iter_mut().for_each(Vec::clear);
        self.holders.clear();
        self.free.clear();
    }

    /// A cell with one holder.
    fn new_cell(&mut self) -> u32 {
        if let Some(cell) = self.free.pop() {
            self.holders[cell as usize] = 1;
            return cell;
        }
        self.holders.push(1);
        // A cache has at most 2^27 cells.
        u32::try_from(self.holders.len() - 1).unwrap_or(u32::MAX)
    }

    /// Adds a holder.
    fn hold(&mut self, cell: u32) -> u32 {
        self.holders[cell as usize] += 1;
        cell
    }

    fn release(&mut self, cell: u32) {
        let holders = &mut self.holders[cell as usize];
        *holders -= 1;
        if *holders == 0 {
            self.free.push(cell);
        }
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
        ledger.remove(0, &(0..i32::MAX));
        assert_eq!(ledger.cells(), 5, "two cells stay with sequence 1");
        assert!(!ledger.is_shared(1, &(0..2)));
        ledger.append([0, 1], 9, Token(4));
        assert_eq!(ledger.cells(), 6, "one cell for both");
    }
}
