//! Vocabularies, and answers drawn at random.

use std::sync::OnceLock;

use llamakit::Token;
use llamakit::constrain::{Constraint, Matcher, TokenKind, TokenTable};

/// A vocabulary and its table.
pub(crate) struct Words {
    pub(crate) words: Vec<(Vec<u8>, TokenKind)>,
    pub(crate) table: TokenTable,
}

impl Words {
    fn new(words: Vec<(Vec<u8>, TokenKind)>) -> Self {
        let table = TokenTable::new(words.clone()).unwrap();
        Self { words, table }
    }

    /// The first token with these bytes.
    pub(crate) fn token(&self, bytes: &str) -> Token {
        let mut words = self.words.iter();
        let index = words
            .position(|(word, _)| word == bytes.as_bytes())
            .unwrap();
        Token(i32::try_from(index).unwrap())
    }

    pub(crate) fn bytes(&self, token: Token) -> &[u8] {
        match &self.words[token.index().unwrap()] {
            (word, TokenKind::Text) => word,
            _ => &[],
        }
    }

    pub(crate) fn tokens(&self) -> impl Iterator<Item = Token> {
        (0..i32::try_from(self.words.len()).unwrap()).map(Token)
    }

    /// A text in as few tokens as there are at each place.
    pub(crate) fn tokenize(&self, text: &str) -> Vec<Token> {
        let mut rest = text.as_bytes();
        let mut tokens = Vec::new();
        while !rest.is_empty() {
            let fits = |token: &Token| {
                let word = self.bytes(*token);
                !word.is_empty() && rest.starts_with(word)
            };
            let token = self
                .tokens()
                .filter(fits)
                .max_by_key(|&token| self.bytes(token).len());
            let token = token.unwrap();
            tokens.push(token);
            rest = &rest[self.bytes(token).len()..];
        }
        tokens
    }
}

/// One token per byte, and one that ends the answer.
pub(crate) fn bytes() -> &'static Words {
    static WORDS: OnceLock<Words> = OnceLock::new();
    WORDS.get_or_init(|| {
        let bytes = (0..=u8::MAX).map(|byte| (vec![byte], TokenKind::Text));
        let end = [(b"</s>".to_vec(), TokenKind::End)];
        Words::new(bytes.chain(end).collect())
    })
}

/// As models have it: bytes, pieces of words that overlap, the same piece twice, pieces of nothing,
/// control tokens and two that end the answer.
pub(crate) fn pieces() -> &'static Words {
    static WORDS: OnceLock<Words> = OnceLock::new();
    WORDS.get_or_init(|| {
        let mut words: Vec<_> = (0..=u8::MAX)
            .map(|byte| (vec![byte], TokenKind::Text))
            .collect();
        let texts = [
            "{\"",
            "\":",
            "\": ",
            "\",",
            "\", \"",
            "\"}",
            "}\n",
            "}}",
            "[]",
            "],",
            " ",
            "  ",
            "\n  ",
            "\n\n",
            " {",
            "true",
            "tr",
            "ue",
            "null",
            "12",
            "007",
            "0.",
            "e9",
            "-1",
            "name",
            "na",
            "me",
            "age",
            "the",
            " the",
            "the",
            "aa",
            "ab",
            "\\n",
            "\\\"",
            "é",
            "日本",
            "",
            "</th",
            "think>",
            "</think>",
            "</think>\n\n",
            "ink>{",
            "<tool",
            "(",
            ")*",
            "x = ",
            "=\n",
            "- ",
            "\n- ",
        ];
        words.extend(texts.map(|text| (text.as_bytes().to_vec(), TokenKind::Text)));
        // The two bytes of a character, and what no text has.
        words.push((vec![0xc3], TokenKind::Text));
        words.push((vec![b'"', 0xff], TokenKind::Text));
        for name in ["<|start|>", "<call>", "[INST]", ""] {
            words.push((name.as_bytes().to_vec(), TokenKind::Control));
        }
        words.push((b"<|end|>".to_vec(), TokenKind::End));
        words.push((b"</s>".to_vec(), TokenKind::End));
        Words::new(words)
    })
}

/// xorshift64*, good enough to roll dice with.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap() % n
    }
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The value is whole and can't go on, or a token ended it.
    Whole,
    /// Too many tokens.
    Cut,
    /// No token was allowed.
    Dead,
}

/// An answer of at most `most` tokens that are drawn evenly among those allowed.
pub(crate) fn answer(
    constraint: &Constraint,
    words: &Words,
    dice: &mut Dice,
    most: usize,
) -> (Vec<u8>, End) {
    let mut matcher = constraint.matcher(&words.table).unwrap();
    let mut bytes = Vec::new();
    for _ in 0..most {
        if matcher.is_complete() {
            return (bytes, End::Whole);
        }
        let allowed = allowed(&mut matcher);
        if allowed.is_empty() {
            return (bytes, End::Dead);
        }
        let token = allowed[dice.below(allowed.len())];
        matcher.accept(token).unwrap();
        if words.table.kind(token) == Some(TokenKind::End) {
            return (bytes, End::Whole);
        }
        bytes.extend_from_slice(words.bytes(token));
    }
    (bytes, End::Cut)
}

/// Every token that may come next.
pub(crate) fn allowed(matcher: &mut Matcher) -> Vec<Token> {
    let tokens = i32::try_from(matcher.table().len()).unwrap();
    (0..tokens)
        .map(Token)
        .filter(|&token| matcher.allows(token))
        .collect()
}

/// Whether a text is allowed as a whole, token by token, and may end there.
pub(crate) fn accepts(constraint: &Constraint, words: &Words, text: &str) -> bool {
    let mut matcher = constraint.matcher(&words.table).unwrap();
    let tokens = words.tokenize(text);
    tokens
        .into_iter()
        .all(|token| matcher.accept(token).is_ok())
        && matcher.may_end()
}
