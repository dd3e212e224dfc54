//! What a context remembers, and what can be done with it, for every kind of memory.

use llamakit::{
    Batch, Context, ContextParams, Decoded, ErrorKind, MemoryKind, Outputs, SeqId, Token,
};
use llamakit_testkit::tiny::{self, Tiny};

use crate::{
    A, B, assert_close, context, decode, difference, every_memory, fresh_logits, params, record,
    refused, run_of,
};

const C: SeqId = SeqId(2);

fn kind(tiny: &Tiny, params: &ContextParams) -> MemoryKind {
    context(tiny, params).kv_cache().kind()
}

#[test]
fn every_model_has_its_kind_of_memory() {
    for (tiny, want) in [
        (tiny::llama(), MemoryKind::Plain),
        (tiny::moe(), MemoryKind::Plain),
        (tiny::gemma3(), MemoryKind::SlidingWindow),
        (tiny::mamba(), MemoryKind::Recurrent),
        (tiny::lfm2(), MemoryKind::Hybrid),
        (tiny::bert(), MemoryKind::None),
    ] {
        assert_eq!(
            kind(&tiny, &params().batch_size(64)),
            want,
            "{}",
            tiny.name()
        );
    }
    assert_eq!(
        kind(&tiny::gemma3(), &params().full_window(true)),
        MemoryKind::Plain
    );
}

#[test]
fn the_record_is_what_was_decoded() {
    for tiny in every_memory() {
        let mut context = context(&tiny, &params().sequences(2));
        assert!(context.kv_cache().is_empty());
        let tokens = run_of(30, 1);
        for chunk in tokens.chunks(8) {
            decode(&mut context, A, chunk);
        }
        decode(&mut context, B, &tokens[..4]);
        let kv = context.kv_cache();
        assert_eq!((kv.len(A), kv.len(B), kv.len(C)), (30, 4, 0));
        assert!(kv.tokens(A).eq(tokens.iter().copied()));
        assert!(kv.positions(A).eq(0..30));
        assert_eq!((kv.next_position(A), kv.next_position(B)), (30, 4));
        assert_eq!(kv.used(), 34);
        assert_eq!(kv.n_sequences(), 2);
        assert!(!kv.is_empty());
    }
}

#[test]
fn the_common_prefix_is_compared_token_by_token() {
    let mut context = context(&tiny::llama(), &params());
    let tokens = run_of(20, 1);
    decode(&mut context, A, &tokens);
    let kv = context.kv_cache();
    assert_eq!(kv.common_prefix(A, &tokens), 20);
    assert_eq!(kv.common_prefix(A, &tokens[..7]), 7);
    assert_eq!(kv.common_prefix(A, &[&tokens[..], &tokens].concat()), 20);
    let mut other = tokens.clone();
    other[13] = Token(5);
    assert_eq!(kv.common_prefix(A, &other), 13);
    assert_eq!(kv.common_prefix(A, &[]), 0);
    assert_eq!(kv.common_prefix(SeqId(9), &tokens), 0);
}

#[test]
fn a_sequence_cut_back_goes_on_like_a_fresh_one() {
    let cases = [
        (tiny::llama(), params()),
        (tiny::moe(), params()),
        (tiny::gemma3(), params().full_window(true)),
        (
            tiny::llama(),
            params().unified(false).sequences(2).context_length(512),
        ),
    ];
    for (tiny, params) in cases {
        let mut context = context(&tiny, &params);
        let tokens = run_of(60, 1);
        decode(&mut context, A, &tokens);
        for len in [60, 59, 31, 1] {
            assert!(context.kv_cache().can_truncate(A, len));
            context.kv_cache_mut().truncate(A, len).unwrap();
            assert_eq!(context.kv_cache().len(A), len);
        }
        let next = run_of(20, 2);
        let got = decode(&mut context, A, &next);
        let want = fresh_logits(&tiny, &params, &[&tokens[..1], &next].concat());
        assert_close(&got, &want, tiny.name());
    }
}

