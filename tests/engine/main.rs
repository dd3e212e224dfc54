//! The serving engine on tiny models of every memory kind: what requests get, share and cost.

#![cfg(feature = "engine")]

mod answers;
mod cache;
mod canary;
mod cancel;
mod capacity;
mod constrain;
mod disk;
mod draft;
mod pooled;

use llamakit::engine::{Completion, Engine, EngineParams, Event, Finished, Request};
use llamakit::sampler::SamplerParams;
use llamakit::{Context, ContextParams, LoraAdapter, Model, ModelParams, Sampler, Token};
use llamakit_testkit::tiny::{self, Tiny};

fn load(tiny: &Tiny) -> Model {
    Model::load(tiny.path(), &ModelParams::new()).unwrap()
}

/// Small and single-threaded, so that many tests run side by side.
fn params() -> EngineParams {
    EngineParams::new().context_length(256).threads(1)
}

fn engine(tiny: &Tiny, params: &EngineParams) -> Engine {
    Engine::new(&load(tiny), params).unwrap()
}

/// `count` tokens that mean nothing, all of them ordinary; `seed` tells runs apart.
fn run_of(count: usize, seed: u32) -> Vec<Token> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Token(10 + (state >> 8) as i32 % 180)
        })
        .collect()
}

/// A greedy request that goes on until it has `count` tokens.
fn greedy(prompt: &[Token], count: usize) -> Request {
    Request::new(prompt.to_vec())
        .sampler(Sampler::greedy())
        .ignore_eos(true)
        .max_tokens(count)
}

fn complete(engine: &Engine, request: Request) -> Completion {
    engine.submit(request).unwrap().complete().unwrap()
}

/// What a context that never saw anything else answers, with the same threads.
fn solo(tiny: &Tiny, prompt: &[Token], count: usize) -> Vec<Token> {
    let model = load(tiny);
    let params = ContextParams::new().context_length(256).threads(1);
    let mut context = Context::new(&model, &params).unwrap();
    let mut sampler = Sampler::greedy();
    let mut generation = context
        .generate(prompt, &mut sampler)
        .unwrap()
        .max_tokens(count);
    for piece in &mut generation {
        piece.unwrap();
    }
    generation.tokens().to_vec()
}

/// Every memory kind, and a model whose wide logit gaps make any mix-up show.
fn every_memory() -> impl Iterator<Item = Tiny> {
    tiny::every_memory().into_iter().chain([tiny::lookback(7)])
}

/// Sampling with guesses draws what it draws without them, seed by seed.
fn assert_guesses_change_no_draw(engine: &Engine, prompt: &[Token]) {
    let ask = |seed: u64, speculate: bool| {
        let mut sampling = SamplerParams::llama_cpp();
        sampling.seed = Some(seed);
        let request = Request::new(prompt.to_vec())
            .sampler(sampling.build().unwrap())
            .ignore_eos(true)
            .max_tokens(40)
            .speculate(speculate);
        complete(engine, request).tokens
    };
    // The last bits of logits may differ, and with them, rarely, a token.
    let equal = (0..40).filter(|&seed| ask(seed, true) == ask(seed, false));
    assert!(equal.count() >= 36);
}

fn finished(events: Vec<Event>) -> Finished {
    match events.into_iter().last() {
        Some(Event::Finished(finished)) => finished,
        other => panic!("no end: {other:?}"),
    }
}

#[track_caller]
fn assert_reason(finished: &Finished, expected: &str) {
    let reason = format!("{:?}", finished.reason);
    assert!(reason.starts_with(expected), "{reason}, not {expected}");
}
