//! DRY ("don't repeat yourself"): penalises tokens that would extend a repeated sequence, more the
//! longer it is. Linear in the window by the Z-algorithm.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::token::Token;

/// Longest breaker text in bytes, as in llama.cpp (which cuts longer ones).
const MAX_BREAKER_BYTES: usize = 40;
/// Longest breaker in tokens after its first, as in llama.cpp.
const MAX_TAIL_TOKENS: usize = 20;

/// Token sequences that a DRY repetition does not reach across. Cheap to clone.
///
/// Repetitions are counted back to the most recent breaker only, and a token that is a breaker by
/// itself is never penalised.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DryBreakers {
    /// First token of a breaker, and what may follow it.
    tails: Arc<HashMap<u32, Vec<Vec<u32>>>>,
}

impl DryBreakers {
    /// The breaker texts that llama.cpp uses by default: newline, colon, double quote, asterisk.
    pub const DEFAULT_TEXTS: [&'static str; 4] = ["\n", ":", "\"", "*"];

    /// No breakers.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Breakers given as token sequences.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) for an empty sequence.
    pub fn from_tokens<I>(sequences: I) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: AsRef<[Token]>,
    {
        let mut tails: HashMap<u32, Vec<Vec<u32>>> = HashMap::new();
        for sequence in sequences {
            let Some((head, tail)) = sequence.as_ref().split_first() else {
                return Err(Error::argument("a DRY breaker has no tokens"));
            };
            let tail = tail.iter().map(|t| t.0 as u32).collect();
            tails.entry(head.0 as u32).or_default().push(tail);
        }
        Ok(Self {
            tails: Arc::new(tails),
        })
    }

    /// Breakers given as texts of at most 40 bytes.
    ///
    /// `pieces` are all tokens of the vocabulary with their bytes, control tokens included. Every
    /// token that contains the text breaks; one that ends with the beginning of the text breaks
    /// when the first 20 tokens of `tokenize(rest)` follow. `tokenize` adds no special tokens and
    /// parses none; it is not called for texts of one byte.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) for an empty or too long text, and whatever
    /// `tokenize` returns.
    pub fn from_texts<P, B>(
        texts: &[impl AsRef<str>],
        pieces: P,
        mut tokenize: impl FnMut(&[u8]) -> Result<Vec<Token>>,
    ) -> Result<Self>
    where
        P: IntoIterator<Item = (Token, B)>,
        B: AsRef<[u8]>,
    {
        for text in texts {
            let length = text.as_ref().len();
            if length == 0 || length > MAX_BREAKER_BYTES {
                return Err(Error::argument(format!(
                    "a DRY breaker must have 1 to {MAX_BREAKER_BYTES} bytes, got {length}"
                )));
            }
        }
        let mut tails: HashMap<u32, Vec<Vec<u32>>> = HashMap::new();
        let mut rests: HashMap<&[u8], Vec<u32>> = HashMap::new();
        for (token, piece) in pieces {
            let piece = piece.as_ref();
            for text in texts.iter().map(|t| t.as_ref().as_bytes()) {
                if piece.windows(text.len()).any(|w| w == text) {
                    add(&mut tails, token, Vec::new());
                    continue;
                }
                for n in (1..text.len()).filter(|&n| piece.ends_with(&text[..n])) {
                    let rest = &text[n..];
                    if !rests.contains_key(rest) {
                        let tail = tokenize(rest)?;
                        let tail = tail.iter().take(MAX_TAIL_TOKENS).map(|t| t.0 as u32);
                        rests.insert(rest, tail.collect());
                    }
                    add(&mut tails, token, rests[rest].clone());
                }
            }
        }
        Ok(Self {
            tails: Arc::new(tails),
        })
    }

    /// Whether this token alone is a breaker.
    fn is_single(&self, token: u32) -> bool {
        self.tails
            .get(&token)
            .is_some_and(|t| t.iter().any(Vec::is_empty))
    }

    /// Length of the longest breaker tail that stands after the token at `recent[i]`, where
    /// `recent[0]` is the newest token; `None` if no breaker starts there.
    fn longest_at(&self, recent: &[u32], i: usize) -> Option<usize> {
        let matches = |tail: &&Vec<u32>| {
            tail.len() <= i
                && tail
                    .iter()
                    .zip(recent[..i].iter().rev())
                    .all(|(a, b)| a == b)
        };
        let tails = self.tails.get(&recent[i])?;
        tails.iter().filter(matches).map(Vec::len).max()
    }
}

fn add(tails: &mut HashMap<u32, Vec<Vec<u32>>>, token: Token, tail: Vec<u32>) {
    let known = tails.entry(token.0 as u32).or_default();
    if !known.contains(&tail) {
        known.push(tail);
    }
}

/// The tokens that DRY looks at.
#[derive(Debug, Clone)]
pub(super) struct History {
    capacity: usize,
    tokens: VecDeque<u32>,
}

impl History {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            tokens: VecDeque::new(),
        }
    }

    /// The newest token comes first, ready for the search from the end.
    pub(super) fn push(&mut self, token: u32) {
        if self.tokens.len() == self.capacity {
            self.tokens.pop_back();
        }
        self.tokens.push_front(token);
    }
}