#[test]
fn a_sliding_window_is_cut_back_only_while_the_window_is_there() {
    let tiny = tiny::gemma3();
    // A small micro batch keeps the window's cache from holding everything.
    let params = params()
        .context_length(512)
        .micro_batch_size(32)
        .batch_size(32);
    let tokens = run_of(400, 1);
    let filled = || {
        let mut context = context(&tiny, &params);
        for chunk in tokens.chunks(32) {
            decode(&mut context, A, chunk);
        }
        context
    };
    let full = filled();
    let shortest = (1..400)
        .find(|&len| full.kv_cache().can_truncate(A, len))
        .unwrap();
    assert!(
        (2..399).contains(&shortest),
        "the window is kept from {shortest} on"
    );
    for len in [1, shortest / 2, shortest - 1] {
        let mut context = filled();
        let before = record(&context);
        let cut = context.kv_cache_mut().truncate(A, len);
        refused(cut, ErrorKind::Unsupported, &["window", &len.to_string()]);
        assert_eq!(record(&context), before);
        decode(&mut context, A, &run_of(1, 3));
    }
    for len in [shortest, 300, 399] {
        let mut context = filled();
        context.kv_cache_mut().truncate(A, len).unwrap();
        let next = run_of(8, 2);
        let got = decode(&mut context, A, &next);
        let mut fresh = crate::context(&tiny, &params);
        let mut want = Vec::new();
        for chunk in [&tokens[..len], &next].concat().chunks(32) {
            want = decode(&mut fresh, A, chunk);
        }
        assert_close(&got, &want, &format!("cut back to {len}"));
    }
    let mut context = filled();
    context.kv_cache_mut().truncate(A, 0).unwrap();
    assert_eq!(context.kv_cache().len(A), 0);
    let want = fresh_logits(&tiny, &params, &run_of(9, 4));
    assert_close(&decode(&mut context, A, &run_of(9, 4)), &want, "emptied");
}

#[test]
fn recurrent_memories_are_cut_back_to_nothing_or_not_at_all() {
    for tiny in [tiny::mamba(), tiny::lfm2()] {
        let mut context = context(&tiny, &params());
        decode(&mut context, A, &run_of(20, 1));
        let before = record(&context);
        for len in [1, 10, 19] {
            assert!(!context.kv_cache().can_truncate(A, len));
            let cut = context.kv_cache_mut().truncate(A, len);
            refused(cut, ErrorKind::Unsupported, &["cut"]);
            refused(
                context.kv_cache_mut().remove(A, len as i32..),
                ErrorKind::Unsupported,
                &["cut"],
            );
        }
        let middle = context.kv_cache_mut().remove(A, 3..5);
        refused(middle, ErrorKind::Unsupported, &["not the end"]);
        assert_eq!(record(&context), before);
        context.kv_cache_mut().truncate(A, 20).unwrap();
        let got = decode(&mut context, A, &run_of(3, 2));
        let want = fresh_logits(&tiny, &params(), &[run_of(20, 1), run_of(3, 2)].concat());
        assert_close(&got, &want, tiny.name());
        context.kv_cache_mut().truncate(A, 0).unwrap();
        let want = fresh_logits(&tiny, &params(), &run_of(5, 3));
        assert_close(&decode(&mut context, A, &run_of(5, 3)), &want, tiny.name());
    }
}

