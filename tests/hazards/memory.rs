//! Operations on the KV cache and states that upstream aborts on or silently gets wrong.

use llamakit::{Checkpoint, Decoded, ErrorKind, FlashAttention, SeqId, Token};
use llamakit_testkit::tiny;

use crate::{A, B, close, context, decode, params, refused, run_of, still_works, survives};

#[test]
fn part_of_a_stream_copied_into_another() {
    survives(|| {
        let tiny = tiny::llama();
        let params = params().sequences(2).context_length(512).unified(false);
        let mut context = context(&tiny, &params);
        decode(&mut context, A, &run_of(8));
        let copied = context.kv_cache_mut().copy(A, B, 2..5);
        refused(copied, ErrorKind::Unsupported, &["part"]);
        still_works(&mut context, &tiny, &params);
    });
}

#[test]
fn sequences_past_upstreams_tables() {
    survives(|| {
        for tiny in tiny::every_memory() {
            let mut context = context(&tiny, &params());
            decode(&mut context, A, &run_of(8));
            let kv = context.kv_cache_mut();
            for seq in [1, 256, 300, u32::MAX].map(SeqId) {
                let kind = ErrorKind::InvalidArgument;
                let word = &[&*format!("sequence {seq}")];
                refused(kv.remove(seq, ..), kind, word);
                refused(kv.remove_sequence(seq), kind, word);
                refused(kv.truncate(seq, 1), kind, word);
                refused(kv.keep(seq), kind, word);
                refused(kv.copy(A, seq, ..), kind, word);
                refused(kv.copy(seq, A, ..), kind, word);
                refused(kv.shift(seq, .., 1), kind, word);
                refused(kv.save_sequence(seq), kind, word);
                refused(kv.restore_sequence(seq, &[]), kind, word);
                refused(kv.checkpoint(seq), kind, word);
            }
            still_works(&mut context, &tiny, &params());
        }
    });
}

#[test]
fn extreme_ranges_and_shifts() {
    survives(|| {
        let tiny = tiny::llama();
        let mut context = context(&tiny, &params());
        decode(&mut context, A, &run_of(8));
        let kv = context.kv_cache_mut();
        let (one, five) = (1, 5);
        kv.remove(A, i32::MIN..0).unwrap();
        kv.remove(A, 100..=i32::MAX).unwrap();
        kv.remove(A, five..one).unwrap();
        kv.remove(A, i32::MAX..).unwrap();
        kv.truncate(A, usize::MAX).unwrap();
        assert_eq!(kv.len(A), 8);
        for delta in [i32::MIN, i32::MAX, -1] {
            refused(
                kv.shift(A, .., delta),
                ErrorKind::InvalidArgument,
                &["shift"],
            );
        }
        kv.shift(A, .., 0).unwrap();
        kv.remove(A, i32::MIN..=i32::MAX).unwrap();
        assert!(kv.is_empty());
        still_works(&mut context, &tiny, &params());
    });
}

#[test]
fn shifting_what_cannot_shift() {
    survives(|| {
        for tiny in [tiny::gemma3(), tiny::mamba(), tiny::lfm2()] {
            let mut context = context(&tiny, &params());
            decode(&mut context, A, &run_of(8));
            refused(
                context.kv_cache_mut().shift(A, .., 1),
                ErrorKind::Unsupported,
                &["shift"],
            );
            still_works(&mut context, &tiny, &params());
        }
    });
}

/// Upstream says yes, forgets the window and goes on with broken attention.
#[test]
fn a_sliding_window_cut_back_past_its_window() {
    survives(|| {
        let tiny = tiny::gemma3();
        let params = params().context_length(512).batch_size(32);
        let mut context = context(&tiny, &params);
        decode(&mut context, A, &run_of(400));
        let cut = context.kv_cache_mut().truncate(A, 100);
        refused(cut, ErrorKind::Unsupported, &["100", "window"]);
        assert_eq!(context.kv_cache().len(A), 400);
        let tokens = [&run_of(400)[..100], &[Token(25); 3]].concat();
        let reused = context.kv_cache_mut().reuse_prefix(A, &tokens).unwrap();
        let got = decode(&mut context, A, &tokens[reused..]);
        close(
            &got,
            &decode(&mut crate::context(&tiny, &params), A, &tokens),
        );
    });
}

#[test]
fn states_that_were_cut_short_or_are_of_another_layout() {
    survives(|| {
        let tiny = tiny::llama();
        let two = || params().sequences(2).context_length(512);
        let mut source = context(&tiny, &two());
        decode(&mut source, A, &run_of(20));
        let saved = source.kv_cache_mut().save_sequence(A).unwrap();
        for layout in [
            two().flash_attention(FlashAttention::Off),
            two().flash_attention(FlashAttention::On),
            two().unified(false),
        ] {
            let mut other = context(&tiny, &layout);
            let restored = other.kv_cache_mut().restore_sequence(A, &saved);
            refused(restored, ErrorKind::State, &["saved by a context"]);
            still_works(&mut other, &tiny, &layout);
        }
        for len in (0..saved.len()).step_by(61) {
            let restored = source.kv_cache_mut().restore_sequence(A, &saved[..len]);
            refused(restored, ErrorKind::State, &["cannot restore"]);
        }
        still_works(&mut source, &tiny, &two());
    });
}

/// Upstream takes a cell at position `i32::MAX` and no removal finds it again.
#[test]
fn positions_patched_in_a_state() {
    survives(|| {
        for tiny in tiny::every_memory() {
            let mut context = context(&tiny, &params());
            decode(&mut context, A, &run_of(5));
            let saved = context.kv_cache_mut().save_sequence(A).unwrap();
            for place in 0..saved.len() - 3 {
                if place % 5 != 0 && place > 200 {
                    continue;
                }
                let mut patched = saved.clone();
                patched[place..place + 4].copy_from_slice(&i32::MAX.to_le_bytes());
                let restored = context.kv_cache_mut().restore_sequence(A, &patched);
                refused(restored, ErrorKind::State, &[]);
            }
            still_works(&mut context, &tiny, &params());
        }
    });
}

#[test]
fn a_checkpoint_of_a_context_that_is_gone() {
    survives(|| {
        for tiny in tiny::every_memory() {
            let checkpoint: Checkpoint = {
                let mut gone = context(&tiny, &params());
                decode(&mut gone, A, &run_of(20));
                gone.kv_cache_mut().checkpoint(A).unwrap()
            };
            let mut context = context(&tiny, &params());
            let restored = context.kv_cache_mut().restore_checkpoint(A, &checkpoint);
            refused(restored, ErrorKind::InvalidArgument, &["another context"]);
            still_works(&mut context, &tiny, &params());
        }
    });
}

#[test]
fn more_tokens_than_cells() {
    survives(|| {
        for tiny in tiny::every_memory() {
            let mut context = context(&tiny, &params().batch_size(200));
            let mut batch = llamakit::Batch::new();
            decode(&mut context, A, &run_of(200));
            batch.add_run(&run_of(100), 200, A, llamakit::Outputs::Last);
            match context.decode(&batch).unwrap() {
                Decoded::NoSlot => assert_eq!(context.kv_cache().len(A), 200),
                // A state of constant size takes any number.
                done => assert_eq!((done, context.kv_cache().len(A)), (Decoded::Done, 300)),
            }
            decode(&mut context, A, &run_of(1));
            still_works(&mut context, &tiny, &params());
        }
    });
}
