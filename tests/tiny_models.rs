//! Every tiny model loads and computes, and those with a known answer give it.

#![cfg(feature = "inference")]

use std::ops::ControlFlow;

use llamakit::gguf::TensorType;
use llamakit::{
    Batch, Context, ContextParams, Decoded, LoraAdapter, Model, ModelParams, Outputs, SeqId, Token,
};
use llamakit_testkit::tiny::{self, Tiny};

const TEXT: &str = "Hello world! The quick brown fox jumps, über 123.";

fn load(tiny: &Tiny) -> Model {
    Model::load(tiny.path(), &ModelParams::new()).unwrap_or_else(|e| panic!("{}: {e}", tiny.name()))
}

fn context(model: &Model) -> Context {
    let params = ContextParams::new()
        .context_length(256)
        .threads(1)
        .threads_batch(1);
    Context::new(model, &params).unwrap()
}

fn tokens(model: &Model) -> Vec<Token> {
    model.vocab().tokenize(TEXT, true, true).unwrap()
}

/// Decodes `tokens` from `position` on and returns the logits of the last.
fn decode<'a>(context: &'a mut Context, tokens: &[Token], position: usize) -> &'a [f32] {
    let mut batch = Batch::new();
    batch.add_run(tokens, position as i32, SeqId(0), Outputs::Last);
    assert_eq!(context.decode(&batch).unwrap(), Decoded::Done);
    context.logits(tokens.len() - 1).unwrap()
}

fn greedy(logits: &[f32]) -> Token {
    assert!(logits.iter().all(|logit| logit.is_finite()));
    let best = logits
        .iter()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(b.1))
        .unwrap()
        .0;
    Token(best as i32)
}

#[test]
fn every_decoder_decodes_in_every_weight_type() {
    let plain = [
        tiny::llama(),
        tiny::llama_spm(),
        tiny::llama().with("tokenizer.ggml.pre", "deepseek-llm"),
        tiny::llama().with("tokenizer.ggml.pre", "qwen2"),
        tiny::moe(),
        tiny::gemma3(),
        tiny::mamba(),
        tiny::lfm2(),
    ];
    for ty in [
        TensorType::F32,
        TensorType::F16,
        TensorType::Q8_0,
        TensorType::Q4_0,
    ] {
        for tiny in plain.clone().map(|tiny| tiny.quantized(ty)) {
            let model = load(&tiny);
            let mut context = context(&model);
            let prompt = tokens(&model);
            let mut next = greedy(decode(&mut context, &prompt, 0));
            for position in prompt.len()..prompt.len() + 50 {
                next = greedy(decode(&mut context, &[next], position));
            }
        }
    }
}

#[test]
fn quantized_products_are_the_same_for_many_rows_and_for_one() {
    let model = load(&tiny::llama().quantized(TensorType::Q8_0));
    let prompt = tokens(&model);
    let mut whole = context(&model);
    let together = decode(&mut whole, &prompt, 0);
    let mut one_by_one = context(&model);
    let mut last = Vec::new();
    for (position, &token) in prompt.iter().enumerate() {
        last = decode(&mut one_by_one, &[token], position).to_vec();
    }
    let size = last
        .iter()
        .fold(0.0_f32, |most, logit| most.max(logit.abs()));
    for (a, b) in together.iter().zip(&last) {
        assert!((a - b).abs() <= 0.01 * size, "{a} and {b}");
    }
}

#[test]
fn encoders_embed_and_rerank() {
    let params = ContextParams::new().context_length(128).embeddings(true);
    let model = load(&tiny::bert());
    let mut context = Context::new(&model, &params).unwrap();
    let embeddings = context.embed(&[tokens(&model)]).unwrap();
    assert!(
        embeddings
            .get(0)
            .unwrap()
            .iter()
            .all(|value| value.is_finite())
    );
    let mut context = Context::new(&load(&tiny::reranker()), &params).unwrap();
    let scores = context
        .rerank("the fox", &["the quick fox", "the weather"])
        .unwrap();
    assert!(scores.len() == 2 && scores[0] != scores[1], "{scores:?}");
}

#[test]
fn lookback_answers_as_promised_by_a_wide_margin() {
    for distance in [1, 8, 40] {
        let model = load(&tiny::lookback(distance));
        let n_vocab = model.vocab().n_tokens() as u32;
        let mut context = context(&model);
        // Longer than the distance.
        let mut all = tokens(&model).repeat(2);
        let mut logits = decode(&mut context, &all, 0);
        for _ in 0..60 {
            let next = greedy(logits);
            let seen = all[all.len() - 1 - distance as usize];
            let expected = tiny::lookback_successor(seen.0 as u32, n_vocab);
            assert_eq!(next, Token(expected as i32), "distance {distance}");
            let best = logits[expected as usize];
            let close = logits.iter().filter(|logit| best - **logit < 10.0).count();
            assert_eq!(close, 1, "distance {distance}");
            all.push(next);
            logits = decode(&mut context, &[next], all.len() - 1);
        }
    }
}

#[test]
fn every_memory_is_recalled_as_promised_by_a_wide_margin() {
    for tiny in tiny::recalling() {
        let mut context = context(&load(&tiny));
        let mut all: Vec<u32> = (0..70).map(|i| (i * 37 + 11) % 160).collect();
        // What mamba's state is about, long before the end.
        all[3] = 177;
        let prompt: Vec<Token> = all.iter().map(|&id| Token(id as i32)).collect();
        let mut logits = decode(&mut context, &prompt, 0);
        for step in 0..60 {
            let (next, expected) = (greedy(logits), tiny::recalled(&tiny, &all));
            assert_eq!(next.0 as u32, expected, "{} at {step}", tiny.name());
            let best = logits[expected as usize];
            let close = logits.iter().filter(|logit| best - **logit < 10.0).count();
            assert_eq!(close, 1, "{} at {step}", tiny.name());
            all.push(expected);
            logits = decode(&mut context, &[next], all.len() - 1);
        }
    }
}

#[test]
fn shards_compute_what_the_whole_file_computes() {
    let tiny = tiny::llama();
    let whole = load(&tiny);
    let paths = tiny.shards(3);
    let found = Model::load(&paths[0], &ModelParams::new()).unwrap();
    let go_on = |_| ControlFlow::Continue(());
    let named = Model::load_shards(&paths, &ModelParams::new(), go_on).unwrap();
    let prompt = tokens(&whole);
    let expected = decode(&mut context(&whole), &prompt, 0).to_vec();
    for split in [found, named] {
        assert_eq!(decode(&mut context(&split), &prompt, 0), expected);
    }
}

#[test]
fn an_adapter_changes_the_answer_of_every_kind_of_model() {
    for tiny in [tiny::llama(), tiny::gemma3(), tiny::mamba(), tiny::lfm2()] {
        let model = load(&tiny);
        let prompt = tokens(&model);
        let mut context = context(&model);
        let before = decode(&mut context, &prompt, 0).to_vec();
        context.kv_cache_mut().clear().unwrap();
        let adapter = LoraAdapter::load(&model, tiny::lora(&tiny, 4, "one").path()).unwrap();
        context.set_lora_adapters(&[(adapter, 1.0)]).unwrap();
        assert_ne!(decode(&mut context, &prompt, 0), before, "{}", tiny.name());
    }
}