#[test]
fn removing_and_shifting_closes_a_gap() {
    for tiny in [tiny::llama(), tiny::lookback(3)] {
        let mut context = context(&tiny, &params());
        assert!(context.kv_cache().can_shift() && context.kv_cache().can_remove_middle());
        decode(&mut context, A, &run_of(20, 1));
        let kv = context.kv_cache_mut();
        kv.remove(A, 5..=9).unwrap();
        assert!(kv.positions(A).eq((0..5).chain(10..20)));
        assert_eq!(kv.next_position(A), 20);
        refused(kv.shift(A, 10.., -6), ErrorKind::InvalidArgument, &["meet"]);
        refused(
            kv.shift(A, .., -1),
            ErrorKind::InvalidArgument,
            &["negative"],
        );
        refused(
            kv.shift(A, 10.., i32::MAX),
            ErrorKind::InvalidArgument,
            &["shifting"],
        );
        kv.shift(A, 10.., -5).unwrap();
        assert!(kv.positions(A).eq(0..15));
        // Until the next decode the keys are not rotated.
        refused(kv.save_sequence(A), ErrorKind::State, &["decode first"]);
        refused(kv.checkpoint(A), ErrorKind::State, &["decode first"]);
        decode(&mut context, A, &run_of(1, 2));
        assert_eq!(context.kv_cache().len(A), 16);
        assert!(context.kv_cache_mut().save_sequence(A).is_ok());
    }
}

/// The layers above the first remember what they saw before the removal, so only a model of one
/// layer says after a shift what a fresh one does.
#[test]
fn after_a_shift_positions_count_as_if_the_gap_had_never_been() {
    let tiny = tiny::lookback(3);
    let tokens = run_of(40, 1);
    let mut context = context(&tiny, &params());
    decode(&mut context, A, &tokens);
    context.kv_cache_mut().remove(A, 10..20).unwrap();
    context.kv_cache_mut().shift(A, 20.., -10).unwrap();
    let n_vocab = context.model().vocab().n_tokens() as u32;
    let mut seen = [&tokens[..10], &tokens[20..]].concat();
    for &next in &run_of(5, 2) {
        seen.push(next);
        let row = decode(&mut context, A, &[next]);
        let best = (0..row.len())
            .max_by(|&a, &b| row[a].total_cmp(&row[b]))
            .unwrap();
        let back = seen[seen.len() - 4];
        assert_eq!(
            best as u32,
            tiny::lookback_successor(back.0 as u32, n_vocab)
        );
    }
}

#[test]
fn kinds_that_cannot_shift_say_so() {
    for tiny in [tiny::gemma3(), tiny::mamba(), tiny::lfm2()] {
        let mut context = context(&tiny, &params());
        decode(&mut context, A, &run_of(10, 1));
        let before = record(&context);
        assert!(!context.kv_cache().can_shift(), "{}", tiny.name());
        refused(
            context.kv_cache_mut().shift(A, .., 5),
            ErrorKind::Unsupported,
            &["shift"],
        );
        assert_eq!(record(&context), before);
    }
}

#[test]
fn a_copy_goes_its_own_way() {
    for tiny in every_memory() {
        for unified in [true, false] {
            let params = params().sequences(3).context_length(768).unified(unified);
            let mut context = context(&tiny, &params);
            let tokens = run_of(15, 1);
            decode(&mut context, A, &tokens);
            context.kv_cache_mut().copy(A, B, ..).unwrap();
            assert!(context.kv_cache().tokens(B).eq(tokens.iter().copied()));
            for (seq, seed) in [(B, 2), (A, 3)] {
                let own = run_of(4, seed);
                let got = decode(&mut context, seq, &own);
                let want = fresh_logits(&tiny, &crate::params(), &[&tokens[..], &own].concat());
                assert_close(
                    &got,
                    &want,
                    &format!("{} unified {unified} {seq}", tiny.name()),
                );
            }
            context.kv_cache_mut().remove_sequence(A).unwrap();
            let got = decode(&mut context, B, &run_of(2, 4));
            let all = [tokens, run_of(4, 2), run_of(2, 4)].concat();
            assert_close(
                &got,
                &fresh_logits(&tiny, &crate::params(), &all),
                "after the source went",
            );
        }
    }
}

