//! More than fits: admission, windows, larger contexts, small pools.

use super::*;
use llamakit::engine::Overflow;

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

#[test]
fn windows_that_move_on_take_no_cells_of_others() {
    // They share most of their prompts, and need cells of their own when these leave their windows.
    let params = params().context_length(128).pool(256);
    let engine = engine(&tiny::lookback(7), &params);
    let prefix = run_of(90, 1);
    let answers: Vec<_> = (0..4)
        .map(|index| {
            let prompt = [prefix.clone(), run_of(5, 10 + index)].concat();
            let request = greedy(&prompt, 100).overflow(Overflow::Shift { keep: 4 });
            engine.submit(request).unwrap()
        })
        .collect();
    for answer in answers {
        assert_eq!(answer.complete().unwrap().tokens.len(), 100);
    }
}

#[test]
fn those_who_wait_for_a_prefix_have_room_for_it() {
    for tiny in tiny::recalling() {
        // Where no cells are shared, each needs a copy of what all have in common.
        let engine = engine(&tiny, &params().context_length(200).pool(512));
        let prefix = run_of(150, 2);
        let answers: Vec<_> = (0..4)
            .map(|index| {
                let prompt = [prefix.clone(), run_of(5, 20 + index)].concat();
                engine.submit(greedy(&prompt, 40)).unwrap()
            })
            .collect();
        for answer in answers {
            let answer = answer.complete();
            let tokens = answer
                .unwrap_or_else(|e| panic!("{}: {e}", tiny.name()))
                .tokens;
            assert_eq!(tokens.len(), 40);
        }
    }
}

#[test]
fn more_requests_than_sequences_take_turns() {
    // Three ids for two that run and one that is cached.
    let tiny = tiny::lookback(5);
    let few = engine(&tiny, &params().parallel(2).cached_sequences(1));
    // As many as there can be.
    let many = engine(
        &tiny,
        &params()
            .context_length(32)
            .parallel(256)
            .cached_sequences(28),
    );
    for (engine, sequences, requests) in [(few, 3, 30), (many, 256, 300)] {
        let prompts: Vec<_> = (0..requests)
            .map(|index| run_of(12, 3000 + index))
            .collect();
        let answers: Vec<_> = prompts
            .iter()
            .map(|prompt| engine.submit(greedy(prompt, 8)).unwrap())
            .collect();
        for (answer, prompt) in answers.into_iter().zip(&prompts) {
            assert_eq!(answer.complete().unwrap().tokens, solo(&tiny, prompt, 8));
        }
        let metrics = engine.metrics();
        assert_eq!(metrics.sequences, sequences);
        assert!(metrics.evictions > 0, "{metrics:?}");
    }
}

#[test]
fn a_step_may_have_more_rows_than_are_computed_at_once() {
    let tiny = tiny::lookback(5);
    let params = params().context_length(64).parallel(40).micro_batch_size(8);
    let engine = engine(&tiny, &params);
    let prompts: Vec<_> = (0..40).map(|index| run_of(20, 4000 + index)).collect();
    let answers: Vec<_> = prompts
        .iter()
        .map(|prompt| engine.submit(greedy(prompt, 30).speculate(true)).unwrap())
        .collect();
    for (answer, prompt) in answers.into_iter().zip(&prompts) {
        assert_eq!(answer.complete().unwrap().tokens, solo(&tiny, prompt, 30));
    }
}
