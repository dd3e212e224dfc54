//! Every misuse that is known to abort or crash upstream, each in a process of its own: it must end
//! in an error that names the field, and what it was done to must go on working.

#![cfg(feature = "inference")]

mod abort;
mod batches;
mod contexts;
mod files;
mod lifetimes;
mod memory;
#[cfg(unix)]
mod raw;

use llamakit::{
    Batch, Context, ContextParams, Decoded, ErrorKind, Model, ModelParams, Outputs, Result, SeqId,
    Token,
};
use llamakit_testkit::subprocess;
use llamakit_testkit::tiny::Tiny;

const A: SeqId = SeqId(0);
const B: SeqId = SeqId(1);

/// Runs `body` in a child process; a signal, a panic or a hang fails the test.
#[track_caller]
fn survives(body: impl FnOnce()) {
    subprocess::run("hazard", body).expect_success();
}

fn load(tiny: &Tiny) -> Model {
    Model::load(tiny.path(), &ModelParams::new()).unwrap()
}

fn params() -> ContextParams {
    ContextParams::new().context_length(256).threads(1)
}

fn context(tiny: &Tiny, params: &ContextParams) -> Context {
    Context::new(&load(tiny), params).unwrap()
}

/// Ordinary tokens that mean nothing.
fn run_of(count: usize) -> Vec<Token> {
    (0..count)
        .map(|i| Token(20 + (i * i * 7 + i) as i32 % 160))
        .collect()
}

/// Decodes tokens at the end of a sequence and returns the last one's logits.
fn decode(context: &mut Context, seq: SeqId, tokens: &[Token]) -> Vec<f32> {
    let mut last = Vec::new();
    for chunk in tokens.chunks(context.batch_size()) {
        let mut batch = Batch::new();
        let position = context.kv_cache().next_position(seq);
        batch.add_run(chunk, position, seq, Outputs::Last);
        assert_eq!(context.decode(&batch).unwrap(), Decoded::Done);
        last = context.logits(chunk.len() - 1).unwrap().to_vec();
    }
    last
}

/// The context still computes what a fresh one does.
#[track_caller]
fn still_works(context: &mut Context, tiny: &Tiny, params: &ContextParams) {
    context.kv_cache_mut().clear().unwrap();
    let tokens = run_of(6);
    let got = decode(context, A, &tokens);
    let want = decode(&mut self::context(tiny, params), A, &tokens);
    close(&got, &want);
}

#[track_caller]
fn close(got: &[f32], want: &[f32]) {
    let worst = got
        .iter()
        .zip(want)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(got.len() == want.len() && worst <= 2e-3, "off by {worst}");
}

/// The kind of an error and words that its text must contain.
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