#[test]
fn what_cannot_be_copied_is_refused() {
    let mut context = context(
        &tiny::llama(),
        &params().sequences(3).context_length(768).unified(false),
    );
    decode(&mut context, A, &run_of(10, 1));
    let before = record(&context);
    let kv = context.kv_cache_mut();
    refused(kv.copy(A, B, 0..5), ErrorKind::Unsupported, &["part"]);
    refused(kv.copy(A, A, ..), ErrorKind::InvalidArgument, &["itself"]);
    refused(
        kv.copy(A, SeqId(3), ..),
        ErrorKind::InvalidArgument,
        &["sequence 3"],
    );
    refused(
        kv.copy(SeqId(300), A, ..),
        ErrorKind::InvalidArgument,
        &["sequence 300"],
    );
    refused(
        kv.copy(B, A, ..),
        ErrorKind::InvalidArgument,
        &["not empty"],
    );
    assert_eq!(record(&context), before);
    for tiny in [tiny::gemma3(), tiny::mamba(), tiny::lfm2()] {
        let mut context = crate::context(&tiny, &params().sequences(2));
        decode(&mut context, A, &run_of(10, 1));
        let before = record(&context);
        refused(
            context.kv_cache_mut().copy(A, B, ..5),
            ErrorKind::Unsupported,
            &["part"],
        );
        assert_eq!(record(&context), before);
    }
}

#[test]
fn part_of_a_sequence_is_shared_in_a_unified_cache() {
    let tiny = tiny::llama();
    let mut context = context(&tiny, &params().sequences(2));
    let tokens = run_of(15, 1);
    decode(&mut context, A, &tokens);
    context.kv_cache_mut().copy(A, B, ..9).unwrap();
    assert_eq!(
        (context.kv_cache().len(B), context.kv_cache().used()),
        (9, 15)
    );
    let shift = context.kv_cache_mut().shift(A, .., 3);
    refused(shift, ErrorKind::InvalidArgument, &["shares"]);
    let got = decode(&mut context, B, &run_of(4, 2));
    let want = fresh_logits(&tiny, &params(), &[&tokens[..9], &run_of(4, 2)].concat());
    assert_close(&got, &want, "from the shared part");
    context.kv_cache_mut().remove_sequence(A).unwrap();
    assert_eq!(context.kv_cache().used(), 13);
}

/// Separate streams are copied in the next decode; whatever reads or replaces their cells before
/// would meet the old content.
#[test]
fn a_copy_between_streams_is_settled_before_anything_reads_it() {
    let tiny = tiny::llama();
    let params = params().sequences(2).context_length(512).unified(false);
    let tokens = run_of(15, 1);
    let other = run_of(15, 5);
    let mut source = context(&tiny, &params);
    decode(&mut source, A, &other);
    let saved = source.kv_cache_mut().save_sequence(A).unwrap();

    let mut copied = context(&tiny, &params);
    decode(&mut copied, A, &tokens);
    copied.kv_cache_mut().copy(A, B, ..).unwrap();
    refused(
        copied.kv_cache_mut().save_sequence(B),
        ErrorKind::State,
        &["decode first"],
    );
    refused(
        copied.kv_cache_mut().restore_sequence(A, &saved),
        ErrorKind::State,
        &["decode first"],
    );
    copied.kv_cache_mut().clear().unwrap();
    match copied.kv_cache_mut().restore_sequence(B, &saved) {
        Ok(()) => {
            let got = decode(&mut copied, B, &run_of(3, 6));
            let want = fresh_logits(&tiny, &crate::params(), &[other, run_of(3, 6)].concat());
            assert_close(&got, &want, "restored while a copy was pending");
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::State, "{error}"),
    }
}

