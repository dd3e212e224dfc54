//! Models with a table of learned positions refuse inputs that go past its end.

#![cfg(feature = "inference")]

use llamakit::{
    Batch, Context, ContextParams, ErrorKind, Model, ModelParams, Outputs, Pooling, Result, SeqId,
    Token,
};
use llamakit_testkit::tiny;

/// Rows of `position_embd.weight` in the tiny bert.
const POSITIONS: usize = 128;

fn context(pooling: Pooling) -> Context {
    let model = Model::load(tiny::bert().path(), &ModelParams::new()).unwrap();
    let params = ContextParams::new()
        .context_length(1024)
        .batch_size(1024)
        .micro_batch_size(1024)
        .embeddings(true)
        .pooling(pooling)
        .threads(1);
    Context::new(&model, &params).unwrap()
}

#[track_caller]
fn refused<T>(result: Result<T>) {
    let error = result.err().expect("accepted");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(error.to_string().contains("128"), "{error}");
}

#[test]
fn embed_takes_as_many_tokens_as_there_are_positions() {
    let mut context = context(Pooling::Mean);
    context.embed(&[vec![Token(20); POSITIONS]]).unwrap();
    refused(context.embed(&[vec![Token(20); POSITIONS + 1]]));
    refused(context.embed(&[vec![Token(20); 512]]));
    context.embed(&[[Token(20)]]).unwrap();
}

#[test]
fn a_batch_past_the_last_position_is_refused() {
    for count in [POSITIONS + 1, 512] {
        let mut batch = Batch::new();
        batch.add_run(&vec![Token(20); count], 0, SeqId(0), Outputs::All);
        refused(context(Pooling::None).decode(&batch));
        refused(context(Pooling::None).encode(&batch));
    }
}
