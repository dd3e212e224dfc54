//! Decoders with attention: dense llama, its variants, and gemma3 with a sliding window.

use super::{Tiny, vocab, weights};

const EMBD: u64 = 64;
const FF: u64 = 64;
const HEADS: u64 = 4;
const HEADS_KV: u64 = 2;
/// Whole blocks of the quantised KV-cache types.
const HEAD: u64 = 32;
const CONTEXT: u32 = 512;
const LAYERS: u64 = 2;
const EXPERTS: u64 = 4;

/// Dense llama: 2 layers, 4 heads over 2 KV heads, byte-level BPE with the pre-tokenizer `llama-bpe`.
///
/// `.with("tokenizer.ggml.pre", "deepseek-llm")` or `"qwen2"` gives it another splitter of text.
#[must_use]
pub fn llama() -> Tiny {
    dense("llama", vocab::bpe("llama-bpe"))
}

/// [`llama`] with a SentencePiece vocabulary.
#[must_use]
pub fn llama_spm() -> Tiny {
    dense("llama-spm", vocab::spm())
}

fn dense(name: &str, vocab: vocab::Vocab) -> Tiny {
    let mut tiny = base(name, "llama", vocab);
    for i in 0..LAYERS {
        attention(&mut tiny, i);
        feed_forward(&mut tiny, i);
    }
    tiny
}

/// llama with 4 experts per layer of which each token uses 2.
#[must_use]
pub fn moe() -> Tiny {
    let mut tiny = base("moe", "llama", vocab::bpe("llama-bpe"));
    tiny.hparams([
        ("expert_count", (EXPERTS as u32).into()),
        ("expert_used_count", 2_u32.into()),
    ]);
    for i in 0..LAYERS {
        attention(&mut tiny, i);
        tiny.norm(format!("blk.{i}.ffn_norm.weight"), EMBD);
        tiny.matrix(format!("blk.{i}.ffn_gate_inp.weight"), &[EMBD, EXPERTS]);
        tiny.matrix(
            format!("blk.{i}.ffn_gate_exps.weight"),
            &[EMBD, HEAD, EXPERTS],
        );
        tiny.matrix(
            format!("blk.{i}.ffn_down_exps.weight"),
            &[HEAD, EMBD, EXPERTS],
        );
        tiny.matrix(
            format!("blk.{i}.ffn_up_exps.weight"),
            &[EMBD, HEAD, EXPERTS],
        );
    }
    tiny.with("llama.feed_forward_length", HEAD as u32)
}

/// gemma3: 3 layers of which the first two see the last 32 tokens only; SentencePiece vocabulary.
#[must_use]
pub fn gemma3() -> Tiny {
    const LAYERS: u64 = 3;
    let mut tiny = base("gemma3", "gemma3", vocab::spm());
    tiny.hparams([
        ("block_count", (LAYERS as u32).into()),
        ("attention.sliding_window", 32_u32.into()),
        ("attention.sliding_window_pattern", 3_u32.into()),
    ]);
    for i in 0..LAYERS {
        attention(&mut tiny, i);
        tiny.norm(format!("blk.{i}.attn_q_norm.weight"), HEAD);
        tiny.norm(format!("blk.{i}.attn_k_norm.weight"), HEAD);
        tiny.norm(format!("blk.{i}.post_attention_norm.weight"), EMBD);
        feed_forward(&mut tiny, i);
        tiny.norm(format!("blk.{i}.post_ffw_norm.weight"), EMBD);
    }
    tiny.with("tokenizer.ggml.add_space_prefix", false)
}