#[test]
fn keep_and_clear_empty_the_others() {
    for tiny in every_memory() {
        let mut context = context(&tiny, &params().sequences(3));
        for (seq, seed) in [(A, 1), (B, 2), (C, 3)] {
            decode(&mut context, seq, &run_of(8, seed));
        }
        context.kv_cache_mut().keep(B).unwrap();
        let kv = context.kv_cache();
        assert_eq!((kv.len(A), kv.len(B), kv.len(C), kv.used()), (0, 8, 0, 8));
        let got = decode(&mut context, B, &run_of(3, 4));
        let want = fresh_logits(&tiny, &params(), &[run_of(8, 2), run_of(3, 4)].concat());
        assert_close(&got, &want, tiny.name());
        context.kv_cache_mut().clear().unwrap();
        assert!(context.kv_cache().is_empty());
        let got = decode(&mut context, C, &run_of(5, 5));
        assert_close(
            &got,
            &fresh_logits(&tiny, &params(), &run_of(5, 5)),
            tiny.name(),
        );
    }
}

#[test]
fn sequences_that_do_not_exist_are_refused_everywhere() {
    for tiny in every_memory() {
        let mut context = context(&tiny, &params().sequences(2));
        decode(&mut context, A, &run_of(4, 1));
        let checkpoint = context.kv_cache_mut().checkpoint(A).unwrap();
        let saved = context.kv_cache_mut().save_sequence(A).unwrap();
        let kv = context.kv_cache_mut();
        for id in [2, 255, 256, 300, u32::MAX] {
            let seq = SeqId(id);
            let word = [format!("sequence {id}")];
            let word = &[word[0].as_str()];
            let kind = ErrorKind::InvalidArgument;
            refused(kv.truncate(seq, 1), kind, word);
            refused(kv.remove(seq, ..), kind, word);
            refused(kv.remove_sequence(seq), kind, word);
            refused(kv.keep(seq), kind, word);
            refused(kv.shift(seq, .., 1), kind, word);
            refused(kv.checkpoint(seq), kind, word);
            refused(kv.restore_checkpoint(seq, &checkpoint), kind, word);
            refused(kv.save_sequence(seq), kind, word);
            refused(kv.restore_sequence(seq, &saved), kind, word);
            refused(kv.reuse_prefix(seq, &[Token(20)]), kind, word);
            assert!(!kv.can_truncate(seq, 0));
            assert_eq!((kv.len(seq), kv.next_position(seq)), (0, 0));
        }
    }
}

#[test]
fn an_encoder_remembers_nothing() {
    let mut context = context(&tiny::bert(), &params().batch_size(64));
    let mut batch = Batch::new();
    batch.add_run(&run_of(4, 1), 0, A, Outputs::None);
    assert_eq!(context.decode(&batch).unwrap(), Decoded::Done);
    assert_eq!(context.decode(&batch).unwrap(), Decoded::Done);
    let kv = context.kv_cache_mut();
    assert!(kv.is_empty());
    refused(
        kv.remove_sequence(A),
        ErrorKind::Unsupported,
        &["remembers nothing"],
    );
    refused(
        kv.save_sequence(A),
        ErrorKind::Unsupported,
        &["remembers nothing"],
    );
    kv.clear().unwrap();
}

#[test]
fn a_prefix_is_reused_as_far_as_the_memory_allows() {
    for (tiny, partial) in [
        (tiny::llama(), 12),
        (tiny::gemma3(), 12),
        (tiny::mamba(), 0),
        (tiny::lfm2(), 0),
    ] {
        let mut context = context(&tiny, &params());
        let tokens = run_of(20, 1);
        decode(&mut context, A, &tokens);
        let longer = [&tokens[..], &run_of(5, 2)].concat();
        assert_eq!(context.kv_cache_mut().reuse_prefix(A, &longer).unwrap(), 20);
        let forked = [&tokens[..12], &run_of(5, 3)].concat();
        let reused = context.kv_cache_mut().reuse_prefix(A, &forked).unwrap();
        assert_eq!(reused, partial, "{}", tiny.name());
        assert_eq!(context.kv_cache().len(A), partial);
        let got = decode(&mut context, A, &forked[reused..]);
        assert_close(&got, &fresh_logits(&tiny, &params(), &forked), tiny.name());
        let again = context.kv_cache_mut().reuse_prefix(A, &forked).unwrap();
        assert!(again < forked.len(), "one token is left for its logits");
        let got = decode(&mut context, A, &forked[again..]);
        assert_close(&got, &fresh_logits(&tiny, &params(), &forked), tiny.name());
    }
}

