//! One request at a time: text, ends, limits, what is reported.

use super::*;
use llamakit::engine::{Overflow, SubmitError};
use llamakit::sampler::SamplerParams;
use std::time::Duration;

#[test]
fn an_answer_equals_the_one_of_a_context_alone() {
    for tiny in every_memory() {
        let engine = engine(&tiny, &params());
        let prompt = run_of(40, 1);
        let answer = complete(&engine, greedy(&prompt, 24));
        let expected = solo(&tiny, &prompt, 24);
        // The loop on a context ends where the model says so, the request here was told not to.
        let same = expected.len();
        assert_eq!(answer.tokens[..same], expected, "{}", tiny.name());
        assert_eq!(answer.tokens.len(), 24);
        assert_reason(&answer.finished, "MaxTokens");
        assert_eq!(answer.finished.prompt_tokens, 40);
        assert_eq!(answer.finished.cached_tokens, 0);
    }
}

#[test]
fn events_come_in_order_and_add_up() {
    let engine = engine(&tiny::llama(), &params());
    let request = greedy(&run_of(60, 2), 5).logprobs(3);
    let events: Vec<Event> = engine.submit(request).unwrap().collect();
    let mut names: Vec<&str> = events
        .iter()
        .map(|event| match event {
            Event::Queued { ahead: 0 } => "queued",
            Event::Started {
                cached_tokens: 0,
                to_evaluate: 60,
            } => "started",
            Event::Prompt { total: 60, .. } => "prompt",
            Event::Token(token) => {
                assert_eq!(token.top.len(), 3);
                assert_eq!(token.top[0].0, token.token, "greedy takes the first");
                assert_eq!(token.logprob, Some(token.top[0].1));
                "token"
            }
            Event::Text(_) => "text",
            Event::Finished(_) => "finished",
            other => panic!("{other:?}"),
        })
        .filter(|&name| name != "text")
        .collect();
    // A prompt may be computed in several parts.
    names.dedup_by(|a, b| a == b && *a == "prompt");
    let expected = [
        "queued", "started", "prompt", "token", "token", "token", "token", "token", "finished",
    ];
    assert_eq!(names, expected);
    let metrics = engine.metrics();
    assert_eq!(
        (metrics.generated_tokens, metrics.evaluated_tokens),
        (5, 60)
    );
    assert_eq!((metrics.requests, metrics.failed), (1, 0));
    assert_eq!(metrics.first_token.count, 1);
    assert_eq!(metrics.gap.count, 4);
}

#[test]
fn a_stop_string_across_tokens_ends_the_text_before_it() {
    let engine = engine(&tiny::lookback(3), &params());
    let whole = complete(&engine, greedy(&run_of(30, 3), 40)).text;
    let characters: Vec<char> = whole.chars().collect();
    let stop: String = characters[10..14].iter().collect();
    let before = whole.split(&stop).next().unwrap().to_owned();
    let request = greedy(&run_of(30, 3), 40).stop(["never", stop.as_str()]);
    let answer = complete(&engine, request);
    assert_eq!(answer.text, before);
    assert_reason(&answer.finished, "Stop");
}

#[test]
fn a_model_that_never_ends_stops_at_its_window() {
    let engine = engine(&tiny::llama(), &params());
    let request = greedy(&run_of(200, 4), 10_000);
    let answer = complete(&engine, request);
    assert_reason(&answer.finished, "ContextFull");
    assert_eq!(answer.tokens.len(), 56);
}

#[test]
fn a_prompt_that_is_too_long_is_refused_with_both_counts() {
    let engine = engine(&tiny::llama(), &params());
    let error = engine.submit(greedy(&run_of(256, 5), 1)).unwrap_err();
    assert!(
        matches!(
            error,
            SubmitError::PromptTooLong {
                prompt_tokens: 256,
                window: 256
            }
        ),
        "{error}"
    );
}

#[test]
fn shifting_goes_on_past_the_window_and_says_so() {
    for tiny in every_memory() {
        let engine = engine(&tiny, &params());
        let request = greedy(&run_of(300, 6), 200).overflow(Overflow::Shift { keep: 4 });
        let answer = complete(&engine, request);
        assert_reason(&answer.finished, "MaxTokens");
        assert_eq!(answer.tokens.len(), 200, "{}", tiny.name());
        let finished = answer.finished;
        assert_eq!(finished.submitted_tokens, 300);
        assert!(finished.prompt_tokens < 256);
        assert!(finished.dropped_tokens > 300 - finished.prompt_tokens);
    }
}

#[test]
fn wrong_prompts_are_named() {
    let engine = engine(&tiny::llama(), &params());
    for prompt in [vec![], vec![Token(1_000_000)], vec![Token(-1)]] {
        let error = engine.submit(greedy(&prompt, 1)).unwrap_err();
        assert!(matches!(error, SubmitError::Invalid(_)), "{error}");
    }
    let answer = complete(&engine, greedy(&[Token(0)], 0));
    assert_reason(&answer.finished, "MaxTokens");
    assert!(answer.tokens.is_empty());
}

