//! Decodes stopped before they begin and in the middle, and what can be done afterwards.

use std::time::{Duration, Instant};

use llamakit::{Batch, Context, ContextParams, Decoded, ErrorKind, Outputs, SeqId};
use llamakit_testkit::tiny::{self, Tiny};

use crate::{A, close, context, decode, params, refused, run_of, still_works, survives};

const LONG: usize = 4096;

fn long() -> ContextParams {
    params()
        .context_length(8192)
        .batch_size(8192)
        .micro_batch_size(256)
}

#[test]
fn a_flag_set_before_the_decode() {
    survives(|| {
        for tiny in tiny::every_memory() {
            let mut context = context(&tiny, &params());
            context.abort_handle().clone().abort();
            let mut batch = Batch::new();
            batch.add_run(&run_of(9), 0, A, Outputs::Last);
            assert_eq!(
                context.decode(&batch).unwrap(),
                Decoded::Aborted { stored: 0 }
            );
            refused(
                context.logits(8),
                ErrorKind::InvalidArgument,
                &["0 entries"],
            );
            assert!(context.kv_cache().is_empty());
            assert_eq!(
                context.decode(&batch).unwrap(),
                Decoded::Done,
                "one call stops one decode"
            );
            still_works(&mut context, &tiny, &params());
        }
    });
}

/// Decodes a long batch that another thread aborts about half way through; tries until the abort
/// falls into the middle. Returns how many tokens the context says it kept.
fn aborted_half_way(context: &mut Context) -> usize {
    let mut batch = Batch::new();
    batch.add_run(&run_of(LONG), 0, A, Outputs::Last);
    let start = Instant::now();
    assert_eq!(context.decode(&batch).unwrap(), Decoded::Done);
    let whole = start.elapsed();
    for eighths in [4, 3, 5, 2, 6, 4, 3, 5, 2, 6, 4, 1] {
        context.kv_cache_mut().clear().unwrap();
        let handle = context.abort_handle();
        let aborter = std::thread::spawn(move || {
            std::thread::sleep(whole * eighths / 8);
            handle.abort();
        });
        let done = context.decode(&batch).unwrap();
        aborter.join().unwrap();
        match done {
            Decoded::Aborted { stored } => {
                refused(
                    context.logits(LONG - 1),
                    ErrorKind::InvalidArgument,
                    &["0 entries"],
                );
                return stored;
            }
            // Too late: the flag waits for the next decode; use it up.
            done => {
                assert_eq!(done, Decoded::Done);
                let mut next = Batch::new();
                next.add_run(&run_of(1), LONG as i32, A, Outputs::Last);
                assert_eq!(
                    context.decode(&next).unwrap(),
                    Decoded::Aborted { stored: 0 }
                );
            }
        }
    }
    panic!("no abort fell into a decode of {whole:?}");
}

fn resumes(tiny: &Tiny, params: &ContextParams) {
    let mut context = context(tiny, params);
    let stored = aborted_half_way(&mut context);
    let kv = context.kv_cache();
    assert_eq!(kv.len(A), stored, "{}", tiny.name());
    assert!(stored < LONG);
    assert!(kv.tokens(A).eq(run_of(LONG)[..stored].iter().copied()));
    // What it says it kept can be gone on from, however late the abort came.
    let end = LONG.min(stored + 600);
    let got = decode(&mut context, A, &run_of(LONG)[stored..end]);
    let mut fresh = crate::context(tiny, params);
    let want = decode(&mut fresh, A, &run_of(LONG)[..end]);
    close(&got, &want);
    still_works(&mut context, tiny, params);
}

#[test]
fn a_long_decode_of_a_plain_cache_stopped_by_another_thread() {
    survives(|| resumes(&tiny::llama(), &long()));
}

#[test]
fn a_long_decode_of_a_sliding_window_stopped_by_another_thread() {
    survives(|| resumes(&tiny::gemma3(), &long()));
}

#[test]
fn a_long_decode_of_a_recurrent_state_stopped_by_another_thread() {
    survives(|| resumes(&tiny::mamba(), &long()));
}

#[test]
fn a_long_decode_of_a_hybrid_memory_stopped_by_another_thread() {
    survives(|| resumes(&tiny::lfm2(), &long()));
}

#[test]
fn neighbours_of_an_aborted_sequence_are_untouched() {
    survives(|| {
        for tiny in tiny::every_memory() {
            let params = long().sequences(2);
            let mut context = context(&tiny, &params);
            let other = SeqId(1);
            decode(&mut context, other, &run_of(20));
            let mut batch = Batch::new();
            batch.add_run(&run_of(LONG), 0, A, Outputs::None);
            let handle = context.abort_handle();
            let aborter = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(5));
                handle.abort();
            });
            let done = context.decode(&batch).unwrap();
            aborter.join().unwrap();
            if done == Decoded::Done {
                let mut next = Batch::new();
                next.add_run(&run_of(1), LONG as i32, A, Outputs::None);
                assert!(matches!(
                    context.decode(&next).unwrap(),
                    Decoded::Aborted { .. }
                ));
            }
            assert_eq!(context.kv_cache().len(other), 20);
            let got = decode(&mut context, other, &run_of(3));
            let tokens = [run_of(20), run_of(3)].concat();
            close(
                &got,
                &decode(&mut crate::context(&tiny, &params), A, &tokens),
            );
        }
    });
}
