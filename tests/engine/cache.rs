//! What requests share, and what they must not.

use super::*;

/// The most that a snapshot's border may cost.
const GAP: usize = 32;

fn sharing(tiny: &Tiny) -> Engine {
    let params = params()
        .checkpoint_gap(GAP as u32)
        .snapshot_memory(64 << 20);
    engine(tiny, &params)
}

#[test]
fn a_second_turn_computes_only_what_is_new() {
    for tiny in every_memory() {
        let engine = sharing(&tiny);
        let mut conversation = run_of(100, 1);
        let first = complete(&engine, greedy(&conversation, 20));
        conversation.extend(&first.tokens);
        conversation.extend(run_of(15, 2));
        let second = complete(&engine, greedy(&conversation, 10));
        let evaluated = second.finished.prompt_tokens - second.finished.cached_tokens;
        assert!(evaluated <= 16 + GAP, "{}: {evaluated}", tiny.name());
        assert!(second.finished.cached_tokens >= 100, "{}", tiny.name());
        let alone = complete(&sharing(&tiny), greedy(&conversation, 10));
        assert_eq!(alone.finished.cached_tokens, 0);
        if tiny.name().contains("lookback") {
            assert_eq!(second.tokens, alone.tokens);
        }
    }
}

#[test]
fn a_prefix_that_arrives_four_times_together_is_computed_once() {
    for tiny in every_memory() {
        let engine = sharing(&tiny);
        let prefix = run_of(120, 3);
        let answers: Vec<_> = (0..4)
            .map(|index| {
                let prompt = [prefix.clone(), run_of(10, 100 + index)].concat();
                engine.submit(greedy(&prompt, 12)).unwrap()
            })
            .collect();
        for answer in answers {
            answer.complete().unwrap();
        }
        let evaluated = engine.metrics().evaluated_tokens;
        // Each has at least its own tokens; prompts may begin alike by chance. Where no cells are
        // shared and the first was done before the others came, one of them starts at a border.
        let border = if tiny.arch() == "llama" {
            0
        } else {
            GAP as u64
        };
        assert!(
            (120 + 4 * 9..=120 + 4 * 10 + border).contains(&evaluated),
            "{}: {evaluated} tokens",
            tiny.name()
        );
    }
}

#[test]
fn shared_prefixes_change_no_answer() {
    let tiny = tiny::lookback(5);
    let engine = sharing(&tiny);
    let prefix = run_of(60, 4);
    for index in 0..6 {
        let prompt = [prefix.clone(), run_of(9, index)].concat();
        let answer = complete(&engine, greedy(&prompt, 30));
        assert_eq!(answer.tokens, solo(&tiny, &prompt, 30), "request {index}");
        assert_eq!(answer.finished.cached_tokens > 0, index > 0);
    }
}

#[test]
fn namespaces_share_nothing() {
    let engine = sharing(&tiny::llama());
    let prompt = run_of(80, 5);
    let ask = |namespace: &str| {
        let request = greedy(&prompt, 4).namespace(namespace);
        complete(&engine, request).finished.cached_tokens
    };
    assert_eq!(ask("one"), 0);
    assert_eq!(ask("two"), 0);
    assert_eq!(ask("one"), 79);
}

#[test]
fn reuse_can_be_turned_off() {
    for (engine_on, request_on, cached) in [(true, false, 0), (false, true, 0), (true, true, 79)] {
        let engine = engine(&tiny::llama(), &params().reuse(engine_on));
        let prompt = run_of(80, 6);
        complete(&engine, greedy(&prompt, 4).reuse(request_on));
        let second = complete(&engine, greedy(&prompt, 4).reuse(request_on));
        assert_eq!(second.finished.cached_tokens, cached);
    }
}

#[test]
fn three_hundred_unique_prompts_leave_room_for_the_next() {
    for tiny in [tiny::llama(), tiny::gemma3()] {
        let params = params().snapshot_memory(4 << 20);
        let engine = engine(&tiny, &params);
        for index in 0..300 {
            let answer = complete(&engine, greedy(&run_of(40, 1000 + index), 4));
            assert_eq!(answer.tokens.len(), 4);
        }
        let metrics = engine.metrics();
        assert!(metrics.evictions > 100, "{}", metrics.evictions);
        assert!(metrics.snapshot_bytes <= 4 << 20);
        assert!(metrics.cells_used <= metrics.cells);
        // The latest are still there.
        let again = complete(&engine, greedy(&run_of(40, 1299), 4));
        assert!(again.finished.cached_tokens > 30, "{}", tiny.name());
    }
}

#[test]
fn deterministic_answers_do_not_depend_on_the_cache_or_on_others() {
    for tiny in every_memory() {
        let params = params().deterministic(true).micro_batch_size(32);
        let prompt = run_of(90, 7);
        let alone = complete(&engine(&tiny, &params), greedy(&prompt, 30));
        let busy = engine(&tiny, &params);
        let others: Vec<_> = (0..6)
            .map(|index| {
                let prompt = [&prompt[..70], &run_of(30, 50 + index)].concat();
                busy.submit(greedy(&prompt, 40)).unwrap()
            })
            .collect();
        let among = complete(&busy, greedy(&prompt, 30));
        for other in others {
            other.complete().unwrap();
        }
        let again = complete(&busy, greedy(&prompt, 30));
        assert_eq!(among.tokens, alone.tokens, "{}", tiny.name());
        assert_eq!(again.tokens, alone.tokens, "{}", tiny.name());
        assert_eq!(again.finished.cached_tokens, 64, "{}", tiny.name());
    }
}

#[test]
fn speculation_changes_no_answer_and_is_reported() {
    let tiny = tiny::lookback(6);
    let engine = engine(&tiny, &params());
    // What repeats with a period is guessed right.
    let prompt: Vec<Token> = run_of(6, 8).into_iter().cycle().take(48).collect();
    let plain = complete(&engine, greedy(&prompt, 60));
    let guessed = complete(&engine, greedy(&prompt, 60).speculate(true).reuse(false));
    assert_eq!(guessed.tokens, plain.tokens);
    assert!(guessed.finished.drafted_tokens >= guessed.finished.accepted_tokens);
    assert_eq!(plain.finished.drafted_tokens, 0);
}

#[test]
fn guesses_draw_what_would_be_drawn_without_them() {
    let engine = engine(&tiny::llama(), &params().reuse(false));
    let prompt: Vec<Token> = run_of(5, 9).into_iter().cycle().take(60).collect();
    assert_guesses_change_no_draw(&engine, &prompt);
}
