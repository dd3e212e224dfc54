//! What a text may go on with: prompt lookup decoding, which guesses that it goes on as it did where its
//! last tokens stood before (github.com/apoorvumang/prompt-lookup-decoding), and whose guesses pay.

use std::collections::HashMap;
use std::time::Duration;

use super::judge::Judge;
use crate::token::Token;

/// Tokens that must repeat before what followed them is guessed again.
const GRAM: usize = 3;

/// Who guesses for one request, and how that went.
pub(super) struct Speculation {
    lookup: Lookup,
    by_lookup: Judge,
    by_draft: Judge,
    /// Whether the guesses that are being checked are the draft model's.
    from_draft: bool,
    /// What the draft model took since the last step.
    drafting: Duration,
}

/// What checking guesses cost: the time of a step without them and what they added to it, and how
/// many requests waited for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) step: Duration,
    pub(super) added: Duration,
    pub(super) waiting: usize,
}

impl Speculation {
    pub(super) fn new(tokens: &[Token]) -> Self {
        Self {
            lookup: Lookup::new(tokens),
            by_lookup: Judge::default(),
            by_draft: Judge::default(),
            from_draft: false,
            drafting: Duration::ZERO,
        }
    }

    /// Forgets the text and starts with another one.
    pub(super) fn restart(&mut self, tokens: &[Token]) {
        self.lookup = Lookup::new(tokens);
    }

    /// Adds the next token of the text.
    pub(super) fn push(&mut self, token: Token) {
        self.lookup.push(token);
    }

    /// At most `most` tokens from the text itself; none where its end is new or guessing does not pay.
    pub(super) fn look_up(&mut self, most: usize) -> &[Token] {
        self.from_draft = false;
        match self.by_lookup.allowed() {
            Some(length) => self.lookup.guess(most.min(length)),
            None => &[],
        }
    }

    /// How many tokens a draft model shall guess; none where that does not pay.
    pub(super) fn to_draft(&self, most: usize) -> usize {
        self.by_draft.allowed().map_or(0, |length| length.min(most))
    }

    /// Notes that a draft model was asked, and how long it took.
    pub(super) fn drafted(&mut self, took: Duration) {
        self.from_draft = true;
        self.drafting += took;
    }

    /// Learns how many of `guessed` tokens were right, in a step that drew `drawn` tokens.
    pub(super) fn learn(&mut self, guessed: usize, right: usize, drawn: usize, cost: Cost) {
        let step = cost.step.as_secs_f64();
        // Tokens that could have been drawn in the time.
        let lost = |time: Duration| match step > 0.0 {
            true => time.as_secs_f64() / step * cost.waiting as f64,
            false => 0.0,
        };
        let drafting = lost(std::mem::take(&mut self.drafting));
        let (checked, checking) = ((guessed, right), lost(cost.added));
        let none = (0, 0);
        if self.from_draft {
            self.by_lookup.learn(none, drawn, 0.0);
            self.by_draft.learn(checked, drawn, checking + drafting);
        } else {
            self.by_lookup.learn(checked, drawn, checking);
            self.by_draft.learn(none, drawn, drafting);
        }
    }
}

/// The text of one request and where each run of tokens in it stood last.
struct Lookup {
    tokens: Vec<Token>,
    /// The place after the last time that these tokens stood before another one.
    follows: HashMap<[Token; GRAM], usize>,
}

impl Lookup {
    fn new(tokens: &[Token]) -> Self {
        let mut lookup = Self {
            tokens: Vec::with_capacity(tokens.len()),
            follows: HashMap::new(),
        };
        for &token in tokens {
            lookup.push(token);
        }
        lookup
    }

    fn push(&mut self, token: Token) {
        if let Some(gram) = self.tokens.last_chunk::<GRAM>() {
            self.follows.insert(*gram, self.tokens.len());
        }
        self.tokens.push(token);
    }

    fn guess(&self, most: usize) -> &[Token] {
        let Some(gram) = self.tokens.last_chunk::<GRAM>() else {
            return &[];
        };
        let Some(&from) = self.follows.get(gram) else {
            return &[];
        };
        let rest = &self.tokens[from..];
        &rest[..rest.len().min(most)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(ids: &[i32]) -> Vec<Token> {
        ids.iter().copied().map(Token).collect()
    }

    fn cost(added: u64) -> Cost {
        Cost {
            step: Duration::from_millis(10),
            added: Duration::from_millis(added),
            waiting: 1,
        }
    }

    #[test]
    fn guesses_what_followed_the_last_tokens_before() {
        let mut lookup = Lookup::new(&tokens(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2]));
        assert_eq!(lookup.guess(8), []);
        lookup.push(Token(3));
        assert_eq!(lookup.guess(4), tokens(&[4, 5, 6, 7]));
        assert_eq!(lookup.guess(1), tokens(&[4]));
    }

    #[test]
    fn the_latest_place_counts() {
        let lookup = Lookup::new(&tokens(&[1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3]));
        assert_eq!(lookup.guess(1), tokens(&[5]));
    }

    #[test]
    fn a_guesser_that_does_not_pay_leaves_the_other_alone() {
        let mut speculation = Speculation::new(&tokens(&[1, 2, 3, 1, 2, 3]));
        assert!(!speculation.look_up(9).is_empty());
        speculation.learn(2, 0, 1, cost(20));
        assert!(speculation.look_up(9).is_empty());
        assert!(speculation.to_draft(9) > 0);
        speculation.drafted(Duration::from_millis(30));
        speculation.learn(2, 2, 3, cost(5));
        assert_eq!(speculation.to_draft(9), 0);
    }
}
