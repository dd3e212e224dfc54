//! A whole row of logits with a few edits and a mask: the state of a chain before the first stage
//! that drops candidates. Keeps the common chains to one pass over the row without a copy.

use super::math::{self, Best, scan_above, unkey};
use super::set::Set;
use crate::error::{Error, ErrorKind, Result};
use crate::token::Token;

/// Says which tokens may be drawn.
pub(crate) trait Allowed {
    /// Whether this one may.
    fn allows(&mut self, token: Token) -> bool;

    /// All that may, in ascending order, if they are so few that it is better to know them than to ask.
    fn few(&mut self) -> Option<Vec<Token>>;
}

/// Answers of a caller, about one token at a time.
pub(super) struct Asked<'a>(pub(super) &'a mut dyn FnMut(Token) -> bool);

impl Allowed for Asked<'_> {
    fn allows(&mut self, token: Token) -> bool {
        (self.0)(token)
    }

    fn few(&mut self) -> Option<Vec<Token>> {
        None
    }
}

pub(super) type Mask<'a> = Option<&'a mut dyn Allowed>;

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

    /// The tokens that may be drawn and their logits, where they are known to be few.
    fn few(&mut self) -> Option<Vec<(u32, f32)>> {
        let tokens = self.mask.as_mut()?.few()?;
        let logit = |token: Token| {
            let id = u32::try_from(token.0).ok()?;
            let edited = self.edits.binary_search_by_key(&id, |e| e.0);
            let logit = match edited {
                Ok(at) => self.edits[at].1,
                Err(_) => *self.logits.get(id as usize)?,
            };
            (logit != f32::NEG_INFINITY).then_some((id, logit))
        };
        Some(tokens.into_iter().filter_map(logit).collect())
    }

    /// The token with the largest logit, the lowest id among equals.
    pub(super) fn argmax(&mut self) -> Result<(u32, f32)> {
        let mut best = self.largest(false)?;
        if self.mask.is_some() && !allows(&mut self.mask, best.0) {
            best = match self.few() {
                Some(few) => few
                    .into_iter()
                    .fold(NOTHING, |best, (id, x)| match x > best.1 {
                        true => (id, x),
                        false => best,
                    }),
                None => self.largest(true)?,
            };
        }
        match best.1 == f32::NEG_INFINITY {
            true => Err(nothing_left()),
            false => Ok(best),
        }
    }

    fn largest(&mut self, masked: bool) -> Result<(u32, f32)> {
        let (mut token, mut logit) = NOTHING;
        let edits = &*self.edits;
        let mut none = None;
        let mask = match masked {
            true => &mut self.mask,
            false => &mut none,
        };
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
        Ok((token, logit))
    }

    /// The `k >= 1` best candidates.
    pub(super) fn keep_best(&mut self, k: usize, keys: &mut Vec<u64>, set: &mut Set) -> Result<()> {
        let k = k.min(self.logits.len()).max(1);
        if !self.best_of_more(k, keys)? {
            match self.few() {
                Some(few) => {
                    let mut best = Best::new(keys, k);
                    for (id, x) in few {
                        best.push(x, id);
                    }
                    best.finish();
                }
                None => self.best(k, keys, true)?,
            }
        }
        set.clear();
        set.fill_ranked(keys);
        set.ghosts = k - set.ids.len();
        Ok(())
    }

    /// Where many tokens are allowed most of the best ones are, so that the `k` best are among a few more
    /// without a mask, and few are asked about. False: they are not.
    fn best_of_more(&mut self, k: usize, keys: &mut Vec<u64>) -> Result<bool> {
        let more = k.saturating_mul(2);
        if self.mask.is_none() || more >= self.logits.len() {
            return Ok(false);
        }
        self.best(more, keys, false)?;
        let mut found = 0;
        keys.retain(|&key| {
            let keep = found < k && allows(&mut self.mask, unkey(key).1);
            found += usize::from(keep);
            keep
        });
        Ok(found == k)
    }

    /// The keys of the `k` best, best first.
    fn best(&mut self, k: usize, keys: &mut Vec<u64>, masked: bool) -> Result<()> {
        let edits = &*self.edits;
        let mut none = None;
        let mask = match masked {
            true => &mut self.mask,
            false => &mut none,
        };
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
        Ok(())
    }

    /// The candidates with a logit of at least `floor`, in ascending order of id.
    pub(super) fn keep_from(&mut self, floor: f32, set: &mut Set) -> Result<()> {
        set.clear();
        if let Some(few) = self.few() {
            for (id, x) in few.into_iter().filter(|&(_, x)| x >= floor) {
                set.ids.push(id);
                set.logits.push(x);
            }
            return Ok(());
        }
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
        if let Some(few) = self.few() {
            set.logits.fill(f32::NEG_INFINITY);
            for (id, x) in few {
                set.logits[id as usize] = x;
            }
        } else if let Some(mask) = &mut self.mask {
            for (logit, id) in set.logits.iter_mut().zip(0..) {
                if !mask.allows(Token(id)) {
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
        Some(mask) => i32::try_from(id).is_ok_and(|id| mask.allows(Token(id))),
        None => true,
    }
}

/// Less than every candidate.
const NOTHING: (u32, f32) = (u32::MAX, f32::NEG_INFINITY);

pub(super) fn nothing_left() -> Error {
    Error::new(
        ErrorKind::Sampling,
        "no token can be drawn: every logit is -inf or masked",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::{Sampler, Stage, chain};

    struct Few(Vec<Token>);

    impl Allowed for Few {
        fn allows(&mut self, token: Token) -> bool {
            self.0.contains(&token)
        }

        fn few(&mut self) -> Option<Vec<Token>> {
            Some(self.0.clone())
        }
    }

    fn build(stages: impl IntoIterator<Item = Stage>) -> Sampler {
        let sampler = Sampler::builder().stages(stages).seed(7);
        sampler.build().unwrap()
    }

    #[test]
    fn knowing_the_few_is_as_asking_about_each() {
        let chains = [
            vec![Stage::Greedy],
            vec![
                Stage::TopK(40),
                Stage::Temperature(1.5),
                Stage::Distribution,
            ],
            vec![
                Stage::MinP {
                    p: 0.01,
                    min_keep: 1,
                },
                Stage::Temperature(2.0),
                Stage::Distribution,
            ],
            vec![Stage::Temperature(2.0), Stage::Distribution],
            vec![
                Stage::LogitBias([(Token(3), 4.0), (Token(90), f32::NEG_INFINITY)].into()),
                Stage::TopK(3),
                Stage::Temperature(3.0),
                Stage::Distribution,
            ],
        ];
        let mut random = crate::sampler::rng::Rng::new(1);
        for stages in chains {
            let (mut known, mut asked) = (build(stages.clone()), build(stages.clone()));
            for round in 0..60 {
                let row: Vec<f32> = (0..400).map(|_| (random.unit() * 9.0) as f32).collect();
                let every = 1 + round % 7 * 9;
                let few: Vec<Token> = (0..400).step_by(every).map(|id| Token(id + 2)).collect();
                let allowed = few.clone();
                let known = chain::sample(&mut known, &row, Some(&mut Few(few)));
                let asked = asked.sample_masked(&row, &mut |token| allowed.contains(&token));
                assert_eq!(known.unwrap(), asked.unwrap(), "{stages:?}");
            }
        }
        let none = chain::sample(
            &mut build([Stage::Greedy]),
            &[1.0, 2.0],
            Some(&mut Few(Vec::new())),
        );
        assert!(
            none.unwrap_err()
                .message()
                .contains("no token can be drawn")
        );
    }
}
