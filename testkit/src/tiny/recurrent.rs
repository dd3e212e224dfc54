//! Models with a recurrent state: mamba, and lfm2, which mixes short convolutions with attention.

use super::{Tiny, vocab};

const EMBD: u64 = 64;
const CONTEXT: u32 = 512;
/// Of mamba: channels, numbers in the state of each, taps of the convolution, rank of the step sizes.
pub(super) const INNER: u64 = 2 * EMBD;
pub(super) const STATE: u64 = 16;
pub(super) const CONV: u64 = 4;
pub(super) const RANK: u64 = 4;
/// Of lfm2.
const HEADS: u64 = 2;

/// mamba: 2 layers with a state of 16 per channel; byte-level BPE.
#[must_use]
pub fn mamba() -> Tiny {
    const LAYERS: u64 = 2;
    let mut tiny = mamba_base("mamba", LAYERS);
    for i in 0..LAYERS {
        tiny.norm(format!("blk.{i}.attn_norm.weight"), EMBD);
        tiny.matrix(format!("blk.{i}.ssm_in.weight"), &[EMBD, 2 * INNER]);
        tiny.matrix(format!("blk.{i}.ssm_conv1d.weight"), &[CONV, INNER]);
        tiny.bias(format!("blk.{i}.ssm_conv1d.bias"), INNER);
        tiny.matrix(format!("blk.{i}.ssm_x.weight"), &[INNER, RANK + 2 * STATE]);
        tiny.matrix(format!("blk.{i}.ssm_dt.weight"), &[RANK, INNER]);
        // Steps of about 0.05 to 1: the state remembers some tens of tokens.
        tiny.random(format!("blk.{i}.ssm_dt.bias"), &[INNER], 1.5);
        // Decay rates 1 to 16 in every channel, as the paper starts them.
        let decay = (0..INNER * STATE)
            .map(|k| -((k % STATE + 1) as f32))
            .collect();
        tiny.tensor(format!("blk.{i}.ssm_a"), &[STATE, INNER], decay);
        tiny.norm(format!("blk.{i}.ssm_d"), INNER);
        tiny.matrix(format!("blk.{i}.ssm_out.weight"), &[INNER, EMBD]);
    }
    tiny
}

/// What every mamba has: hyper-parameters, vocabulary, embeddings, output.
pub(super) fn mamba_base(name: &str, layers: u64) -> Tiny {
    let vocab = vocab::bpe("gpt-2");
    let n_vocab = vocab.len();
    let mut tiny = Tiny::new(name, "mamba");
    tiny.hparams([
        ("context_length", CONTEXT.into()),
        ("embedding_length", (EMBD as u32).into()),
        ("feed_forward_length", 0_u32.into()),
        ("attention.head_count", 0_u32.into()),
        ("block_count", (layers as u32).into()),
        ("ssm.conv_kernel", (CONV as u32).into()),
        ("ssm.inner_size", (INNER as u32).into()),
        ("ssm.state_size", (STATE as u32).into()),
        ("ssm.time_step_rank", (RANK as u32).into()),
        ("attention.layer_norm_rms_epsilon", 1e-5_f32.into()),
        ("vocab_size", (n_vocab as u32).into()),
    ]);
    tiny.vocab(vocab);
    tiny.random("token_embd.weight", &[EMBD, n_vocab], 1.0);
    tiny.matrix("output.weight", &[EMBD, n_vocab]);
    tiny.norm("output_norm.weight", EMBD);
    tiny
}

/// lfm2: convolution, attention, convolution; byte-level BPE.
#[must_use]
pub fn lfm2() -> Tiny {
    const HEAD: u64 = EMBD / HEADS;
    const FF: u64 = 96;
    const TAPS: u64 = 3;
    /// KV heads of each layer; none marks a convolution.
    const HEADS_KV: [i32; 3] = [0, 1, 0];
    let mut tiny = lfm2_base("lfm2", &HEADS_KV, FF, TAPS);
    for (i, heads_kv) in HEADS_KV.into_iter().enumerate() {
        tiny.norm(format!("blk.{i}.attn_norm.weight"), EMBD);
        if heads_kv == 0 {
            tiny.matrix(format!("blk.{i}.shortconv.conv.weight"), &[TAPS, EMBD]);
            tiny.matrix(
                format!("blk.{i}.shortconv.in_proj.weight"),
                &[EMBD, 3 * EMBD],
            );
            tiny.matrix(format!("blk.{i}.shortconv.out_proj.weight"), &[EMBD, EMBD]);
        } else {
            let kv = heads_kv as u64 * HEAD;
            tiny.norm(format!("blk.{i}.attn_q_norm.weight"), HEAD);
            tiny.norm(format!("blk.{i}.attn_k_norm.weight"), HEAD);
            tiny.matrix(format!("blk.{i}.attn_q.weight"), &[EMBD, EMBD]);
            tiny.matrix(format!("blk.{i}.attn_k.weight"), &[EMBD, kv]);
            tiny.matrix(format!("blk.{i}.attn_v.weight"), &[EMBD, kv]);
            tiny.matrix(format!("blk.{i}.attn_output.weight"), &[EMBD, EMBD]);
        }
        tiny.norm(format!("blk.{i}.ffn_norm.weight"), EMBD);
        tiny.matrix(format!("blk.{i}.ffn_gate.weight"), &[EMBD, FF]);
        tiny.matrix(format!("blk.{i}.ffn_up.weight"), &[EMBD, FF]);
        tiny.matrix(format!("blk.{i}.ffn_down.weight"), &[FF, EMBD]);
    }
    tiny
}

/// What every lfm2 has: hyper-parameters, vocabulary, embeddings, output. `heads_kv` of each layer; none marks a
/// convolution.
pub(super) fn lfm2_base(name: &str, heads_kv: &[i32], ff: u64, taps: u64) -> Tiny {
    let vocab = vocab::bpe("lfm2");
    let n_vocab = vocab.len();
    let mut tiny = Tiny::new(name, "lfm2");
    tiny.hparams([
        ("context_length", CONTEXT.into()),
        ("embedding_length", (EMBD as u32).into()),
        ("block_count", (heads_kv.len() as u32).into()),
        ("feed_forward_length", (ff as u32).into()),
        ("attention.head_count", (HEADS as u32).into()),
        ("attention.head_count_kv", heads_kv.to_vec().into()),
        ("attention.layer_norm_rms_epsilon", 1e-5_f32.into()),
        ("shortconv.l_cache", (taps as u32).into()),
        ("rope.freq_base", 10_000_f32.into()),
        ("vocab_size", (n_vocab as u32).into()),
    ]);
    tiny.vocab(vocab);
    tiny.random("token_embd.weight", &[EMBD, n_vocab], 1.0);
    tiny.matrix("output.weight", &[EMBD, n_vocab]);
    // The name that this architecture gives its last norm.
    tiny.norm("token_embd_norm.weight", EMBD);
    tiny
}
