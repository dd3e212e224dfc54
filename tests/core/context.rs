//! Decoding batches: sequences, chunks, outputs, threads, cache types and what contexts refuse.

use llamakit::{
    Batch, Context, ContextParams, Decoded, ErrorKind, FlashAttention, KvType, Model, Outputs,
    Pooling, SeqId, Token,
};
use llamakit_testkit::tiny;

use crate::{
    A, B, assert_close, assert_within, context, decode, every_memory, fresh_logits, load, params,
    record, refused, run_of,
};

#[test]
fn contexts_move_between_threads_and_models_are_shared() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<Context>();
    send::<Model>();
    sync::<Model>();
    send::<llamakit::Vocab>();
    sync::<llamakit::Vocab>();
    send::<llamakit::LoraAdapter>();
    sync::<llamakit::LoraAdapter>();
    send::<llamakit::AbortHandle>();
    sync::<llamakit::AbortHandle>();
    send::<llamakit::Sampler>();
    send::<llamakit::Checkpoint>();
    send::<llamakit::Error>();
    sync::<llamakit::Error>();
}

#[test]
fn a_context_is_used_by_one_thread_at_a_time() {
    /// Has two ways to `only` for a type that is `Sync`, so that this compiles for others alone.
    trait NotSync<Way> {
        fn only() {}
    }
    impl<T> NotSync<()> for T {}
    impl<T: Sync> NotSync<u8> for T {}
    <Context as NotSync<_>>::only();
    <llamakit::KvCache as NotSync<_>>::only();
}

#[test]
fn several_sequences_in_one_batch_do_not_see_each_other() {
    for tiny in every_memory().into_iter().chain([tiny::moe()]) {
        for unified in [true, false] {
            let mut context = context(
                &tiny,
                &params().sequences(3).context_length(768).unified(unified),
            );
            let runs = [run_of(11, 1), run_of(7, 2), run_of(11, 3)];
            let mut batch = Batch::new();
            for (run, seq) in runs.iter().zip(0..) {
                batch.add_run(run, 0, SeqId(seq), Outputs::Last);
            }
            assert_eq!(context.decode(&batch).unwrap(), Decoded::Done);
            let mut end = 0;
            for (run, seq) in runs.iter().zip(0..) {
                end += run.len();
                let want = fresh_logits(&tiny, &params(), run);
                let what = format!("{} unified {unified} sequence {seq}", tiny.name());
                assert_close(context.logits(end - 1).unwrap(), &want, &what);
            }
            // Each goes on by itself.
            for (run, seq) in runs.iter().zip(0..) {
                let next = run_of(3, 9);
                let got = decode(&mut context, SeqId(seq), &next);
                let want = fresh_logits(&tiny, &params(), &[&run[..], &next].concat());
                assert_close(&got, &want, tiny.name());
            }
        }
    }
}

#[test]
fn tokens_interleaved_in_a_batch_stay_in_their_sequences() {
    for tiny in every_memory() {
        let mut context = context(&tiny, &params().sequences(2));
        let (a, b) = (run_of(9, 1), run_of(9, 2));
        let mut batch = Batch::new();
        for (place, (&a, &b)) in a.iter().zip(&b).enumerate() {
            batch.add(a, place as i32, &[A], place == 8);
            batch.add(b, place as i32, &[B], place == 8);
        }
        assert_eq!(context.decode(&batch).unwrap(), Decoded::Done);
        assert!(context.kv_cache().tokens(A).eq(a.iter().copied()));
        assert!(context.kv_cache().tokens(B).eq(b.iter().copied()));
        for (index, run) in [(16, &a), (17, &b)] {
            let want = fresh_logits(&tiny, &params(), run);
            assert_close(context.logits(index).unwrap(), &want, tiny.name());
        }
    }
}

