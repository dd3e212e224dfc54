//! More than fits: admission, windows, larger contexts, small pools.

use super::*;

#[test]
fn four_requests_near_the_limit_end_one_by_one() {
    let engine = engine(&tiny::llama(), &params());
    let answers: Vec<_> = (0..4)
        .map(|index| {
            let most = if index == 2 { 10_000 } else { 50 };
            engine.submit(greedy(&run_of(190, index), most)).unwrap()
        })
        .collect();
    for (index, answer) in answers.into_iter().enumerate() {
        let done = answer.complete().unwrap();
        let (reason, tokens) = if index == 2 {
            ("ContextFull", 66)
        } else {
            ("MaxTokens", 50)
        };
        assert_reason(&done.finished, reason);
        assert_eq!(done.tokens.len(), tokens);
    }
}

#[test]
fn a_pool_for_one_serves_many_in_turn() {
    for tiny in every_memory() {
        let engine = engine(&tiny, &params().pool(256));
        let answers: Vec<_> = (0..6)
            .map(|index| engine.submit(greedy(&run_of(150, index), 60)).unwrap())
            .collect();
        for answer in answers {
            let done = answer.complete().unwrap();
            assert_eq!(done.tokens.len(), 60, "{}", tiny.name());
        }
        assert_eq!(engine.metrics().failed, 0);
    }
}

#[test]
fn a_larger_window_waits_gets_a_new_context_and_keeps_what_was_cached() {
    let tiny = tiny::lookback(4);
    let engine = engine(&tiny, &params().pool(512));
    let early = run_of(100, 1);
    let first = complete(&engine, greedy(&early, 10));
    let running = engine.submit(greedy(&run_of(50, 2), 150)).unwrap();
    let large = greedy(&run_of(900, 3), 20).context_length(1000);
    let large = engine.submit(large).unwrap();
    assert_eq!(running.complete().unwrap().tokens.len(), 150);
    assert_eq!(large.complete().unwrap().tokens.len(), 20);
    let metrics = engine.metrics();
    assert_eq!((metrics.rebuilds, metrics.dropped_prefixes), (1, 0));
    assert!(metrics.cells >= 1000);
    let again = complete(&engine, greedy(&early, 10));
    assert_eq!(again.finished.cached_tokens, 99);
    assert_eq!(again.tokens, first.tokens);
}

#[test]
fn the_memory_budget_is_kept() {
    let tiny = tiny::llama();
    let model = load(&tiny);
    let error = Engine::new(&model, &params().memory_budget(1 << 20)).unwrap_err();
    assert!(error.to_string().contains("memory_budget"), "{error}");
    let enough = engine(&tiny, &params()).metrics().memory.total() + (1 << 20);
    let engine = Engine::new(&model, &params().memory_budget(enough)).unwrap();
    let larger = greedy(&run_of(20, 1), 60_000).context_length(60_000);
    let error = engine.submit(larger).unwrap().complete().unwrap_err();
    assert_eq!(error.kind(), llamakit::ErrorKind::OutOfMemory);
    assert_eq!(
        complete(&engine, greedy(&run_of(20, 1), 10)).tokens.len(),
        10
    );
    assert!(engine.metrics().memory.total() <= enough);
}

#[test]
fn a_window_that_no_memory_holds_is_an_error_and_the_engine_goes_on() {
    let engine = engine(&tiny::llama(), &params());
    let request = greedy(&run_of(20, 1), 10).context_length(1 << 27);
    // Its worst case is small: only what it can really take counts.
    assert_eq!(complete(&engine, request).tokens.len(), 10);
    let request = greedy(&run_of(20, 1), 1 << 27).context_length(1 << 27);
    assert!(engine.submit(request).unwrap().complete().is_err());
    assert_eq!(
        complete(&engine, greedy(&run_of(20, 1), 10)).tokens.len(),
        10
    );
}
