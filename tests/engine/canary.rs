//! Many clients at once: nobody reads another's words, and nobody's answer depends on the others.
//!
//! `LLAMAKIT_CANARY_REQUESTS` sets how many requests there are; `cargo xtask canary` makes 10,000.

use super::*;

/// A small generator of repeatable choices.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Requests over all kinds of memory when the environment does not say.
const REQUESTS: u64 = 1000;
const KINDS: u64 = 4;

/// Requests for each kind of memory.
fn requests() -> u64 {
    let name = "LLAMAKIT_CANARY_REQUESTS";
    let requests = match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is not a number")),
        Err(_) => REQUESTS,
    };
    requests.div_ceil(KINDS)
}

/// A client's own words: all that a model recalls when it answers, the first of them in a state.
fn words(client: u64) -> Vec<Token> {
    let quiet = run_of(20, 500 + client as u32).into_iter();
    let quiet = quiet.map(|token| Token(token.0 % 160));
    [Token(160 + client as i32)]
        .into_iter()
        .chain(quiet)
        .collect()
}

/// What a model says after words that are long enough to settle it.
fn continued(tiny: &Tiny, words: &[Token], count: usize) -> Vec<Token> {
    let mut all: Vec<u32> = words.iter().map(|token| token.0 as u32).collect();
    for _ in 0..count {
        all.push(tiny::recalled(tiny, &all));
    }
    let said = &all[words.len()..];
    said.iter().map(|&id| Token(id as i32)).collect()
}

/// 16 clients, each with words of its own; answers, cancellations, shared beginnings, guesses.
fn clients(tiny: &Tiny, requests: u64, micro: u32) {
    const CLIENTS: u64 = 16;
    const ANSWER: usize = 40;
    let params = params()
        .context_length(128)
        .parallel(6)
        .micro_batch_size(micro)
        .checkpoint_gap(16);
    let engine = engine(tiny, &params);
    let prefix = run_of(24, 77);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (engine, prefix) = (engine.clone(), &prefix);
            scope.spawn(move || {
                let mut dice = Dice(0x9e37_79b9 + client);
                let own = words(client);
                // What the answer begins with stands there already for some, so that it is
                // guessed, with a word that makes a guess wrong. For others their own words
                // follow at once on what all share.
                let mut echo = continued(tiny, &own, if client % 2 == 0 { 12 } else { 0 });
                if let Some(word) = echo.get_mut(7) {
                    *word = Token(9);
                }
                let prompt = [prefix.clone(), echo, own].concat();
                let expected = solo(tiny, &prompt, ANSWER);
                assert_eq!(expected.len(), ANSWER);
                for round in 0..requests.div_ceil(CLIENTS) {
                    let request = greedy(&prompt, ANSWER).speculate(dice.roll(2) == 0);
                    let answer = engine.submit(request).unwrap();
                    let events = match dice.roll(3) {
                        0 => dice.roll(50) as usize,
                        _ => usize::MAX,
                    };
                    let said: Vec<Token> = answer
                        .take(events)
                        .filter_map(|event| match event {
                            Event::Token(token) => Some(token.token),
                            _ => None,
                        })
                        .collect();
                    let whole = events == usize::MAX;
                    let expected = &expected[..if whole { ANSWER } else { said.len() }];
                    let name = tiny.name();
                    assert_eq!(said, expected, "{name}: client {client}, round {round}");
                }
            });
        }
    });
    let metrics = engine.metrics();
    assert_eq!(metrics.failed, 0);
    assert!(
        metrics.cache_hits > 0 && metrics.cancelled > 0,
        "{metrics:?}"
    );
    // Where a sequence cannot be cut back, nothing is guessed.
    let guesses = matches!(tiny.arch(), "llama" | "gemma3");
    assert_eq!(metrics.accepted_tokens > 0, guesses, "{metrics:?}");
    assert_eq!(metrics.drafted_tokens > metrics.accepted_tokens, guesses);
}

#[test]
fn sixteen_clients_read_only_their_own_words() {
    for tiny in tiny::recalling() {
        clients(&tiny, requests() * 2 / 3, 512);
    }
}

#[test]
fn nor_do_they_where_steps_have_several_parts() {
    for tiny in tiny::recalling() {
        clients(&tiny, requests() / 3, 4);
    }
}