#[test]
fn a_token_in_two_sequences_is_shared() {
    let tiny = tiny::llama();
    let mut context = context(&tiny, &params().sequences(2));
    let shared = run_of(6, 1);
    let mut batch = Batch::new();
    for (&token, place) in shared.iter().zip(0..) {
        batch.add(token, place, &[A, B], false);
    }
    assert_eq!(context.decode(&batch).unwrap(), Decoded::Done);
    assert_eq!(context.kv_cache().used(), 6);
    for (seq, seed) in [(A, 2), (B, 3)] {
        let own = run_of(4, seed);
        let got = decode(&mut context, seq, &own);
        let want = fresh_logits(&tiny, &params(), &[&shared[..], &own].concat());
        assert_close(&got, &want, "own part");
    }
    assert_eq!(context.kv_cache().used(), 14);
}

#[test]
fn chunks_of_any_size_compute_what_one_batch_does() {
    for tiny in every_memory()
        .into_iter()
        .chain([tiny::moe(), tiny::llama_spm()])
    {
        let tokens = run_of(90, 4);
        let want = fresh_logits(&tiny, &params(), &tokens);
        for size in [1, 7, 64] {
            let mut context = context(&tiny, &params());
            let last = tokens
                .chunks(size)
                .map(|chunk| decode(&mut context, A, chunk))
                .last();
            assert_close(&last.unwrap(), &want, &format!("{} by {size}", tiny.name()));
        }
        let mut micro = context(&tiny, &params().micro_batch_size(16));
        assert_close(
            &decode(&mut micro, A, &tokens),
            &want,
            &format!("{} micro", tiny.name()),
        );
    }
}

#[test]
fn outputs_are_exactly_what_was_asked_for() {
    for tiny in every_memory() {
        let mut context = context(&tiny, &params());
        let tokens = run_of(6, 5);
        let mut batch = Batch::new();
        for (&token, place) in tokens.iter().zip(0..) {
            batch.add(token, place, &[A], place % 2 == 1);
        }
        assert_eq!(context.decode(&batch).unwrap(), Decoded::Done);
        for (index, place) in (0..6).enumerate() {
            if place % 2 == 1 {
                let row = context.logits(index).unwrap();
                assert_eq!(row.len(), context.model().vocab().n_tokens());
                let want = fresh_logits(&tiny, &params(), &tokens[..=index]);
                assert_close(row, &want, &format!("{} entry {index}", tiny.name()));
            } else {
                let row = context.logits(index);
                refused(row, ErrorKind::InvalidArgument, &["not marked for output"]);
            }
        }
        refused(context.logits(6), ErrorKind::InvalidArgument, &["entry 6"]);
        refused(
            context.logits(usize::MAX),
            ErrorKind::InvalidArgument,
            &["entry"],
        );
    }
}

#[test]
fn outputs_end_with_a_decode_that_fails() {
    let mut context = context(&tiny::llama(), &params());
    refused(
        context.logits(0),
        ErrorKind::InvalidArgument,
        &["0 entries"],
    );
    decode(&mut context, A, &run_of(3, 1));
    assert!(context.logits(2).is_ok());
    context.abort_handle().abort();
    let mut batch = Batch::new();
    batch.add_run(&run_of(1, 2), 3, A, Outputs::Last);
    assert_eq!(
        context.decode(&batch).unwrap(),
        Decoded::Aborted { stored: 0 }
    );
    refused(
        context.logits(2),
        ErrorKind::InvalidArgument,
        &["0 entries"],
    );
    refused(
        context.logits(0),
        ErrorKind::InvalidArgument,
        &["0 entries"],
    );
}

#[test]
fn cache_types_are_close_to_exact() {
    let tokens = run_of(60, 6);
    for tiny in [tiny::llama(), tiny::gemma3(), tiny::lfm2()] {
        let exact = params().kv_types(KvType::F32, KvType::F32);
        let want = fresh_logits(&tiny, &exact, &tokens);
        let spread = want.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        for (kind, tolerance) in [
            (KvType::F16, 0.002),
            (KvType::Bf16, 0.02),
            (KvType::Q8_0, 0.02),
            (KvType::Q5_1, 0.1),
            (KvType::Q4_0, 0.3),
            (KvType::Iq4Nl, 0.3),
        ] {
            let got = fresh_logits(&tiny, &params().kv_types(kind, kind), &tokens);
            let what = format!("{} {kind:?}", tiny.name());
            assert_within(&got, &want, tolerance * spread, &what);
            if kind != KvType::F16 {
                assert_ne!(got, want, "{what} was not used");
            }
        }
        let off = params().flash_attention(FlashAttention::Off);
        assert_close(
            &fresh_logits(&tiny, &off, &tokens),
            &fresh_logits(&tiny, &params(), &tokens),
            "flash",
        );
    }
}

