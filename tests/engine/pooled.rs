//! Embedding and reranking beside generation, on the same weights.

use super::*;
use llamakit::engine::{EmbedRequest, RerankRequest, SubmitError};

const TEXTS: [&str; 5] = ["a", "ab ba", "the ferry", "late late late", "x y z"];

#[test]
fn a_batch_gives_what_single_texts_give() {
    for tiny in [tiny::bert(), tiny::llama(), tiny::gemma3()] {
        let engine = engine(&tiny, &params());
        let all = engine.embed(EmbedRequest::new(TEXTS)).unwrap();
        let all = all.wait().unwrap().embeddings;
        for (index, text) in TEXTS.iter().enumerate() {
            let one = engine.embed(EmbedRequest::new([*text])).unwrap();
            let one = one.wait().unwrap().embeddings;
            let (a, b) = (all.get(index).unwrap(), one.get(0).unwrap());
            let cosine: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            assert!(cosine > 0.9999, "{}: {text}: {cosine}", tiny.name());
        }
    }
}

#[test]
fn an_input_that_is_too_long_is_named_or_cut() {
    let engine = engine(&tiny::bert(), &params().context_length(32));
    let long = "late ".repeat(100);
    let inputs = || EmbedRequest::new(["short", long.as_str()]);
    match engine.embed(inputs()) {
        Err(SubmitError::Invalid(error)) => assert!(error.to_string().contains("input 1")),
        other => panic!("{other:?}"),
    }
    let cut = engine
        .embed(inputs().truncate(true))
        .unwrap()
        .wait()
        .unwrap();
    assert_eq!(cut.truncated, [1]);
    assert_eq!(cut.tokens[1], 32);
}

#[test]
fn reranking_scores_each_document() {
    let engine = engine(&tiny::reranker(), &params());
    let all = engine
        .rerank(RerankRequest::new("ferry", TEXTS))
        .unwrap()
        .wait()
        .unwrap();
    assert_eq!(all.scores.len(), TEXTS.len());
    let one = engine
        .rerank(RerankRequest::new("ferry", [TEXTS[3]]))
        .unwrap()
        .wait()
        .unwrap();
    assert!((all.scores[3] - one.scores[0]).abs() < 1e-3);
    let plain = super::engine(&tiny::llama(), &params());
    assert!(plain.rerank(RerankRequest::new("a", ["b"])).is_err());
}

#[test]
fn embedding_goes_on_beside_answers() {
    let engine = engine(&tiny::llama(), &params());
    let answer = engine.submit(greedy(&run_of(50, 1), 150)).unwrap();
    let texts = vec!["the ferry comes in late"; 100];
    let embedded = engine.embed(EmbedRequest::new(texts)).unwrap();
    assert_eq!(embedded.wait().unwrap().embeddings.len(), 100);
    assert_eq!(answer.complete().unwrap().tokens.len(), 150);
    let memory = engine.metrics().memory;
    assert!(memory.context > 0 && memory.weights > 0);
}
