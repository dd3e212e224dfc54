//! Models, adapters and paths that make upstream abort while loading or, worse, while computing.

use llamakit::gguf::{Array, TensorType, Value};
use llamakit::{ErrorKind, LoraAdapter, Model, ModelParams};
use llamakit_testkit::tiny::{self, Tiny};

use crate::{context, load, params, refused, still_works, survives};

/// Loading must fail and name `word`; the process and other models go on.
#[track_caller]
fn load_refused(bad: &Tiny, word: &str) {
    survives(|| {
        let path = bad.path();
        let error = Model::load(&path, &ModelParams::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidGguf, "{error}");
        assert_eq!(error.path(), Some(&*path));
        assert!(
            error.message().contains(word),
            "{word:?} is not in: {error}"
        );
        let good = tiny::llama();
        still_works(&mut context(&good, &params()), &good, &params());
    });
}

#[test]
fn counts_of_layers_that_upstream_asserts_on() {
    for count in [0_u32, 513, u32::MAX] {
        load_refused(
            &tiny::llama().with("llama.block_count", count),
            "llama.block_count",
        );
    }
}

#[test]
fn a_token_that_is_there_twice() {
    let tiny = tiny::llama();
    let tokens = tiny
        .keys()
        .iter()
        .find(|(key, _)| key == "tokenizer.ggml.tokens");
    let Some((_, Value::Array(Array::String(mut tokens)))) = tokens.cloned() else {
        panic!("the model has no tokens");
    };
    tokens[70] = tokens[65].clone();
    let bad = tiny.with("tokenizer.ggml.tokens", Value::Array(Array::String(tokens)));
    load_refused(&bad, "token 70 \"A\" occurs twice");
}

#[test]
fn norm_weights_that_are_not_f32() {
    let bad = tiny::llama().map_tensor("blk.0.attn_norm.weight", |tensor| {
        tensor.ty = TensorType::F16;
        tensor.data.truncate(tensor.data.len() / 2);
    });
    load_refused(&bad, "blk.0.attn_norm.weight");
}

#[test]
fn norms_with_an_impossible_epsilon() {
    for epsilon in [-1.0_f32, f32::NAN, f32::INFINITY] {
        let key = "llama.attention.layer_norm_rms_epsilon";
        load_refused(&tiny::llama().with(key, epsilon), "epsilon");
    }
}

#[test]
fn windows_pooling_and_experts_out_of_bounds() {
    load_refused(
        &tiny::gemma3().with("gemma3.attention.sliding_window", i32::MAX as u32),
        "sliding_window",
    );
    load_refused(
        &tiny::bert().with("bert.pooling_type", 77_u32),
        "pooling_type",
    );
    load_refused(
        &tiny::moe().with("llama.expert_used_count", 9_u32),
        "expert",
    );
}

#[test]
fn values_of_the_wrong_type() {
    load_refused(
        &tiny::llama().with("llama.block_count", "two"),
        "llama.block_count",
    );
    load_refused(&tiny::llama().with("split.no", "first"), "split.no");
    load_refused(
        &tiny::llama().without("llama.embedding_length"),
        "llama.embedding_length",
    );
    load_refused(
        &tiny::llama().without_tensor("blk.1.attn_k.weight"),
        "blk.1.attn_k.weight",
    );
}

#[test]
fn files_that_end_too_early() {
    survives(|| {
        let bytes = tiny::llama().bytes();
        let path = std::env::temp_dir().join(format!("llamakit-cut-{}.gguf", std::process::id()));
        for len in [0, 1, 4, 24, 100, 5000, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..len]).unwrap();
            let result = Model::load(&path, &ModelParams::new());
            refused(result, ErrorKind::InvalidGguf, &["llamakit-cut"]);
        }
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn paths_that_lead_nowhere() {
    survives(|| {
        let load = |path: &str| Model::load(path, &ModelParams::new());
        refused(load(""), ErrorKind::Io, &[]);
        refused(load("with\0nul"), ErrorKind::Io, &["nul"]);
        refused(
            load("/no/such/model.gguf"),
            ErrorKind::Io,
            &["/no/such/model.gguf"],
        );
        assert!(load("/").is_err());
        assert!(load("/dev/null").is_err());
    });
}

#[test]
fn adapters_whose_keys_have_the_wrong_type() {
    for key in [
        "general.type",
        "general.architecture",
        "adapter.type",
        "adapter.lora.alpha",
    ] {
        survives(|| {
            let tiny = tiny::llama();
            let model = load(&tiny);
            let bad = tiny::lora(&tiny, 4, "a").with(key, 7_u32);
            refused(
                LoraAdapter::load(&model, bad.path()),
                ErrorKind::InvalidGguf,
                &[key],
            );
            let good = LoraAdapter::load(&model, tiny::lora(&tiny, 4, "a").path()).unwrap();
            let mut context = llamakit::Context::new(&model, &params()).unwrap();
            context.set_lora_adapters(&[(good, 0.0)]).unwrap();
            still_works(&mut context, &tiny, &params());
        });
    }
}

#[test]
fn an_adapter_of_another_model() {
    survives(|| {
        let tiny = tiny::llama();
        let lora = tiny::lora(&tiny, 4, "a");
        let other = load(&tiny.clone().with("general.name", "another"));
        let foreign = LoraAdapter::load(&other, lora.path()).unwrap();
        let mut context = context(&tiny, &params());
        let attached = context.set_lora_adapters(&[(foreign, 1.0)]);
        refused(
            attached,
            ErrorKind::Adapter,
            &["adapter 0", "another model"],
        );
        still_works(&mut context, &tiny, &params());
        for wrong in [tiny::mamba(), tiny::gemma3(), tiny::bert()] {
            let model = load(&wrong);
            let error = LoraAdapter::load(&model, lora.path()).unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::Adapter | ErrorKind::InvalidGguf),
                "{error}"
            );
        }
    });
}

#[test]
fn token_ids_that_do_not_exist() {
    survives(|| {
        for tiny in [tiny::llama(), tiny::gemma3(), tiny::bert(), tiny::t5()] {
            let model = load(&tiny);
            let vocab = model.vocab();
            for id in [-1, vocab.n_tokens() as i32, 1_000_000, i32::MIN, i32::MAX] {
                let token = llamakit::Token(id);
                let word = &[&*format!("token {id}")];
                refused(vocab.piece(token, true), ErrorKind::InvalidArgument, word);
                refused(vocab.token(token), ErrorKind::InvalidArgument, word);
                refused(
                    vocab.is_end_of_generation(token),
                    ErrorKind::InvalidArgument,
                    word,
                );
                let text = vocab.detokenize(&[token], false, false);
                refused(text, ErrorKind::InvalidArgument, word);
            }
        }
    });
}

/// Upstream's regular expressions recurse once per character.
#[test]
fn a_long_word_on_a_small_stack() {
    survives(|| {
        let model = load(&tiny::llama().with("tokenizer.ggml.pre", "deepseek-llm"));
        for length in [1000, 1024, 1025, 20_000, 200_000] {
            let model = model.clone();
            let worker = std::thread::Builder::new()
                .stack_size(2 << 20)
                .spawn(move || {
                    let tokens = model
                        .vocab()
                        .tokenize(&"a".repeat(length), true, true)
                        .unwrap();
                    assert!(!tokens.is_empty());
                });
            worker.unwrap().join().unwrap();
        }
    });
}
