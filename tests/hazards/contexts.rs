//! Context parameters and thread counts that upstream asserts on or reads out of bounds with.

use llamakit::{Context, ContextParams, ErrorKind, FlashAttention, KvType, Model, ModelParams};
use llamakit_testkit::tiny;

use crate::{context, load, params, refused, still_works, survives};

#[track_caller]
fn creation_refused(params: &ContextParams, kind: ErrorKind, word: &str) {
    survives(|| refused(Context::new(&load(&tiny::llama()), params), kind, &[word]));
}

#[test]
fn more_sequences_than_the_batch_has_tokens() {
    let params = params().sequences(8).batch_size(4);
    creation_refused(&params, ErrorKind::InvalidArgument, "sequences");
}

#[test]
fn more_sequences_than_outputs() {
    let params = params().sequences(8).outputs_max(2);
    creation_refused(&params, ErrorKind::InvalidArgument, "sequences");
}

#[test]
fn more_sequences_than_upstream_has_places_for() {
    creation_refused(
        &params().sequences(257),
        ErrorKind::InvalidArgument,
        "sequences",
    );
}

#[test]
fn a_batch_of_no_tokens() {
    creation_refused(
        &params().batch_size(0),
        ErrorKind::InvalidArgument,
        "batch_size",
    );
}

#[test]
fn a_micro_batch_of_no_tokens() {
    creation_refused(
        &params().micro_batch_size(0),
        ErrorKind::InvalidArgument,
        "micro_batch_size",
    );
}

#[test]
fn a_context_of_a_billion_cells() {
    creation_refused(
        &params().context_length(1 << 30),
        ErrorKind::InvalidArgument,
        "context_length",
    );
    creation_refused(
        &params().context_length(u32::MAX),
        ErrorKind::InvalidArgument,
        "context_length",
    );
}

#[test]
fn quantized_values_without_fused_attention() {
    let params = params()
        .flash_attention(FlashAttention::Off)
        .kv_types(KvType::F16, KvType::Q4_0);
    creation_refused(&params, ErrorKind::InvalidArgument, "kv_types");
}

#[test]
fn cache_blocks_that_do_not_divide_a_head() {
    survives(|| {
        // Heads of 16: a block of a quantized type has 32 values.
        let tiny = tiny::llama()
            .with("llama.attention.head_count", 8_u32)
            .with("llama.attention.head_count_kv", 4_u32)
            .with("llama.attention.key_length", 16_u32)
            .with("llama.attention.value_length", 16_u32)
            .with("llama.rope.dimension_count", 16_u32);
        let model = load(&tiny);
        let quantized = params().kv_types(KvType::Q8_0, KvType::Q8_0);
        let error = Context::new(&model, &quantized).unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::ContextCreation | ErrorKind::InvalidArgument
            ),
            "{error}"
        );
        still_works(
            &mut Context::new(&model, &params()).unwrap(),
            &tiny,
            &params(),
        );
    });
}

#[test]
fn computing_with_a_vocabulary() {
    survives(|| {
        let model = ModelParams::new().vocab_only(true);
        let model = Model::load(tiny::llama().path(), &model).unwrap();
        refused(
            Context::new(&model, &params()),
            ErrorKind::Unsupported,
            &["vocabulary only"],
        );
    });
}

#[test]
fn pools_of_no_threads() {
    survives(|| {
        let tiny = tiny::llama();
        let mut context = context(&tiny, &params());
        for (one, batch) in [(0, 1), (1, 0), (513, 1), (1, u32::MAX)] {
            refused(
                context.set_threads(one, batch),
                ErrorKind::InvalidArgument,
                &["threads"],
            );
        }
        still_works(&mut context, &tiny, &params());
        let none = Context::new(context.model(), &params().threads(0));
        refused(none, ErrorKind::InvalidArgument, &["threads"]);
    });
}

#[test]
fn the_most_threads_there_may_be() {
    survives(|| {
        let tiny = tiny::llama();
        let mut context = context(&tiny, &params());
        context.set_threads(2, 64).unwrap();
        context.set_threads(1, 1).unwrap();
        still_works(&mut context, &tiny, &params());
    });
}

#[test]
fn a_pooled_context_whose_batch_the_sequences_do_not_divide() {
    survives(|| {
        for sequences in [1, 2, 3, 5, 7, 64] {
            let params = ContextParams::new()
                .context_length(128)
                .batch_size(64)
                .sequences(sequences)
                .embeddings(true)
                .threads(2);
            let mut context = context(&tiny::bert(), &params);
            let inputs = vec![crate::run_of(9); 8];
            let rows = context.embed(&inputs).unwrap();
            assert!(rows.cosine(0, 7).unwrap() > 0.9999);
        }
    });
}
