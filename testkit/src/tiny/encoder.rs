//! Models with an encoder: bert for embeddings, bert with a head for reranking, t5 with a decoder behind.

use super::{Tiny, vocab};

const EMBD: u64 = 64;
const FF: u64 = 64;
const HEADS: u64 = 2;
const LAYERS: u64 = 2;

/// How bert makes one vector of a text, as GGUF numbers it.
const POOLING_MEAN: u32 = 1;
const POOLING_RANK: u32 = 4;

/// bert: 2 layers, at most 128 tokens, WordPiece vocabulary, mean pooling.
///
/// `.with("bert.pooling_type", 2_u32)` pools by the `[CLS]` token, `0_u32` not at all.
#[must_use]
pub fn bert() -> Tiny {
    named_bert("bert", POOLING_MEAN)
}

/// bert with a classifier head that gives one score per text.
#[must_use]
pub fn reranker() -> Tiny {
    let mut tiny = named_bert("reranker", POOLING_RANK);
    tiny.matrix("cls.weight", &[EMBD, EMBD]);
    tiny.bias("cls.bias", EMBD);
    tiny.matrix("cls.output.weight", &[EMBD, 1]);
    tiny.bias("cls.output.bias", 1);
    tiny
}

fn named_bert(name: &str, pooling: u32) -> Tiny {
    const CONTEXT: u64 = 128;
    let vocab = vocab::wpm();
    let n_vocab = vocab.len();
    let mut tiny = Tiny::new(name, "bert");
    tiny.hparams([
        ("context_length", (CONTEXT as u32).into()),
        ("embedding_length", (EMBD as u32).into()),
        ("block_count", (LAYERS as u32).into()),
        ("feed_forward_length", (FF as u32).into()),
        ("attention.head_count", (HEADS as u32).into()),
        ("attention.layer_norm_epsilon", 1e-12_f32.into()),
        ("attention.causal", false.into()),
        ("pooling_type", pooling.into()),
        ("vocab_size", (n_vocab as u32).into()),
    ]);
    tiny.vocab(vocab);
    tiny.random("token_embd.weight", &[EMBD, n_vocab], 1.0);
    tiny.random("position_embd.weight", &[EMBD, CONTEXT], 0.3);
    tiny.random("token_types.weight", &[EMBD, 2], 0.1);
    layer_norm(&mut tiny, "token_embd_norm");
    for i in 0..LAYERS {
        for part in ["attn_q", "attn_k", "attn_v", "attn_output"] {
            linear(&mut tiny, &format!("blk.{i}.{part}"), EMBD, EMBD);
        }
        layer_norm(&mut tiny, &format!("blk.{i}.attn_output_norm"));
        linear(&mut tiny, &format!("blk.{i}.ffn_up"), EMBD, FF);
        linear(&mut tiny, &format!("blk.{i}.ffn_down"), FF, EMBD);
        layer_norm(&mut tiny, &format!("blk.{i}.layer_output_norm"));
    }
    tiny
}

/// t5: 2 encoder and 2 decoder layers, unigram vocabulary.
#[must_use]
pub fn t5() -> Tiny {
    const BUCKETS: u64 = 32;
    let vocab = vocab::ugm();
    let n_vocab = vocab.len();
    let mut tiny = Tiny::new("t5", "t5");
    tiny.hparams([
        ("context_length", 128_u32.into()),
        ("embedding_length", (EMBD as u32).into()),
        ("block_count", (LAYERS as u32).into()),
        ("feed_forward_length", (FF as u32).into()),
        ("attention.head_count", (HEADS as u32).into()),
        ("attention.key_length", ((EMBD / HEADS) as u32).into()),
        ("attention.value_length", ((EMBD / HEADS) as u32).into()),
        ("attention.layer_norm_rms_epsilon", 1e-6_f32.into()),
        ("attention.relative_buckets_count", (BUCKETS as u32).into()),
        ("decoder_start_token_id", 0_u32.into()),
        ("vocab_size", (n_vocab as u32).into()),
    ]);
    tiny.vocab(vocab);
    tiny.random("token_embd.weight", &[EMBD, n_vocab], 1.0);
    tiny.matrix("output.weight", &[EMBD, n_vocab]);
    for side in ["enc", "dec"] {
        tiny.norm(format!("{side}.output_norm.weight"), EMBD);
        for i in 0..LAYERS {
            let block = format!("{side}.blk.{i}");
            t5_attention(&mut tiny, &format!("{block}.attn"));
            if i == 0 {
                tiny.matrix(format!("{block}.attn_rel_b.weight"), &[HEADS, BUCKETS]);
            }
            if side == "dec" {
                t5_attention(&mut tiny, &format!("{block}.cross_attn"));
            }
            tiny.norm(format!("{block}.ffn_norm.weight"), EMBD);
            tiny.matrix(format!("{block}.ffn_gate.weight"), &[EMBD, FF]);
            tiny.matrix(format!("{block}.ffn_up.weight"), &[EMBD, FF]);
            tiny.matrix(format!("{block}.ffn_down.weight"), &[FF, EMBD]);
        }
    }
    tiny
}

fn t5_attention(tiny: &mut Tiny, name: &str) {
    tiny.norm(format!("{name}_norm.weight"), EMBD);
    for part in ["q", "k", "v", "o"] {
        tiny.matrix(format!("{name}_{part}.weight"), &[EMBD, EMBD]);
    }
}

fn linear(tiny: &mut Tiny, name: &str, from: u64, to: u64) {
    tiny.matrix(format!("{name}.weight"), &[from, to]);
    tiny.bias(format!("{name}.bias"), to);
}

fn layer_norm(tiny: &mut Tiny, name: &str) {
    tiny.norm(format!("{name}.weight"), EMBD);
    tiny.bias(format!("{name}.bias"), EMBD);
}