#[test]
fn a_checkpoint_brings_a_sequence_back() {
    for tiny in every_memory().into_iter().chain([tiny::moe()]) {
        for params in [params(), params().micro_batch_size(16).batch_size(16)] {
            let mut context = context(&tiny, &params);
            let prompt = run_of(48, 1);
            for chunk in prompt.chunks(16) {
                decode(&mut context, A, chunk);
            }
            let checkpoint = context.kv_cache_mut().checkpoint(A).unwrap();
            assert_eq!(checkpoint.tokens(), prompt);
            let first: Vec<_> = run_of(40, 2)
                .chunks(8)
                .map(|chunk| decode(&mut context, A, chunk))
                .collect();
            for round in 0..2 {
                context
                    .kv_cache_mut()
                    .restore_checkpoint(A, &checkpoint)
                    .unwrap();
                assert!(context.kv_cache().tokens(A).eq(prompt.iter().copied()));
                let again: Vec<_> = run_of(40, 2)
                    .chunks(8)
                    .map(|chunk| decode(&mut context, A, chunk))
                    .collect();
                for (again, first) in again.iter().zip(&first) {
                    assert_close(again, first, &format!("{} round {round}", tiny.name()));
                }
            }
        }
    }
}

#[test]
fn an_empty_checkpoint_empties() {
    for tiny in every_memory() {
        let mut context = context(&tiny, &params());
        let checkpoint = context.kv_cache_mut().checkpoint(A).unwrap();
        assert!(checkpoint.is_empty());
        decode(&mut context, A, &run_of(9, 1));
        context
            .kv_cache_mut()
            .restore_checkpoint(A, &checkpoint)
            .unwrap();
        assert!(context.kv_cache().is_empty());
        let got = decode(&mut context, A, &run_of(5, 2));
        assert_close(
            &got,
            &fresh_logits(&tiny, &params(), &run_of(5, 2)),
            tiny.name(),
        );
    }
}

#[test]
fn checkpoints_of_others_and_of_other_texts_are_refused() {
    for tiny in every_memory() {
        let mut one = context(&tiny, &params());
        let mut two = context(&tiny, &params());
        decode(&mut one, A, &run_of(9, 1));
        decode(&mut two, A, &run_of(9, 1));
        let checkpoint = one.kv_cache_mut().checkpoint(A).unwrap();
        let foreign = two.kv_cache_mut().restore_checkpoint(A, &checkpoint);
        refused(foreign, ErrorKind::InvalidArgument, &["another context"]);
        one.kv_cache_mut().clear().unwrap();
        decode(&mut one, A, &run_of(12, 7));
        match one.kv_cache_mut().restore_checkpoint(A, &checkpoint) {
            // The whole state of a recurrent sequence is in the checkpoint.
            Ok(()) => assert_eq!(one.kv_cache().kind(), MemoryKind::Recurrent),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
                assert_eq!(one.kv_cache().len(A), 12);
            }
        }
        let len = one.kv_cache().len(A);
        let before = if len == 9 {
            run_of(9, 1)
        } else {
            run_of(12, 7)
        };
        let got = decode(&mut one, A, &run_of(3, 2));
        let want = fresh_logits(&tiny, &params(), &[before, run_of(3, 2)].concat());
        assert_close(&got, &want, tiny.name());
    }
}