/// llama of one layer whose greedy next token is set by the token `distance` positions before the current one, by a wide margin.
///
/// The token after `t` at position `p` is a fixed permutation of the token at `p - distance`, so a cache
/// that mixes up contents, positions or sequences shows in the text, and rounding does not.
///
/// How: queries and keys are constant, and rotary embedding turns the query so that the scores peak at
/// that distance; values and output projection pass the token's embedding on.
#[must_use]
pub fn lookback(distance: u32) -> Tiny {
    /// Makes the softmax pick one position.
    const SHARPNESS: f32 = 30.0;
    /// How much louder the token looked back at is than the current one.
    const GAIN: f32 = 8.0;
    let vocab = vocab::bpe("llama-bpe");
    let n_vocab = vocab.len();
    let mut tiny = base("lookback", "llama", vocab);
    tiny.hparams([
        ("block_count", 1_u32.into()),
        ("attention.head_count", 2_u32.into()),
        ("attention.head_count_kv", 2_u32.into()),
    ]);
    let wide = 2 * HEAD;
    let identity = |gain: f32| -> Vec<f32> {
        (0..EMBD * EMBD)
            .map(|i| if i / EMBD == i % EMBD { gain } else { 0.0 })
            .collect()
    };
    let zeros = |len: u64| vec![0.0; len as usize];
    tiny.tensor("blk.0.attn_norm.weight", &[EMBD], vec![1.0; EMBD as usize]);
    tiny.tensor("blk.0.attn_q.weight", &[EMBD, wide], zeros(EMBD * wide));
    tiny.tensor("blk.0.attn_k.weight", &[EMBD, wide], zeros(EMBD * wide));
    tiny.tensor("blk.0.attn_v.weight", &[EMBD, wide], identity(1.0));
    tiny.tensor("blk.0.attn_output.weight", &[wide, EMBD], identity(GAIN));
    let rotated = |by: f32| -> Vec<f32> {
        (0..wide)
            .map(|i| {
                let theta = 10_000_f32.powf(-((i % HEAD / 2 * 2) as f32) / HEAD as f32);
                let (sin, cos) = (by * theta).sin_cos();
                SHARPNESS * if i % 2 == 0 { cos } else { sin }
            })
            .collect()
    };
    tiny.tensor("blk.0.attn_q.bias", &[wide], rotated(-(distance as f32)));
    tiny.tensor("blk.0.attn_k.bias", &[wide], rotated(0.0));
    tiny.tensor("blk.0.attn_v.bias", &[wide], zeros(wide));
    tiny.norm("blk.0.ffn_norm.weight", EMBD);
    tiny.tensor("blk.0.ffn_gate.weight", &[EMBD, FF], zeros(EMBD * FF));
    tiny.tensor("blk.0.ffn_up.weight", &[EMBD, FF], zeros(EMBD * FF));
    tiny.tensor("blk.0.ffn_down.weight", &[FF, EMBD], zeros(FF * EMBD));
    // Row `successor(t)` of the output answers to the embedding of `t`.
    let embeddings = weights::random("token_embd.weight", &[EMBD, n_vocab], 1.0);
    let row = |token: u64| (token * EMBD) as usize..((token + 1) * EMBD) as usize;
    let mut output = embeddings.clone();
    for token in 0..n_vocab {
        let successor = lookback_successor(token as u32, n_vocab as u32);
        output[row(successor.into())].copy_from_slice(&embeddings[row(token)]);
    }
    tiny.map_tensor("output.weight", |tensor| {
        tensor.data = weights::f32_bytes(output)
    })
}

/// The token that [`lookback`] gives `distance` steps after `token`, in a vocabulary of `n_vocab`.
///
/// Bytes and merged pieces go round among themselves, so control tokens never come up unless asked for.
#[must_use]
pub fn lookback_successor(token: u32, n_vocab: u32) -> u32 {
    let ordinary = n_vocab - 3;
    if token < ordinary {
        (token + 101) % ordinary
    } else {
        token
    }
}

/// What all have: hyper-parameters, vocabulary, embeddings and an output of its own, so that the
/// current token does not always repeat itself.
pub(super) fn base(name: &str, arch: &str, vocab: vocab::Vocab) -> Tiny {
    let mut tiny = Tiny::new(name, arch);
    tiny.hparams([
        ("context_length", CONTEXT.into()),
        ("embedding_length", (EMBD as u32).into()),
        ("block_count", (LAYERS as u32).into()),
        ("feed_forward_length", (FF as u32).into()),
        ("attention.head_count", (HEADS as u32).into()),
        ("attention.head_count_kv", (HEADS_KV as u32).into()),
        ("attention.key_length", (HEAD as u32).into()),
        ("attention.value_length", (HEAD as u32).into()),
        ("attention.layer_norm_rms_epsilon", 1e-5_f32.into()),
        ("rope.dimension_count", (HEAD as u32).into()),
        ("rope.freq_base", 10_000_f32.into()),
    ]);
    let n_vocab = vocab.len();
    tiny.set(format!("{arch}.vocab_size"), (n_vocab as u32).into());
    tiny.vocab(vocab);
    tiny.random("token_embd.weight", &[EMBD, n_vocab], 1.0);
    tiny.matrix("output.weight", &[EMBD, n_vocab]);
    tiny.norm("output_norm.weight", EMBD);
    tiny
}

fn attention(tiny: &mut Tiny, i: u64) {
    tiny.norm(format!("blk.{i}.attn_norm.weight"), EMBD);
    tiny.matrix(format!("blk.{i}.attn_q.weight"), &[EMBD, HEADS * HEAD]);
    tiny.matrix(format!("blk.{i}.attn_k.weight"), &[EMBD, HEADS_KV * HEAD]);
    tiny.matrix(format!("blk.{i}.attn_v.weight"), &[EMBD, HEADS_KV * HEAD]);
    tiny.matrix(format!("blk.{i}.attn_output.weight"), &[HEADS * HEAD, EMBD]);
}

fn feed_forward(tiny: &mut Tiny, i: u64) {
    tiny.norm(format!("blk.{i}.ffn_norm.weight"), EMBD);
    tiny.matrix(format!("blk.{i}.ffn_gate.weight"), &[EMBD, FF]);
    tiny.matrix(format!("blk.{i}.ffn_up.weight"), &[EMBD, FF]);
    tiny.matrix(format!("blk.{i}.ffn_down.weight"), &[FF, EMBD]);
}