#[test]
fn threads_change_while_a_context_is_in_use() {
    for tiny in every_memory() {
        let mut context = context(&tiny, &params());
        let tokens = run_of(25, 7);
        let want = fresh_logits(&tiny, &params(), &tokens);
        let mut last = Vec::new();
        for (chunk, threads) in tokens
            .chunks(5)
            .zip([(2, 2), (1, 3), (4, 1), (1, 1), (3, 2)].iter().cycle())
        {
            context.set_threads(threads.0, threads.1).unwrap();
            assert_eq!(context.threads(), *threads);
            last = decode(&mut context, A, chunk);
        }
        assert_close(&last, &want, tiny.name());
        let before = context.threads();
        for (threads, batch) in [(0, 1), (1, 0), (513, 1), (1, 513), (u32::MAX, 1)] {
            refused(
                context.set_threads(threads, batch),
                ErrorKind::InvalidArgument,
                &["threads"],
            );
        }
        assert_eq!(context.threads(), before, "{}", tiny.name());
        decode(&mut context, A, &run_of(2, 1));
    }
}

#[test]
fn two_contexts_compute_at_the_same_time_on_one_model() {
    let model = load(&tiny::llama());
    let want = fresh_logits(&tiny::llama(), &params(), &run_of(40, 8));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut context = Context::new(&model, &params().threads(2)).unwrap();
                for _ in 0..10 {
                    context.kv_cache_mut().clear().unwrap();
                    assert_close(
                        &decode(&mut context, A, &run_of(40, 8)),
                        &want,
                        "own context",
                    );
                }
            });
        }
    });
}

#[test]
fn a_context_goes_on_in_another_thread() {
    let tiny = tiny::llama();
    let mut context = context(&tiny, &params());
    decode(&mut context, A, &run_of(10, 1));
    let got = std::thread::spawn(move || decode(&mut context, A, &run_of(5, 2)))
        .join()
        .unwrap();
    let tokens = [run_of(10, 1), run_of(5, 2)].concat();
    assert_close(&got, &fresh_logits(&tiny, &params(), &tokens), "moved");
}

#[test]
fn timings_count_tokens_and_start_again() {
    let mut context = context(&tiny::llama(), &params());
    decode(&mut context, A, &run_of(20, 1));
    decode(&mut context, A, &run_of(1, 2));
    decode(&mut context, A, &run_of(1, 3));
    let timings = context.timings().unwrap();
    assert_eq!((timings.prefill_tokens, timings.decode_tokens), (20, 2));
    assert!(!timings.prefill.is_zero() && !timings.decode.is_zero());
    context.reset_timings().unwrap();
    let timings = context.timings().unwrap();
    assert_eq!((timings.prefill_tokens, timings.decode_tokens), (0, 0));
    assert!(timings.prefill.is_zero() && timings.decode.is_zero());
}

#[test]
fn memory_is_accounted_for() {
    let model = load(&tiny::llama());
    let total = |length: u32| {
        let context = Context::new(&model, &params().context_length(length)).unwrap();
        let memory = context.memory().unwrap();
        assert!(
            memory
                .iter()
                .all(|m| m.is_host && !m.buffer_type.is_empty()),
            "{memory:?}"
        );
        let sum = |f: fn(&llamakit::MemoryUse) -> u64| memory.iter().map(f).sum::<u64>();
        (sum(|m| m.model), sum(|m| m.context), sum(|m| m.compute))
    };
    let (weights, short, compute) = total(256);
    assert!(weights >= model.size() && compute > 0);
    // 2 layers, keys and values, 2 heads of 32 halves.
    assert_eq!(short, 256 * 2 * 2 * 2 * 32 * 2);
    assert_eq!(total(1024).1, 4 * short);
}

