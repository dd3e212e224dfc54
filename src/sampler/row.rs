//! A whole row of logits with a few edits and a mask: the state of a chain before the first stage
//! that drops candidates. Keeps the common chains to one pass over the row without a copy.

use super::math::{self, Best, scan_above};
use super::set::Set;
use crate::error::{Error, ErrorKind, Result};
use crate::token::Token;

/// Says whether a token may be drawn.
pub(super) type Mask<'a> = Option<&'a mut dyn FnMut(Token) -> bool>;

pub(super) struct Row<'a, 'm> {
    pub(super) logits: &'a [f32],
    /// New logits of a few tokens, by ascending id.
    pub(super) edits: &'a mut Vec<(u32, f32)>,
    pub(super) mask: Mask<'m>,
}

impl Row<'_, '_> {
    /// Changes the logit of one token. Ids outside the row are ignored: they can't be drawn.
    /// Cheapest when ids come in ascending order.
    pub(super) fn edit(&mut self, id: u32, change: impl FnOnce(f32) -> f32) -> Result<()> {
        let Some(&raw) = self.logits.get(id as usize) else {
            return Ok(());
        };
        let at = match self.edits.last() {
            None => Err(0),
            Some(&(last, _)) if last < id => Err(self.edits.len()),
            Some(_) => self.edits.binary_search_by_key(&id, |e| e.0),
        };
        let old = at.map_or(raw, |i| self.edits[i].1);
        math::check(id, old)?;
        let new = change(old);
        math::check(id, new)?;
        match at {
            Ok(i) => self.edits[i].1 = new,
            Err(i) => self.edits.insert(i, (id, new)),
        }
        Ok(())
    }

    /// Whether the token's raw logit counts: not edited, and allowed.
    fn is_plain(edits: &[(u32, f32)], mask: &mut Mask<'_>, id: u32) -> bool {
        edits.binary_search_by_key(&id, |e| e.0).is_err() && allows(mask, id)
    }

    /// The token with the largest logit, the lowest id among equals.
    pub(super) fn argmax(&mut self) -> Result<(u32, f32)> {
        let (mut token, mut logit) = (u32::MAX, f32::NEG_INFINITY);
        let (edits, mask) = (&*self.edits, &mut self.mask);
        scan_above(self.logits, logit, |id, x| {
            if Self::is_plain(edits, mask, id) {
                (token, logit) = (id, x);
            }
            logit
        })?;
        for &(id, x) in edits {
            let better = x > logit || (x == logit && id < token);
            if better && x != f32::NEG_INFINITY && allows(mask, id) {
                (token, logit) = (id, x);
            }
        }
        if logit == f32::NEG_INFINITY {
            return Err(nothing_left());
        }
        Ok((token, logit))
    }

    /// The `k >= 1` best candidates.
    pub(super) fn keep_best(&mut self, k: usize, keys: &mut Vec<u64>, set: &mut Set) -> Result<()> {
        let k = k.min(self.logits.len()).max(1);
        let (edits, mask) = (&*self.edits, &mut self.mask);
        let mut best = Best::new(keys, k);
        let mut threshold = f32::NEG_INFINITY;
        scan_above(self.logits, threshold, |id, x| {
            if Self::is_plain(edits, mask, id)
                && let Some(raised) = best.push(x, id)
            {
                threshold = raised;
            }
            threshold
        })?;
        for &(id, x) in edits {
            // At the threshold an edited token may still win by its lower id.
            if x >= threshold && x != f32::NEG_INFINITY && allows(mask, id) {
                best.push(x, id);
            }
        }
        best.finish();
        set.clear();
        set.fill_ranked(keys);
        set.ghosts = k - set.ids.len();
        Ok(())
    }

    /// The candidates with a logit of at least `floor`, in ascending order of id.
    pub(super) fn keep_from(&mut self, floor: f32, set: &mut Set) -> Result<()> {
        set.clear();
        let (edits, mask) = (&*self.edits, &mut self.mask);
        let mut edits_left = edits
            .iter()
            .filter(|e| e.1 >= floor && e.1 != f32::NEG_INFINITY)
            .peekable();
        let push = |set: &mut Set, mask: &mut Mask<'_>, id: u32, x: f32| {
            if allows(mask, id) {
                set.ids.push(id);
                set.logits.push(x);
            }
        };
        let below = floor.next_down();
        scan_above(self.logits, below, |id, x| {
            while let Some(&&(edited, y)) = edits_left.peek().filter(|e| e.0 < id) {
                push(set, mask, edited, y);
                edits_left.next();
            }
            if edits.binary_search_by_key(&id, |e| e.0).is_err() {
                push(set, mask, id, x);
            }
            below
        })?;
        for &(id, y) in edits_left {
            push(set, mask, id, y);
        }
        Ok(())
    }

    /// Every candidate, in ascending order of id.
    pub(super) fn keep_all(&mut self, set: &mut Set) -> Result<()> {
        set.clear();
        set.logits.extend_from_slice(self.logits);
        for &(id, x) in &*self.edits {
            set.logits[id as usize] = x;
        }
        if let Some(mask) = &mut self.mask {
            for (logit, id) in set.logits.iter_mut().zip(0..) {
                if !mask(Token(id)) {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
        set.ids.extend(0..self.logits.len() as u32);
        let (mut bad, mut low) = (0, 0);
        for &x in self.logits {
            bad |= u32::from(x.is_nan() | (x == f32::INFINITY));
        }
        for &x in &set.logits {
            low |= u32::from(x == f32::NEG_INFINITY);
        }
        if bad != 0 {
            scan_above(self.logits, f32::MAX, |_, _| f32::MAX)?;
        }
        if low != 0 {
            set.ghosts = set.retain(|_, x| x != f32::NEG_INFINITY);
        }
        Ok(())
    }
}

fn allows(mask: &mut Mask<'_>, id: u32) -> bool {
    match mask {
        Some(mask) => i32::try_from(id).is_ok_and(|id| mask(Token(id))),
        None => true,
    }
}

pub(super) fn nothing_left() -> Error {
    Error::new(
        ErrorKind::Sampling,
        "no token can be drawn: every logit is -inf or masked",
    )
}
