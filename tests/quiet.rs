//! Not a byte on stdout or stderr from the library, whatever happens; upstream's log goes to
//! `tracing`. A binary of its own, because subscribers are global to a process.

#![cfg(feature = "inference")]

use std::sync::atomic::{AtomicUsize, Ordering};

use llamakit::{Context, ContextParams, LoraAdapter, Model, ModelParams, Sampler, Token};
use llamakit_testkit::subprocess::{self, Outcome};
use llamakit_testkit::tiny::{self, Tiny};

fn generate(tiny: &Tiny) {
    let model = Model::load(tiny.path(), &ModelParams::new()).unwrap();
    let params = ContextParams::new().context_length(256).threads(2);
    let mut context = Context::new(&model, &params).unwrap();
    context.warm_up().unwrap();
    let prompt: Vec<Token> = (20..60).map(Token).collect();
    let mut sampler = Sampler::greedy();
    let run = context
        .generate(&prompt, &mut sampler)
        .unwrap()
        .max_tokens(8);
    run.for_each(|piece| drop(piece.unwrap()));
    context.timings().unwrap();
    context.memory().unwrap();
    llamakit::devices().unwrap();
    llamakit::system_info().unwrap();
}

fn assert_silent(outcome: Outcome) {
    let outcome = outcome.expect_success();
    assert!(
        outcome.stdout.is_empty() && outcome.stderr.is_empty(),
        "{outcome}"
    );
}

#[test]
fn loading_and_generating_is_silent() {
    assert_silent(subprocess::run("quiet", || {
        for tiny in tiny::every_memory() {
            generate(&tiny);
        }
    }));
}

#[test]
fn failing_is_silent() {
    assert_silent(subprocess::run("quiet", || {
        let params = ModelParams::new();
        let good = tiny::llama();
        Model::load("/no/such/file", &params).unwrap_err();
        Model::load(
            good.clone().with("llama.block_count", 0_u32).path(),
            &params,
        )
        .unwrap_err();
        // Upstream itself refuses these and says so in its log.
        let odd = good.clone().with("general.architecture", "no-such-arch");
        Model::load(odd.path(), &params).unwrap_err();
        let model = Model::load(good.path(), &params).unwrap();
        let foreign = tiny::lora(&tiny::mamba(), 4, "a");
        LoraAdapter::load(&model, foreign.path()).unwrap_err();
        let quantized = ContextParams::new().context_length(0);
        Context::new(&model, &quantized).unwrap_err();
        let mut context = Context::new(&model, &ContextParams::new().threads(1)).unwrap();
        let mut sampler = Sampler::greedy();
        context
            .generate(&[Token(-1)][..], &mut sampler)
            .map(drop)
            .unwrap_err();
    }));
}

/// Counts events of upstream's target.
struct Count;

static EVENTS: AtomicUsize = AtomicUsize::new(0);

impl tracing::Subscriber for Count {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        if event.metadata().target() == "llamakit::upstream" {
            EVENTS.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn upstreams_log_reaches_a_subscriber() {
    assert_silent(subprocess::run("quiet", || {
        tracing::subscriber::set_global_default(Count).unwrap();
        generate(&tiny::llama());
        assert!(EVENTS.load(Ordering::Relaxed) > 10);
    }));
}

#[test]
fn a_subscriber_that_panics_does_no_harm() {
    struct Angry;

    impl tracing::Subscriber for Angry {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            metadata.target() == "llamakit::upstream"
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, _: &tracing::Event<'_>) {
            std::panic::resume_unwind(Box::new("no"));
        }

        fn enter(&self, _: &tracing::span::Id) {}

        fn exit(&self, _: &tracing::span::Id) {}
    }

    assert_silent(subprocess::run("quiet", || {
        tracing::subscriber::set_global_default(Angry).unwrap();
        generate(&tiny::llama());
    }));
}
