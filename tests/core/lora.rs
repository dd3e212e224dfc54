//! Adapters: loading, scales, swapping, and whose they are.

use llamakit::{Context, ErrorKind, LoraAdapter};
use llamakit_testkit::tiny;

use crate::{
    A, assert_close, context, decode, difference, every_memory, load, params, refused, run_of,
};

fn again(context: &mut Context) -> Vec<f32> {
    context.kv_cache_mut().clear().unwrap();
    decode(context, A, &run_of(12, 1))
}

#[test]
fn an_adapter_changes_what_the_model_says_by_its_scale() {
    for tiny in every_memory() {
        let mut context = context(&tiny, &params());
        let model = context.model().clone();
        let one = LoraAdapter::load(&model, tiny::lora(&tiny, 4, "one").path()).unwrap();
        let two = LoraAdapter::load(&model, tiny::lora(&tiny, 2, "two").path()).unwrap();
        let without = again(&mut context);
        let mut with = |adapters: &[(LoraAdapter, f32)]| {
            context.set_lora_adapters(adapters).unwrap();
            assert_eq!(context.lora_adapters().len(), adapters.len());
            again(&mut context)
        };
        let first = with(&[(one.clone(), 1.0)]);
        assert!(difference(&first, &without) > 0.05, "{}", tiny.name());
        assert_close(&with(&[(one.clone(), 0.0)]), &without, "scale 0");
        let second = with(&[(two.clone(), 1.0)]);
        assert!(difference(&first, &second) > 0.05, "{}", tiny.name());
        let both = with(&[(one.clone(), 1.0), (two.clone(), 1.0)]);
        assert!(difference(&both, &first) > 0.05 && difference(&both, &second) > 0.05);
        assert!(difference(&with(&[(one.clone(), 0.5)]), &first) > 0.01);
        assert_close(&with(&[(one, 1.0)]), &first, "swapped back");
        assert_close(&with(&[]), &without, "detached");
        assert_eq!(two.invocation_tokens().unwrap(), []);
    }
}

#[test]
fn adapters_may_be_swapped_in_the_middle_of_a_sequence() {
    let tiny = tiny::llama();
    let mut context = context(&tiny, &params());
    let adapter = LoraAdapter::load(context.model(), tiny::lora(&tiny, 4, "a").path()).unwrap();
    decode(&mut context, A, &run_of(5, 1));
    context
        .set_lora_adapters(&[(adapter.clone(), 1.0)])
        .unwrap();
    refused(
        context.logits(4),
        ErrorKind::InvalidArgument,
        &["0 entries"],
    );
    decode(&mut context, A, &run_of(5, 2));
    context.set_lora_adapters(&[]).unwrap();
    drop(adapter);
    decode(&mut context, A, &run_of(5, 3));
    assert_eq!(context.kv_cache().len(A), 15);
}

#[test]
fn two_contexts_share_an_adapter_at_their_own_scales() {
    let tiny = tiny::llama();
    let model = load(&tiny);
    let adapter = LoraAdapter::load(&model, tiny::lora(&tiny, 4, "a").path()).unwrap();
    let mut one = Context::new(&model, &params()).unwrap();
    let mut two = Context::new(&model, &params()).unwrap();
    let plain = again(&mut two);
    one.set_lora_adapters(&[(adapter.clone(), 1.0)]).unwrap();
    assert_close(&again(&mut two), &plain, "the other context");
    two.set_lora_adapters(&[(adapter, 1.0)]).unwrap();
    assert_close(&again(&mut two), &again(&mut one), "both");
}

#[test]
fn adapters_of_other_models_are_refused() {
    let tiny = tiny::llama();
    let mut context = context(&tiny, &params());
    let other = load(&tiny);
    let foreign = LoraAdapter::load(&other, tiny::lora(&tiny, 4, "a").path()).unwrap();
    let before = again(&mut context);
    let result = context.set_lora_adapters(&[(foreign, 1.0)]);
    refused(result, ErrorKind::Adapter, &["adapter 0", "another model"]);
    let own = LoraAdapter::load(context.model(), tiny::lora(&tiny, 4, "a").path()).unwrap();
    for scale in [f32::NAN, f32::INFINITY] {
        let result = context.set_lora_adapters(&[(own.clone(), scale)]);
        refused(result, ErrorKind::InvalidArgument, &["scale of adapter 0"]);
    }
    let twice = context.set_lora_adapters(&[(own.clone(), 1.0), (own, 0.5)]);
    refused(twice, ErrorKind::InvalidArgument, &["adapter 1", "twice"]);
    assert_close(&again(&mut context), &before, "unchanged");
    for model in [tiny::mamba(), tiny::gemma3()] {
        let path = tiny::lora(&tiny::llama(), 4, "a").path();
        let error = LoraAdapter::load(&load(&model), &path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Adapter, "{error}");
        assert_eq!(error.path(), Some(path.as_path()));
    }
}

#[test]
fn damaged_adapters_are_refused_and_the_model_stays_usable() {
    let tiny = tiny::llama();
    let model = load(&tiny);
    let good = || tiny::lora(&tiny, 4, "a");
    let refuse = |adapter: tiny::Tiny, kind: ErrorKind, word: &str| {
        refused(LoraAdapter::load(&model, adapter.path()), kind, &[word]);
    };
    let invalid = ErrorKind::InvalidGguf;
    refuse(good().with("general.type", 5_u32), invalid, "general.type");
    refuse(
        good().with("adapter.lora.alpha", 5_u32),
        invalid,
        "adapter.lora.alpha",
    );
    refuse(
        good().with("adapter.type", "control_vector"),
        ErrorKind::Unsupported,
        "adapter.type",
    );
    refuse(
        good().with("general.type", "model"),
        ErrorKind::Unsupported,
        "general.type",
    );
    refuse(
        good().without_tensor("blk.0.attn_q.weight.lora_b"),
        invalid,
        "blk.0.attn_q.weight",
    );
    refuse(
        good().with("general.architecture", "mamba"),
        ErrorKind::Adapter,
        "",
    );
    refused(
        LoraAdapter::load(&model, tiny.path()),
        invalid,
        &["general.type"],
    );
    refused(
        LoraAdapter::load(&model, "/no/such/file"),
        ErrorKind::Io,
        &["/no/such/file"],
    );
    let bytes = good().bytes();
    let path = std::env::temp_dir().join(format!("llamakit-lora-{}.gguf", std::process::id()));
    for cut in [0, 20, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        refused(LoraAdapter::load(&model, &path), invalid, &[]);
    }
    std::fs::remove_file(&path).unwrap();
    let adapter = LoraAdapter::load(&model, good().path()).unwrap();
    let mut context = Context::new(&model, &params()).unwrap();
    context.set_lora_adapters(&[(adapter, 1.0)]).unwrap();
    again(&mut context);
}