#[test]
fn a_warm_up_leaves_no_trace() {
    for tiny in every_memory()
        .into_iter()
        .chain([tiny::t5(), tiny::bert(), tiny::moe()])
    {
        let mut context = context(&tiny, &params().batch_size(64));
        context.warm_up().unwrap();
        assert!(context.kv_cache().is_empty(), "{}", tiny.name());
        refused(
            context.logits(0),
            ErrorKind::InvalidArgument,
            &["0 entries"],
        );
        assert_eq!(context.timings().unwrap().decode_tokens, 0);
        if !context.model().has_encoder() && tiny.name() != "bert" {
            let want = fresh_logits(&tiny, &params(), &run_of(9, 1));
            assert_close(&decode(&mut context, A, &run_of(9, 1)), &want, tiny.name());
            refused(context.warm_up(), ErrorKind::InvalidArgument, &["empty"]);
        }
    }
}

#[test]
fn an_encoder_decoder_answers_what_its_encoder_read() {
    let model = load(&tiny::t5());
    let answer = |text: &str, separate: bool| {
        let params = params().sequences(if separate { 1 } else { 2 });
        let mut context = Context::new(&model, &params).unwrap();
        let start = model.decoder_start_token().unwrap();
        let mut batch = Batch::new();
        batch.add_run(&[start], 0, A, Outputs::Last);
        refused(
            context.decode(&batch),
            ErrorKind::InvalidArgument,
            &["encoder"],
        );
        let tokens = model.vocab().tokenize(text, true, false).unwrap();
        let mut input = Batch::new();
        input.add_run(&tokens, 0, A, Outputs::None);
        assert_eq!(context.encode(&input).unwrap(), Decoded::Done);
        assert!(context.kv_cache().is_empty());
        assert_eq!(context.decode(&batch).unwrap(), Decoded::Done);
        context.logits(0).unwrap().to_vec()
    };
    assert_eq!(
        answer("the little dog", true),
        answer("the little dog", true)
    );
    assert_ne!(answer("the little dog", true), answer("a cat", true));
    assert_close(&answer("a cat", false), &answer("a cat", true), "sequences");
    let separate = Context::new(&model, &params().sequences(2).unified(false));
    refused(separate, ErrorKind::Unsupported, &["unified"]);
}

#[test]
fn embeddings_of_single_tokens() {
    let tokens = run_of(12, 3);
    for tiny in [
        tiny::llama(),
        tiny::gemma3(),
        tiny::mamba(),
        tiny::lfm2(),
        tiny::bert(),
    ] {
        let params = params()
            .batch_size(64)
            .embeddings(true)
            .pooling(Pooling::None);
        let mut context = context(&tiny, &params);
        assert_eq!(context.pooling(), Pooling::None);
        let mut batch = Batch::new();
        batch.add_run(&tokens, 0, A, Outputs::All);
        assert_eq!(context.decode(&batch).unwrap(), Decoded::Done);
        let rows: Vec<_> = (0..12)
            .map(|i| context.embedding(i).unwrap().to_vec())
            .collect();
        for row in &rows {
            assert_eq!(row.len(), context.model().embedding_length());
            assert!(row.iter().all(|x| x.is_finite()) && row.iter().any(|x| *x != 0.0));
        }
        assert_ne!(rows[0], rows[11]);
        refused(
            context.embedding(12),
            ErrorKind::InvalidArgument,
            &["entry 12"],
        );
        refused(
            context.pooled_embedding(A),
            ErrorKind::Unsupported,
            &["pool"],
        );
    }
    let mut plain = context(&tiny::llama(), &params());
    decode(&mut plain, A, &tokens);
    refused(
        plain.embedding(11),
        ErrorKind::Unsupported,
        &["without embeddings"],
    );
    refused(
        plain.pooled_embedding(A),
        ErrorKind::Unsupported,
        &["without embeddings"],
    );
}

#[test]
fn an_encoder_has_no_logits() {
    let mut context = context(&tiny::bert(), &params().batch_size(64).embeddings(true));
    let mut batch = Batch::new();
    batch.add_run(&run_of(5, 1), 0, A, Outputs::All);
    assert_eq!(context.decode(&batch).unwrap(), Decoded::Done);
    refused(context.logits(4), ErrorKind::Unsupported, &["no logits"]);
}