/// A model whose answer depends on one earlier token shows a mixed-up cache at once.
#[test]
fn random_operations_never_mix_up_contents() {
    let tiny = tiny::lookback(2);
    for unified in [true, false] {
        let params = params().sequences(3).context_length(768).unified(unified);
        let mut context = context(&tiny, &params);
        let n_vocab = context.model().vocab().n_tokens() as u32;
        let dice = run_of(600, if unified { 11 } else { 12 });
        for pair in dice.chunks(3) {
            let [what, which, how] = [pair[0].0 as u32, pair[1].0 as u32, pair[2].0 as u32];
            let (seq, other) = (SeqId(which % 3), SeqId((which + 1 + how % 2) % 3));
            let len = context.kv_cache().len(seq);
            match what % 7 {
                0 if len > 2 => context
                    .kv_cache_mut()
                    .truncate(seq, len - how as usize % len)
                    .unwrap(),
                1 => {
                    context.kv_cache_mut().remove_sequence(other).unwrap();
                    context.kv_cache_mut().copy(seq, other, ..).unwrap();
                }
                2 if how % 5 == 0 => context.kv_cache_mut().keep(seq).unwrap(),
                3 if how % 7 == 0 => context.kv_cache_mut().clear().unwrap(),
                _ => {}
            }
            if context.kv_cache().used() > 200 {
                context.kv_cache_mut().clear().unwrap();
            }
            let tokens = run_of(1 + how as usize % 9, what * 251 + which);
            let row = decode(&mut context, seq, &tokens);
            let all: Vec<Token> = context.kv_cache().tokens(seq).collect();
            if all.len() > 2 {
                let best = (0..row.len())
                    .max_by(|&a, &b| row[a].total_cmp(&row[b]))
                    .unwrap();
                let back = all[all.len() - 3].0 as u32;
                assert_eq!(best as u32, tiny::lookback_successor(back, n_vocab));
            }
        }
    }
}

#[test]
fn a_full_cache_says_so_and_takes_more_when_there_is_room() {
    for tiny in [tiny::llama(), tiny::moe(), tiny::lfm2()] {
        let mut context = context(&tiny, &params().sequences(2));
        decode(&mut context, A, &run_of(120, 1));
        decode(&mut context, B, &run_of(120, 2));
        let before = record(&context);
        let mut batch = Batch::new();
        batch.add_run(&run_of(30, 3), 120, A, Outputs::Last);
        assert_eq!(
            context.decode(&batch).unwrap(),
            Decoded::NoSlot,
            "{}",
            tiny.name()
        );
        assert_eq!(record(&context), before);
        refused(
            context.logits(29),
            ErrorKind::InvalidArgument,
            &["0 entries"],
        );
        // A smaller one still fits, and after making room the whole one does.
        decode(&mut context, B, &run_of(3, 4));
        context.kv_cache_mut().remove_sequence(B).unwrap();
        let got = decode(&mut context, A, &run_of(30, 3));
        let tokens = [run_of(120, 1), run_of(30, 3)].concat();
        let mut fresh = crate::context(&tiny, &params());
        decode(&mut fresh, A, &tokens[..120]);
        assert_close(&got, &decode(&mut fresh, A, &tokens[120..]), tiny.name());
    }
}

/// What `assert_close` calls close would not hide a wrong cache.
#[test]
fn different_prompts_differ_by_far_more_than_the_tolerance() {
    for tiny in every_memory() {
        let one = fresh_logits(&tiny, &params(), &run_of(20, 1));
        let mut changed = run_of(20, 1);
        changed[15] = Token(7);
        let two = fresh_logits(&tiny, &params(), &changed);
        let difference = difference(&one, &two);
        assert!(
            difference > 10.0 * crate::TOLERANCE,
            "{}: {difference}",
            tiny.name()
        );
    }
}

#[test]
fn a_context_can_be_swapped_with_another() {
    let mut one: Context = context(&tiny::llama(), &params());
    let mut two: Context = context(&tiny::mamba(), &params());
    decode(&mut one, A, &run_of(4, 1));
    std::mem::swap(one.kv_cache_mut(), two.kv_cache_mut());
    let want = fresh_logits(&tiny::mamba(), &params(), &run_of(5, 2));
    assert_close(&decode(&mut one, A, &run_of(5, 2)), &want, "swapped");
}
