//! A draft model: what it guesses, and that it changes no answer.

use super::*;
use llamakit::ErrorKind;

fn drafted_by(tiny: &Tiny, draft: &Tiny) -> Result<Engine, llamakit::Error> {
    Engine::new(&load(tiny), &params().reuse(false).draft(&load(draft)))
}

#[test]
fn a_model_guesses_itself_right() {
    let tiny = tiny::lookback(7);
    let engine = drafted_by(&tiny, &tiny).unwrap();
    // More than is read at once, so that it guesses only later on.
    let prompt = run_of(150, 1);
    let answer = complete(&engine, greedy(&prompt, 60).speculate(true));
    assert_eq!(answer.tokens, solo(&tiny, &prompt, 60));
    assert!(answer.finished.drafted_tokens > 0);
    assert_eq!(
        answer.finished.accepted_tokens,
        answer.finished.drafted_tokens
    );
    let unasked = complete(&engine, greedy(&prompt, 20));
    assert_eq!(unasked.finished.drafted_tokens, 0);
}

#[test]
fn wrong_guesses_change_no_answer() {
    let tiny = tiny::lookback(7);
    let engine = drafted_by(&tiny, &tiny::lookback(9)).unwrap();
    let answers: Vec<_> = (0..6)
        .map(|seed| {
            let prompt = run_of(40, seed);
            let request = greedy(&prompt, 50).speculate(seed % 2 == 0);
            (prompt, engine.submit(request).unwrap())
        })
        .collect();
    for (prompt, answer) in answers {
        assert_eq!(answer.complete().unwrap().tokens, solo(&tiny, &prompt, 50));
    }
    let metrics = engine.metrics();
    assert!(metrics.drafted_tokens > metrics.accepted_tokens);
}

#[test]
fn a_draft_draws_what_would_be_drawn_without_it() {
    let tiny = tiny::llama();
    let engine = drafted_by(&tiny, &tiny).unwrap();
    let prompt = run_of(30, 9);
    assert_guesses_change_no_draw(&engine, &prompt);
}

#[test]
fn models_that_cannot_guess_are_refused() {
    let refused = |tiny: &Tiny, draft: &Tiny, kind: ErrorKind, text: &str| {
        let error = drafted_by(tiny, draft).err().unwrap();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    };
    let (llama, spm) = (tiny::llama(), tiny::llama_spm());
    refused(
        &llama,
        &spm,
        ErrorKind::InvalidArgument,
        "draft: its vocabulary",
    );
    refused(
        &llama,
        &tiny::t5(),
        ErrorKind::InvalidArgument,
        "does not generate",
    );
    refused(
        &llama,
        &tiny::mamba(),
        ErrorKind::Unsupported,
        "cannot be cut back",
    );
}
