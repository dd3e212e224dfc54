//! Grammars, compiled by llguidance for a vocabulary of bytes, and walks through what they admit.

use std::sync::Arc;

use llamakit::constrain::{TokenKind, TokenTable};
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};

/// How long a walk may be, and where it begins to look for its end.
const LONGEST: usize = 3000;
const LONG: usize = 160;

/// Bytes as tokens, then these texts as special tokens, then the end.
pub(crate) struct Vocabulary {
    env: TokEnv,
    special: Vec<String>,
}

impl Vocabulary {
    pub(crate) fn new(special: Vec<String>) -> Self {
        let mut words: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        for text in special
            .iter()
            .map(String::as_str)
            .chain(["<|end_of_answer|>"])
        {
            words.push([b"\xff", text.as_bytes()].concat());
        }
        let last = words.len() as u32 - 1;
        let info = TokRxInfo::new(words.len() as u32, last);
        let trie = TokTrie::from(&info, &words);
        Self {
            env: Arc::new(ApproximateTokEnv::new(trie)),
            special,
        }
    }

    pub(crate) fn tokens(&self) -> impl Iterator<Item = (String, u32)> {
        self.special.iter().cloned().zip(256..)
    }

    /// The same tokens as constraints know them.
    pub(crate) fn table(&self) -> TokenTable {
        let bytes = (0..=255).map(|byte| (vec![byte], TokenKind::Text));
        let special = self.special.iter();
        let special = special.map(|text| (text.clone().into_bytes(), TokenKind::Control));
        let end = (b"<|end_of_answer|>".to_vec(), TokenKind::End);
        TokenTable::new(bytes.chain(special).chain([end])).unwrap()
    }

    pub(crate) fn matcher(&self, grammar: &str) -> Matcher {
        let capabilities = InferenceCapabilities::default();
        let mut factory = ParserFactory::new(&self.env, capabilities, &[]).unwrap();
        factory.quiet();
        let grammar = TopLevelGrammar::from_lark(grammar.to_owned());
        Matcher::new(factory.create_parser(grammar))
    }
}

/// A small generator of numbers (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((z ^ (z >> 31)) >> 32) % u64::from(end)) as u32
    }
}

/// One of the texts that a walk goes for, and how much of it there is.
struct Goal<'a> {
    goals: &'a [String],
    aim: &'a [u8],
}

impl Goal<'_> {
    /// The next byte of the text, if it may be that.
    fn next(&mut self, allowed: &[u32], random: &mut Random) -> Option<u32> {
        if self.aim.is_empty() && random.below(4) > 0 {
            self.aim = self.goals[random.below(self.goals.len() as u32) as usize].as_bytes();
        }
        let (first, rest) = self.aim.split_first()?;
        let first = u32::from(*first);
        self.aim = if allowed.contains(&first) { rest } else { &[] };
        allowed.contains(&first).then_some(first)
    }
}

/// A text that a grammar admits, and its tokens.
pub(crate) struct Walk {
    pub(crate) text: String,
    pub(crate) tokens: Vec<u32>,
}

/// One text that the grammar admits. After a while it goes for the `goals`, which end texts.
pub(crate) fn walk(
    vocabulary: &Vocabulary,
    goals: &[String],
    grammar: &Matcher,
    seed: u64,
) -> Walk {
    let mut matcher = grammar.deep_clone();
    let mut random = Random(seed);
    let mut bytes = Vec::new();
    let mut tokens = Vec::new();
    let mut goal = Goal { goals, aim: &[] };
    let end = vocabulary.env.tok_trie().eos_token();
    for step in 0.. {
        assert!(
            step < LONGEST,
            "no end: {}",
            String::from_utf8_lossy(&bytes)
        );
        let mask = matcher
            .compute_mask_or_eos()
            .unwrap_or_else(|e| panic!("{e}"));
        let mut allowed: Vec<u32> = mask.iter().collect();
        assert!(!allowed.is_empty());
        if step > LONG {
            // Ends before all else, then what brackets, quotes and markers consist of.
            let closing = |token: &u32| match u8::try_from(*token) {
                Ok(byte) => b"\"}])<>/|`\\n".contains(&byte),
                Err(_) => true,
            };
            let special = |token: &u32| *token > 255;
            if allowed.contains(&end) {
                allowed = vec![end];
            } else if allowed.iter().any(special) && random.below(3) == 0 {
                allowed.retain(special);
            } else if let Some(next) = goal.next(&allowed, &mut random) {
                allowed = vec![next];
            } else if allowed.iter().any(closing) && random.below(10) > 0 {
                allowed.retain(closing);
            }
        } else if random.below(4) > 0 {
            let common = |token: &u32| *token > 255 || (32..127).contains(token) || *token == 10;
            if allowed.iter().any(common) {
                allowed.retain(common);
            }
        }
        let token = allowed[random.below(allowed.len() as u32) as usize];
        if token == end {
            break;
        }
        matcher
            .consume_token(token)
            .unwrap_or_else(|e| panic!("{e}"));
        tokens.push(token);
        match u8::try_from(token) {
            Ok(byte) => bytes.push(byte),
            Err(_) => bytes.extend(vocabulary.special[token as usize - 256].bytes()),
        }
        if matcher.is_stopped() {
            break;
        }
    }
    let text = String::from_utf8(bytes).expect("grammars admit texts");
    Walk { text, tokens }
}

impl Vocabulary {
    /// A text whose markers are tokens where they can be.
    pub(crate) fn tokenize(&self, text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, others @ ..] = rest {
            let special = self
                .tokens()
                .find(|(marker, _)| rest.starts_with(marker.as_bytes()));
            match special {
                Some((marker, token)) => {
                    tokens.push(token);
                    rest = &rest[marker.len()..];
                }
                None => {
                    tokens.push(u32::from(*first));
                    rest = others;
                }
            }
        }
        tokens
    }
}

/// Whether the grammar admits the tokens as a whole answer.
pub(crate) fn admits(grammar: &Matcher, tokens: &[u32]) -> bool {
    let mut matcher = grammar.deep_clone();
    for &token in tokens {
        let mask = matcher.compute_mask_or_eos().unwrap();
        if !mask.is_allowed(token) || matcher.is_stopped() {
            return false;
        }
        matcher.consume_token(token).unwrap();
    }
    matcher.is_stopped() || matcher.is_accepting().unwrap()
}