/// Working memory of [`penalties`], kept between calls.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    recent: Vec<u32>,
    lengths: Vec<u32>,
    /// (token, longest repetition it would extend), by ascending token.
    repeats: Vec<(u32, u32)>,
}

pub(super) struct Settings<'a> {
    pub(super) multiplier: f32,
    pub(super) base: f32,
    pub(super) allowed_length: u32,
    pub(super) breakers: &'a DryBreakers,
}

/// Puts (token, penalty) into `out`, by ascending token.
pub(super) fn penalties(
    settings: &Settings<'_>,
    history: &History,
    scratch: &mut Scratch,
    out: &mut Vec<(u32, f32)>,
) {
    out.clear();
    let Scratch {
        recent,
        lengths,
        repeats,
    } = scratch;
    recent.clear();
    recent.extend(&history.tokens);
    let allowed = settings.allowed_length as usize;
    if recent.len() <= allowed {
        return;
    }
    let limit = (0..recent.len())
        .find_map(|i| settings.breakers.longest_at(recent, i).map(|n| i - n))
        .unwrap_or(recent.len());
    if limit < allowed {
        return;
    }
    z_lengths(recent, lengths);
    repeats.clear();
    for (&length, &next) in lengths[1..].iter().zip(recent.iter()) {
        let length = length.min(limit as u32);
        if length >= settings.allowed_length {
            repeats.push((next, length));
        }
    }
    // Longest last within a token, so that the map below keeps it.
    repeats.sort_unstable();
    let longest = repeats.chunk_by(|a, b| a.0 == b.0).filter_map(<[_]>::last);
    let most = max_exponent(settings.base);
    for &(token, length) in longest.filter(|r| !settings.breakers.is_single(r.0)) {
        let exponent = (length - settings.allowed_length).min(most);
        let factor = f64::from(settings.base).powf(f64::from(exponent));
        out.push((token, (f64::from(settings.multiplier) * factor) as f32));
    }
}

/// Upstream's bound that keeps `base^exponent` within single precision.
fn max_exponent(base: f32) -> u32 {
    const LN_F32_MAX: f32 = 88.722_84;
    if base > 1.000_001 {
        ((LN_F32_MAX / base.ln()) as u32).max(1)
    } else {
        u32::MAX
    }
}

/// For each `k`, how many tokens from `k` on equal those from 0 on (the Z-array of `tokens`).
fn z_lengths(tokens: &[u32], z: &mut Vec<u32>) {
    let n = tokens.len();
    z.clear();
    z.resize(n, 0);
    let (mut left, mut right) = (0, 0);
    for k in 1..n {
        let mut length = if k < right {
            (z[k - left] as usize).min(right - k)
        } else {
            0
        };
        while k + length < n && tokens[length] == tokens[k + length] {
            length += 1;
        }
        if k + length > right {
            (left, right) = (k, k + length);
        }
        z[k] = length as u32;
    }
}
