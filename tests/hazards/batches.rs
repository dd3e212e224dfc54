//! Batches that make upstream abort, read out of bounds, or accept what is wrong.

use llamakit::{
    Attention, Batch, Context, ContextParams, Decoded, ErrorKind, Outputs, Pooling, SeqId, Token,
};
use llamakit_testkit::tiny;

use crate::{A, B, context, decode, load, params, refused, run_of, still_works, survives};

/// A batch that a context of the dense model must refuse, naming `words`, unchanged.
#[track_caller]
fn batch_refused(params: &ContextParams, words: &[&str], fill: impl Fn(&mut Batch)) {
    survives(|| {
        let tiny = tiny::llama();
        let mut context = context(&tiny, params);
        decode(&mut context, A, &run_of(3));
        let mut batch = Batch::new();
        fill(&mut batch);
        refused(context.decode(&batch), ErrorKind::InvalidArgument, words);
        assert_eq!(context.kv_cache().used(), 3);
        still_works(&mut context, &tiny, params);
    });
}

#[test]
fn an_empty_batch() {
    batch_refused(&params(), &["empty"], |_| {});
}

#[test]
fn more_tokens_than_the_batch_size() {
    batch_refused(&params().batch_size(64), &["65 tokens", "64"], |batch| {
        batch.add_run(&run_of(65), 3, A, Outputs::Last);
    });
}

#[test]
fn more_outputs_than_agreed() {
    batch_refused(&params().outputs_max(2), &["8 outputs", "2"], |batch| {
        batch.add_run(&run_of(8), 3, A, Outputs::All);
    });
}

#[test]
fn an_entry_of_no_sequence() {
    batch_refused(&params(), &["entry 0", "no sequence"], |batch| {
        batch.add(Token(20), 3, &[], true);
    });
}

#[test]
fn tokens_that_do_not_exist() {
    let n_vocab = load(&tiny::llama()).vocab().n_tokens() as i32;
    for id in [-1, n_vocab, 1_000_000, i32::MIN, i32::MAX] {
        batch_refused(&params(), &["entry 1", &format!("token {id}")], |batch| {
            batch.add_run(&[Token(20), Token(id)], 3, A, Outputs::Last);
        });
    }
}

#[test]
fn sequences_that_do_not_exist() {
    for seq in [1, 300, u32::MAX] {
        batch_refused(&params(), &["entry 1", "does not exist"], |batch| {
            batch.add(Token(20), 3, &[A], false);
            batch.add(Token(20), 0, &[SeqId(seq)], true);
        });
    }
}

#[test]
fn the_same_sequence_twice_in_an_entry() {
    batch_refused(&params(), &["entry 0", "twice"], |batch| {
        batch.add(Token(20), 3, &[A, A], true);
    });
}

#[test]
fn positions_that_leave_a_gap_repeat_descend_or_are_negative() {
    for positions in [
        [4, 5],
        [3, 3],
        [3, 5],
        [4, 3],
        [0, 1],
        [-1, 0],
        [3, -1],
        [i32::MAX, 0],
    ] {
        batch_refused(&params(), &["position"], |batch| {
            for position in positions {
                batch.add(Token(20), position, &[A], false);
            }
        });
    }
}

#[test]
fn an_empty_sequence_that_does_not_start_at_zero() {
    for position in [-1, 1, 5] {
        batch_refused(
            &params().sequences(2),
            &["position of sequence 1"],
            |batch| {
                batch.add(Token(20), position, &[B], true);
            },
        );
    }
}

#[test]
fn sequences_that_are_joined_after_they_went_apart() {
    survives(|| {
        let tiny = tiny::llama();
        let params = params().sequences(2);
        let mut context = context(&tiny, &params);
        decode(&mut context, A, &run_of(3));
        decode(&mut context, B, &run_of(3)[..2]);
        let mut batch = Batch::new();
        batch.add(Token(20), 3, &[A, B], true);
        refused(
            context.decode(&batch),
            ErrorKind::InvalidArgument,
            &["sequence 1"],
        );
        decode(&mut context, B, &[Token(99)]);
        // Different histories of one length: whatever upstream says, nothing breaks.
        match context.decode(&batch) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}"),
        }
        still_works(&mut context, &tiny, &params);
    });
}

