//! Makes a prompt fit its window, by the rule its request asked for.

use super::request::Overflow;
use crate::token::Token;

/// What is left of a prompt.
pub(super) struct Fitted {
    pub(super) tokens: Vec<Token>,
    pub(super) dropped_groups: Vec<u32>,
}

/// Drops what the rule allows until the prompt leaves room for a token. `groups` says which group
/// each token belongs to; it is empty when there are none. `None`: it does not fit.
pub(super) fn fit(
    tokens: Vec<Token>,
    groups: &[Option<u32>],
    window: usize,
    rule: Overflow,
) -> Option<Fitted> {
    let keep_all = |tokens| Fitted {
        tokens,
        dropped_groups: Vec::new(),
    };
    if tokens.len() < window {
        return Some(keep_all(tokens));
    }
    match rule {
        Overflow::Error => None,
        Overflow::DropGroups => drop_groups(&tokens, groups, window),
        Overflow::Shift { keep } => {
            let (kept, dropped) = shift(tokens.len(), window, keep)?;
            let mut tokens = tokens;
            tokens.drain(kept..kept + dropped);
            Some(keep_all(tokens))
        }
    }
}

/// Which tokens leave when `len` of them must become fewer than `window`: how many stay at the
/// start, and how many after them go. About half of what may go does, so that this is rare.
/// `None`: there is nothing that may go.
pub(super) fn shift(len: usize, window: usize, keep: usize) -> Option<(usize, usize)> {
    let keep = keep.min(len);
    let room = window.checked_sub(keep + 1).filter(|&room| room > 0)?;
    let stays = room.div_ceil(2);
    let dropped = (len - keep)
        .checked_sub(stays)
        .filter(|&dropped| dropped > 0)?;
    Some((keep, dropped))
}

fn drop_groups(tokens: &[Token], groups: &[Option<u32>], window: usize) -> Option<Fitted> {
    // Groups in the order of their first token, and how many tokens each has.
    let mut order: Vec<(u32, usize)> = Vec::new();
    for &group in groups.iter().flatten() {
        match order.iter_mut().find(|(known, _)| *known == group) {
            Some((_, count)) => *count += 1,
            None => order.push((group, 1)),
        }
    }
    order.pop();
    let mut left = tokens.len();
    let mut dropped = Vec::new();
    for (group, count) in order {
        if left < window {
            break;
        }
        left -= count;
        dropped.push(group);
    }
    if left >= window {
        return None;
    }
    let stays = |group: &Option<u32>| group.is_none_or(|group| !dropped.contains(&group));
    Some(Fitted {
        tokens: tokens
            .iter()
            .zip(groups)
            .filter(|(_, group)| stays(group))
            .map(|(&token, _)| token)
            .collect(),
        dropped_groups: dropped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(count: i32) -> Vec<Token> {
        (0..count).map(Token).collect()
    }

    fn ids(fitted: &Fitted) -> Vec<i32> {
        fitted.tokens.iter().map(|token| token.0).collect()
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        for rule in [
            Overflow::Error,
            Overflow::DropGroups,
            Overflow::Shift { keep: 1 },
        ] {
            let fitted = fit(tokens(4), &[], 5, rule).unwrap();
            assert_eq!(ids(&fitted), [0, 1, 2, 3]);
            assert!(fitted.dropped_groups.is_empty());
        }
        assert!(fit(tokens(5), &[], 5, Overflow::Error).is_none());
    }

    #[test]
    fn the_oldest_groups_go_and_the_last_and_the_ungrouped_stay() {
        let groups = [None, Some(7), Some(7), Some(3), None, Some(9), Some(9)];
        let fitted = fit(tokens(7), &groups, 6, Overflow::DropGroups).unwrap();
        assert_eq!(ids(&fitted), [0, 3, 4, 5, 6]);
        assert_eq!(fitted.dropped_groups, [7]);
        let fitted = fit(tokens(7), &groups, 5, Overflow::DropGroups).unwrap();
        assert_eq!(ids(&fitted), [0, 4, 5, 6]);
        assert_eq!(fitted.dropped_groups, [7, 3]);
        assert!(fit(tokens(7), &groups, 4, Overflow::DropGroups).is_none());
        assert!(fit(tokens(7), &[], 7, Overflow::DropGroups).is_none());
    }

    #[test]
    fn a_shift_keeps_the_start_and_the_newer_half() {
        let fitted = fit(tokens(20), &[], 11, Overflow::Shift { keep: 2 }).unwrap();
        assert_eq!(ids(&fitted), [0, 1, 16, 17, 18, 19]);
        assert!(fit(tokens(20), &[], 11, Overflow::Shift { keep: 10 }).is_none());
        assert_eq!(shift(10, 10, 0), Some((0, 5)));
        assert_eq!(shift(3, 2, 1), None);
    }
}