#[test]
fn an_empty_text_is_refused_unless_the_model_begins_with_a_token() {
    let none = engine(&tiny::llama(), &params());
    match none.submit(Request::new("").max_tokens(1)) {
        Err(SubmitError::Invalid(error)) => {
            assert!(error.to_string().contains("no tokens"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    let begins = engine(&tiny::llama_spm(), &params());
    let request = Request::new("").ignore_eos(true).max_tokens(3);
    let answer = complete(&begins, request);
    assert_eq!(answer.finished.prompt_tokens, 1);
    assert_eq!(answer.tokens.len(), 3);
}

#[test]
fn a_prompt_may_be_special_tokens_alone() {
    for tiny in [tiny::llama(), tiny::mamba(), tiny::lfm2()] {
        let engine = engine(&tiny, &params());
        let special = "<|im_start|><|im_end|><|im_start|>";
        let request = Request::new(special).ignore_eos(true).max_tokens(5);
        let answer = complete(&engine, request.sampler(Sampler::greedy()));
        assert_eq!(answer.finished.prompt_tokens, 3, "{}", tiny.name());
        assert_eq!(answer.tokens.len(), 5);
        // The same again, from what is cached.
        let request = Request::new(special).ignore_eos(true).max_tokens(5);
        let again = complete(&engine, request.sampler(Sampler::greedy()));
        assert_eq!(again.tokens, answer.tokens);
    }
}

#[test]
fn the_seed_is_reported_and_repeats_the_answer() {
    let engine = engine(&tiny::llama(), &params());
    let request = |sampler| {
        Request::new(run_of(20, 7))
            .sampler(sampler)
            .ignore_eos(true)
            .max_tokens(20)
    };
    let first = complete(&engine, request(Sampler::llama_cpp()));
    let mut again = SamplerParams::llama_cpp();
    again.seed = Some(first.finished.seed);
    let second = complete(&engine, request(again.build().unwrap()));
    assert_eq!(first.tokens, second.tokens);
}

#[test]
fn a_full_queue_answers_at_once_with_a_hint() {
    let engine = engine(&tiny::llama(), &params().parallel(1).queue(2));
    let long = || greedy(&run_of(100, 8), 150);
    let running = engine.submit(long()).unwrap();
    // The first has left the queue once its events say so.
    let mut running = running.skip_while(|event| !matches!(event, Event::Started { .. }));
    running.next().unwrap();
    let waiting = [
        engine.submit(long()).unwrap(),
        engine.submit(long()).unwrap(),
    ];
    match engine.submit(long()) {
        Err(SubmitError::QueueFull {
            queued: 2,
            retry_after,
        }) => assert!(retry_after > Duration::ZERO),
        other => panic!("{other:?}"),
    }
    assert_eq!(engine.metrics().refused, 1);
    drop(running);
    for answer in waiting {
        assert_eq!(answer.complete().unwrap().tokens.len(), 150);
    }
}

#[test]
fn adapters_of_one_request_touch_no_other() {
    let tiny = tiny::llama();
    let model = load(&tiny);
    let adapter = LoraAdapter::load(&model, tiny::lora(&tiny, 4, "engine").path()).unwrap();
    let prompt = run_of(40, 9);
    let expected = |adapters: &[(LoraAdapter, f32)]| {
        let params = ContextParams::new().context_length(256).threads(1);
        let mut context = Context::new(&model, &params).unwrap();
        context.set_lora_adapters(adapters).unwrap();
        let mut sampler = Sampler::greedy();
        let answer = context.generate(&prompt, &mut sampler).unwrap();
        let mut answer = answer.max_tokens(12);
        answer.by_ref().for_each(|piece| drop(piece.unwrap()));
        answer.tokens().to_vec()
    };
    let (plain, adapted) = (expected(&[]), expected(&[(adapter.clone(), 3.0)]));
    assert_ne!(plain, adapted, "the adapter changes the answer");

    let engine = Engine::new(&model, &params()).unwrap();
    for _ in 0..3 {
        let with = greedy(&prompt, 12).lora_adapters(vec![(adapter.clone(), 3.0)]);
        let with = engine.submit(with).unwrap();
        let without = engine.submit(greedy(&prompt, 12)).unwrap();
        let (with, without) = (with.complete().unwrap(), without.complete().unwrap());
        assert_eq!(with.tokens[..adapted.len()], adapted);
        assert_eq!(without.tokens[..plain.len()], plain);
    }
    let other = load(&tiny);
    let foreign = LoraAdapter::load(&other, tiny::lora(&tiny, 4, "engine").path()).unwrap();
    let request = greedy(&prompt, 1).lora_adapters(vec![(foreign, 1.0)]);
    assert!(engine.submit(request).is_err());
}