#[test]
fn a_token_shared_by_separate_streams() {
    let params = params().sequences(2).context_length(512).unified(false);
    batch_refused(&params, &["entry 0", "unified"], |batch| {
        batch.add(Token(20), 3, &[A, B], true);
    });
}

#[test]
fn attention_both_ways_over_more_than_a_micro_batch() {
    survives(|| {
        for (tiny, params) in [
            (tiny::llama(), params().attention(Attention::NonCausal)),
            (tiny::bert(), params()),
        ] {
            let params = params.batch_size(64).micro_batch_size(32);
            let mut context = context(&tiny, &params);
            let mut batch = Batch::new();
            batch.add_run(&run_of(40), 0, A, Outputs::None);
            match context.decode(&batch) {
                Ok(done) => assert_eq!(done, Decoded::Done),
                Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}"),
            }
            batch.add_run(&run_of(40), 40, A, Outputs::None);
            let long = context.decode(&batch);
            refused(long, ErrorKind::InvalidArgument, &[]);
        }
    });
}

#[test]
fn embeddings_of_more_tokens_than_outputs() {
    survives(|| {
        let params = params()
            .batch_size(64)
            .outputs_max(2)
            .embeddings(true)
            .pooling(Pooling::Mean);
        let mut context = context(&tiny::llama(), &params);
        let rows = context.embed(&[run_of(20)]).unwrap();
        assert!(rows.get(0).unwrap().iter().all(|x| x.is_finite()));
    });
}

#[test]
fn encoding_with_a_decoder() {
    survives(|| {
        for tiny in tiny::every_memory() {
            let mut context = context(&tiny, &params());
            let mut batch = Batch::new();
            batch.add_run(&run_of(3), 0, A, Outputs::Last);
            refused(
                context.encode(&batch),
                ErrorKind::Unsupported,
                &["no encoder"],
            );
            still_works(&mut context, &tiny, &params());
        }
    });
}

#[test]
fn decoding_before_encoding() {
    survives(|| {
        let mut context = context(&tiny::t5(), &params());
        let mut batch = Batch::new();
        batch.add(Token(0), 0, &[A], true);
        refused(
            context.decode(&batch),
            ErrorKind::InvalidArgument,
            &["encoder"],
        );
        let long = params().batch_size(64).micro_batch_size(16);
        let mut short = Context::new(context.model(), &long).unwrap();
        let mut batch = Batch::new();
        batch.add_run(&run_of(40), 0, A, Outputs::None);
        refused(
            short.encode(&batch),
            ErrorKind::InvalidArgument,
            &["40 tokens", "16"],
        );
    });
}

#[test]
fn rows_that_were_not_asked_for() {
    survives(|| {
        let mut context = context(&tiny::llama(), &params());
        refused(context.logits(0), ErrorKind::InvalidArgument, &["entry 0"]);
        let mut batch = Batch::new();
        batch.add_run(&run_of(3), 0, A, Outputs::Last);
        assert_eq!(context.decode(&batch).unwrap(), Decoded::Done);
        refused(
            context.logits(0),
            ErrorKind::InvalidArgument,
            &["entry 0", "output"],
        );
        refused(context.logits(3), ErrorKind::InvalidArgument, &["entry 3"]);
        refused(
            context.logits(usize::MAX),
            ErrorKind::InvalidArgument,
            &["entry"],
        );
        refused(
            context.embedding(2),
            ErrorKind::Unsupported,
            &["embeddings"],
        );
        refused(
            context.pooled_embedding(A),
            ErrorKind::Unsupported,
            &["embeddings"],
        );
        // Upstream would hand out the old row after a batch that failed.
        batch.clear();
        batch.add(Token(-1), 3, &[A], true);
        refused(
            context.decode(&batch),
            ErrorKind::InvalidArgument,
            &["token -1"],
        );
    });
}