#[test]
fn parameters_out_of_range_are_named() {
    let model = load(&tiny::llama());
    let p = ContextParams::new;
    let cases: [(ContextParams, &str); 17] = [
        (p().context_length(0), "context_length"),
        (p().context_length(u32::MAX), "context_length"),
        (p().context_length(1 << 28), "context_length"),
        (p().batch_size(0), "batch_size"),
        (p().batch_size(u32::MAX), "batch_size"),
        (p().micro_batch_size(0), "micro_batch_size"),
        (p().sequences(0), "sequences"),
        (p().sequences(257), "sequences"),
        (p().sequences(8).batch_size(4), "sequences"),
        (p().sequences(8).outputs_max(2), "sequences"),
        (p().outputs_max(0), "outputs_max"),
        (p().threads(0), "threads"),
        (p().threads(513), "threads"),
        (p().threads_batch(0), "threads"),
        (p().rope_freq_base(f32::NAN), "rope_freq_base"),
        (p().rope_freq_scale(-1.0), "rope_freq_scale"),
        (
            p().flash_attention(FlashAttention::Off)
                .kv_types(KvType::F16, KvType::Q8_0),
            "kv_types",
        ),
    ];
    for (params, word) in cases {
        refused(
            Context::new(&model, &params),
            ErrorKind::InvalidArgument,
            &[word],
        );
    }
    let rank = p().embeddings(true).pooling(Pooling::Rank);
    refused(
        Context::new(&model, &rank),
        ErrorKind::Unsupported,
        &["pooling"],
    );
    for tiny in [tiny::mamba(), tiny::lfm2()] {
        let params = p().micro_batch_size(1);
        refused(
            Context::new(&load(&tiny), &params),
            ErrorKind::InvalidArgument,
            &["micro_batch_size"],
        );
    }
}

#[test]
fn a_cache_that_cannot_fit_is_refused_before_it_is_allocated() {
    // 128 Mi cells with 128 layers' worth of memory would be terabytes.
    let model = load(&tiny::llama());
    let params = ContextParams::new()
        .context_length(1 << 27)
        .kv_types(KvType::F32, KvType::F32);
    refused(
        Context::new(&model, &params),
        ErrorKind::OutOfMemory,
        &["context_length", "MiB"],
    );
}

#[test]
fn odd_sizes_work() {
    let tiny = tiny::llama();
    let tokens = run_of(3, 1);
    let want = fresh_logits(&tiny, &params(), &tokens);
    for params in [
        ContextParams::new().context_length(1).threads(1),
        ContextParams::new()
            .batch_size(3)
            .micro_batch_size(2)
            .threads(1),
        ContextParams::new()
            .context_length(300)
            .sequences(256)
            .outputs_max(256)
            .threads(1),
        ContextParams::new()
            .context_length(u32::from(u16::MAX))
            .threads(1),
        ContextParams::new().outputs_max(1).threads(1),
    ] {
        let mut context = context(&tiny, &params);
        assert_close(
            &decode(&mut context, A, &tokens),
            &want,
            &format!("{params:?}"),
        );
    }
    let wide = context(&tiny, &ContextParams::new().context_length(257).threads(1));
    assert_eq!(
        (wide.context_length(), wide.kv_cache().capacity()),
        (512, 512)
    );
    let parts = context(
        &tiny,
        &params().sequences(2).context_length(512).unified(false),
    );
    assert_eq!(parts.context_length(), 256);
}

#[test]
fn a_refused_batch_changes_nothing() {
    for tiny in every_memory() {
        let mut context = context(&tiny, &params().sequences(2));
        decode(&mut context, A, &run_of(5, 1));
        let before = record(&context);
        let token = Token(20);
        let mut batch = Batch::new();
        // Starts well and goes wrong at the end.
        batch.add_run(&run_of(4, 2), 5, A, Outputs::Last);
        batch.add(token, 11, &[A], true);
        refused(
            context.decode(&batch),
            ErrorKind::InvalidArgument,
            &["entry 4", "11", "9"],
        );
        assert_eq!(record(&context), before);
        let got = decode(&mut context, A, &run_of(4, 2));
        let tokens = [run_of(5, 1), run_of(4, 2)].concat();
        assert_close(&got, &fresh_logits(&tiny, &params(), &tokens), tiny.name());
    }
}
