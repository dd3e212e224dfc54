//! Requests that end early: dropped, cancelled, late, or with their engine.

use super::*;
use std::time::{Duration, Instant};

/// A model whose prompt takes a while: about a second for the whole window.
fn slow() -> (Engine, Vec<Token>) {
    let params = EngineParams::new()
        .context_length(8192)
        .parallel(2)
        .threads(1);
    let engine = engine(&tiny::llama(), &params);
    (engine, run_of(8000, 1))
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_dropped_answer_frees_its_place_in_the_middle_of_a_prompt() {
    let (engine, prompt) = slow();
    let mut answer = engine.submit(greedy(&prompt, 10)).unwrap();
    while !matches!(answer.next(), Some(Event::Started { .. })) {}
    drop(answer);
    wait_until("it has ended", || engine.metrics().cancelled == 1);
    let metrics = engine.metrics();
    assert!(metrics.evaluated_tokens < 8000, "{metrics:?}");
}

#[test]
fn a_cancelled_answer_says_so_and_keeps_what_it_said() {
    let engine = engine(&tiny::llama(), &params());
    let mut answer = engine.submit(greedy(&run_of(20, 2), 200)).unwrap();
    while !matches!(answer.next(), Some(Event::Token(_))) {}
    answer.cancel();
    let end = finished(answer.collect());
    assert_reason(&end, "Cancelled");
    assert!(end.generated_tokens >= 1);
}

#[test]
fn a_queued_request_leaves_at_once() {
    let (engine, prompt) = slow();
    let running: Vec<_> = (0..2)
        .map(|_| engine.submit(greedy(&prompt, 10)).unwrap())
        .collect();
    wait_until("both run", || engine.metrics().running == 2);
    let waiting = engine.submit(greedy(&prompt, 10)).unwrap();
    waiting.cancel();
    let end = finished(waiting.collect());
    assert_reason(&end, "Cancelled");
    assert_eq!(engine.metrics().queued, 0);
    drop(running);
}

#[test]
fn a_deadline_ends_requests_that_run_and_that_wait() {
    let (engine, prompt) = slow();
    let answers: Vec<_> = (0..3)
        .map(|_| {
            let request = greedy(&prompt, 100).deadline(Duration::from_millis(50));
            engine.submit(request).unwrap()
        })
        .collect();
    for answer in answers {
        assert_reason(&finished(answer.collect()), "Deadline");
    }
}

#[test]
fn what_an_aborted_step_left_is_right() {
    let tiny = tiny::lookback(9);
    let params = EngineParams::new().context_length(2048).threads(1);
    let engine = engine(&tiny, &params);
    let prompt = run_of(1800, 3);
    let expected = {
        let fresh = Engine::new(&load(&tiny), &params).unwrap();
        complete(&fresh, greedy(&prompt, 20)).tokens
    };
    for round in 0..10 {
        let other = engine.submit(greedy(&run_of(1500, 50 + round), 5)).unwrap();
        let answer = engine.submit(greedy(&prompt, 20)).unwrap();
        std::thread::sleep(Duration::from_millis(7 * u64::from(round)));
        drop(other);
        assert_eq!(answer.complete().unwrap().tokens, expected, "round {round}");
    }
}

#[test]
fn whenever_it_is_cancelled_what_it_leaves_is_right() {
    for tiny in tiny::recalling() {
        let params = params().micro_batch_size(16).checkpoint_gap(8);
        let engine = engine(&tiny, &params);
        let mut prompt = run_of(70, 5);
        prompt[0] = Token(170);
        let expected = solo(&tiny, &prompt, 20);
        // Longer than a whole answer: queued, started, a few parts, tokens, finished.
        for events in 0..40 {
            let other = engine.submit(greedy(&prompt[..60], 20)).unwrap();
            let mut answer = engine.submit(greedy(&prompt, 20)).unwrap();
            answer.by_ref().take(events).for_each(drop);
            drop(answer);
            let next = complete(&engine, greedy(&prompt, 20));
            assert_eq!(next.tokens, expected, "{}: {events}", tiny.name());
            other.complete().unwrap();
        }
        let metrics = engine.metrics();
        assert_eq!((metrics.requests, metrics.failed), (120, 0));
        assert!(
            metrics.cancelled > 0 && metrics.cache_hits > 0,
            "{metrics:?}"
        );
    }
}

#[test]
fn shutting_down_drains_or_ends() {
    let (engine, prompt) = slow();
    let short = engine.submit(greedy(&run_of(10, 4), 5)).unwrap();
    engine.shutdown(Duration::from_secs(60));
    assert_eq!(short.complete().unwrap().tokens.len(), 5);
    assert!(engine.submit(greedy(&prompt, 1)).is_err());

    let (engine, prompt) = slow();
    let answers: Vec<_> = (0..4)
        .map(|_| engine.submit(greedy(&prompt, 500)).unwrap())
        .collect();
    drop(engine);
    for answer in answers {
        assert_reason(&finished(answer.collect()), "Shutdown");
    }
}

#[test]
fn a_step_that_takes_too_long_fails_its_requests_and_the_engine_goes_on() {
    let params = EngineParams::new()
        .context_length(8192)
        .threads(1)
        .stall_limit(Duration::from_nanos(1));
    let engine = engine(&tiny::llama(), &params);
    let long = engine.submit(greedy(&run_of(8000, 6), 200)).unwrap();
    let error = long.complete().unwrap_err();
    assert!(
        error.to_string().contains("longer than the limit"),
        "{error}"
    );
    assert_eq!(engine.metrics().failed, 1);
    wait_until("a new context", || engine.metrics().rebuilds == 1);
    // Short steps end before anybody looks, as a rule.
    let short = || engine.submit(greedy(&run_of(20, 7), 5)).unwrap().complete();
    assert!((0..5).any(|_| short().is_ok_and(|done| done.tokens.len() == 5)));
}
