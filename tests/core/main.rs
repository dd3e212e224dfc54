//! The core API on tiny models of every kind: what it computes, remembers, saves and refuses.

#![cfg(feature = "inference")]

mod context;
mod embeddings;
mod generate;
mod kv_cache;
mod lora;
mod model;
mod state;
mod vocab;

use llamakit::{
    Batch, Context, ContextParams, Decoded, ErrorKind, Model, ModelParams, Outputs, Result, SeqId,
    Token,
};
use llamakit_testkit::tiny::{self, Tiny};

/// The largest difference of two logits that come from the same tokens by different batches: sums
/// in another order, over keys and values rounded to 16 bits.
const TOLERANCE: f32 = 2e-3;

const A: SeqId = SeqId(0);
const B: SeqId = SeqId(1);

fn load(tiny: &Tiny) -> Model {
    Model::load(tiny.path(), &ModelParams::new()).unwrap()
}

/// Small and single-threaded, so that many tests run side by side.
fn params() -> ContextParams {
    ContextParams::new()
        .context_length(256)
        .batch_size(128)
        .threads(1)
}

fn context(tiny: &Tiny, params: &ContextParams) -> Context {
    Context::new(&load(tiny), params).unwrap()
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

/// Decodes tokens at the end of a sequence in one batch and returns the last one's logits.
fn decode(context: &mut Context, seq: SeqId, tokens: &[Token]) -> Vec<f32> {
    let mut batch = Batch::new();
    let position = context.kv_cache().next_position(seq);
    batch.add_run(tokens, position, seq, Outputs::Last);
    assert_eq!(context.decode(&batch).unwrap(), Decoded::Done);
    context.logits(tokens.len() - 1).unwrap().to_vec()
}

/// What a context that never saw anything else says after `tokens`.
fn fresh_logits(tiny: &Tiny, params: &ContextParams, tokens: &[Token]) -> Vec<f32> {
    decode(&mut context(tiny, params), A, tokens)
}

#[track_caller]
fn assert_close(got: &[f32], want: &[f32], what: &str) {
    assert_within(got, want, TOLERANCE, what);
}

#[track_caller]
fn assert_within(got: &[f32], want: &[f32], tolerance: f32, what: &str) {
    let worst = difference(got, want);
    assert!(worst <= tolerance, "{what}: off by {worst}");
}

fn difference(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    assert!(want.iter().all(|x| x.is_finite()));
    got.iter()
        .zip(want)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |max, x| if x > max || x.is_nan() { x } else { max })
}

/// The kind of an error and words that its message must contain.
#[track_caller]
fn refused<T>(result: Result<T>, kind: ErrorKind, words: &[&str]) {
    let Err(error) = result else {
        panic!("expected {kind:?}, got Ok");
    };
    assert_eq!(error.kind(), kind, "{error}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

/// Positions and tokens, to see that nothing was changed.
fn record(context: &Context) -> Vec<Vec<(i32, Token)>> {
    let kv = context.kv_cache();
    (0..kv.n_sequences() as u32)
        .map(|seq| {
            kv.positions(SeqId(seq))
                .zip(kv.tokens(SeqId(seq)))
                .collect()
        })
        .collect()
}

fn every_memory() -> [Tiny; 4] {
    tiny::every_memory()
}
