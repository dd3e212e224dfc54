//! Writes small valid files into a folder, for the fuzzer to start from.

use std::path::Path;

use llamakit::Result;
use llamakit::gguf::{TensorType, Writer};

fn main() -> Result<()> {
    let folder = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "corpus".to_owned());
    model()?.write_file(Path::new(&folder).join("model.gguf"))?;
    adapter()?.write_file(Path::new(&folder).join("adapter.gguf"))
}

fn model() -> Result<Writer> {
    let mut writer = Writer::new();
    writer
        .set("general.architecture", "llama")?
        .set("llama.context_length", 64_u32)?
        .set("llama.embedding_length", 32_u32)?
        .set("llama.block_count", 1_u32)?
        .set("llama.attention.head_count", 4_u32)?
        .set("llama.attention.layer_norm_rms_epsilon", 1e-5_f32)?
        .set("tokenizer.ggml.model", "llama")?
        .set(
            "tokenizer.ggml.tokens",
            vec!["<unk>", "<s>", "</s>", "<0x0A>", "a"],
        )?
        .set("tokenizer.ggml.scores", vec![0.0_f32; 5])?
        .set("tokenizer.ggml.token_type", vec![2, 3, 3, 6, 1])?
        .tensor(
            "token_embd.weight",
            &[32, 5],
            TensorType::Q8_0,
            vec![1; 5 * 34],
        )?
        .tensor(
            "output_norm.weight",
            &[32],
            TensorType::F32,
            vec![0; 32 * 4],
        )?;
    Ok(writer)
}

fn adapter() -> Result<Writer> {
    let mut writer = Writer::new();
    writer
        .set("general.type", "adapter")?
        .set("general.architecture", "llama")?
        .set("adapter.type", "lora")?
        .set("adapter.lora.alpha", 8.0_f32)?
        .tensor(
            "blk.0.attn_q.weight.lora_a",
            &[32, 2],
            TensorType::F16,
            vec![0; 32 * 2 * 2],
        )?
        .tensor(
            "blk.0.attn_q.weight.lora_b",
            &[2, 32],
            TensorType::F16,
            vec![0; 32 * 2 * 2],
        )?;
    Ok(writer)
}
