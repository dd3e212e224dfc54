//! Prompt lookup decoding: guesses that a text goes on as it did where its last tokens stood before
//! (github.com/apoorvumang/prompt-lookup-decoding). No model is asked.

use std::collections::HashMap;

use crate::token::Token;

/// Tokens that must repeat before what followed them is guessed again.
const GRAM: usize = 3;
/// Tokens guessed at once, at least and at most.
const SHORTEST: usize = 2;
const LONGEST: usize = 15;
/// Tokens without a guess after guesses that were wrong, at first and at most.
const FIRST_PAUSE: usize = 8;
const LONGEST_PAUSE: usize = 256;

/// The text of one request and where each run of tokens in it stood last.
pub(super) struct Lookup {
    tokens: Vec<Token>,
    /// The place after the last time that these tokens stood before another one.
    follows: HashMap<[Token; GRAM], usize>,
    /// Tokens to guess next time.
    length: usize,
    /// Tokens to wait before the next guess, and after the next wrong one.
    pause: usize,
    next_pause: usize,
}

impl Lookup {
    pub(super) fn new(tokens: &[Token]) -> Self {
        let mut lookup = Self {
            tokens: Vec::with_capacity(tokens.len()),
            follows: HashMap::new(),
            length: 2 * SHORTEST,
            pause: 0,
            next_pause: FIRST_PAUSE,
        };
        for &token in tokens {
            lookup.push(token);
        }
        lookup
    }

    /// Adds the next token of the text.
    pub(super) fn push(&mut self, token: Token) {
        if let Some(gram) = self.tokens.last_chunk::<GRAM>() {
            self.follows.insert(*gram, self.tokens.len());
        }
        self.tokens.push(token);
        self.pause = self.pause.saturating_sub(1);
    }

    /// Guesses at most `most` further tokens; none where the text's end is new or guessing has not
    /// paid lately.
    pub(super) fn guess(&self, most: usize) -> &[Token] {
        if self.pause > 0 {
            return &[];
        }
        let Some(gram) = self.tokens.last_chunk::<GRAM>() else {
            return &[];
        };
        let Some(&from) = self.follows.get(gram) else {
            return &[];
        };
        let rest = &self.tokens[from..];
        &rest[..rest.len().min(self.length).min(most)]
    }

    /// Learns how many of `guessed` tokens were right.
    pub(super) fn learn(&mut self, guessed: usize, right: usize) {
        if guessed == 0 {
            return;
        }
        if right == guessed {
            self.length = (self.length * 2).min(LONGEST);
        } else {
            self.length = (right + 1).clamp(SHORTEST, LONGEST);
        }
        if 2 * right >= guessed {
            self.next_pause = FIRST_PAUSE;
        } else {
            self.pause = self.next_pause;
            self.next_pause = (self.next_pause * 2).min(LONGEST_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(ids: &[i32]) -> Vec<Token> {
        ids.iter().copied().map(Token).collect()
    }

    #[test]
    fn guesses_what_followed_the_last_tokens_before() {
        let mut lookup = Lookup::new(&tokens(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2]));
        assert_eq!(lookup.guess(8), []);
        lookup.push(Token(3));
        assert_eq!(lookup.guess(8), tokens(&[4, 5, 6, 7]));
        assert_eq!(lookup.guess(1), tokens(&[4]));
    }

    #[test]
    fn the_latest_place_counts() {
        let lookup = Lookup::new(&tokens(&[1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3]));
        assert_eq!(lookup.guess(1), tokens(&[5]));
    }

    #[test]
    fn right_guesses_make_longer_ones_and_wrong_ones_pause() {
        let text = tokens(&(0..64).chain(0..3).collect::<Vec<_>>());
        let mut lookup = Lookup::new(&text);
        lookup.learn(4, 4);
        assert_eq!(lookup.guess(64).len(), 8);
        lookup.learn(8, 0);
        assert_eq!(lookup.guess(64), []);
        for id in 3..3 + FIRST_PAUSE as i32 {
            lookup.push(Token(id));
        }
        assert_eq!(lookup.guess(64).len(), SHORTEST);
    }
}
