//! Thousands of damaged files: never a panic, and the same ones every time.

use std::collections::HashSet;

use llamakit::gguf::{File, Overrides, TensorType, Writer, validate_adapter, validate_model};
use llamakit_testkit::mutate::mutations;

fn original() -> Vec<u8> {
    let mut writer = Writer::new();
    writer.set("general.architecture", "llama").unwrap();
    writer.set("llama.context_length", 64_u32).unwrap();
    writer.set("llama.embedding_length", 64_u32).unwrap();
    writer.set("llama.block_count", 1_u32).unwrap();
    writer.set("llama.attention.head_count", 4_u32).unwrap();
    writer
        .set("llama.attention.layer_norm_rms_epsilon", 1e-5_f32)
        .unwrap();
    writer.set("tokenizer.ggml.model", "llama").unwrap();
    writer
        .set(
            "tokenizer.ggml.tokens",
            vec!["<unk>", "<s>", "</s>", "<0x0A>", "a"],
        )
        .unwrap();
    writer
        .set("tokenizer.ggml.scores", vec![0.0_f32; 5])
        .unwrap();
    writer
        .set("tokenizer.ggml.token_type", vec![2, 3, 3, 6, 1])
        .unwrap();
    let weights = vec![0; 64 * 5 * 4];
    writer
        .tensor("token_embd.weight", &[64, 5], TensorType::F32, weights)
        .unwrap();
    writer
        .tensor("output_norm.weight", &[64], TensorType::F32, vec![0; 256])
        .unwrap();
    writer.to_bytes()
}

#[test]
fn damaged_files_give_errors_or_files_but_never_panics() {
    let original = original();
    validate_model(
        &File::from_bytes(original.as_slice()).unwrap(),
        &Overrides::new(),
    )
    .unwrap();
    let (mut unreadable, mut refused, mut accepted) = (0, 0, 0);
    for (_, bytes) in mutations(&original, 1).take(20_000) {
        match File::from_bytes(bytes) {
            Err(_) => unreadable += 1,
            Ok(file) => {
                let _ = validate_adapter(&file);
                match validate_model(&file, &Overrides::new()) {
                    Err(_) => refused += 1,
                    Ok(()) => accepted += 1,
                }
            }
        }
    }
    // Each of the three must be met often, or the damage is too weak or too strong to find faults.
    for count in [unreadable, refused, accepted] {
        assert!(
            count > 500,
            "{unreadable} unreadable, {refused} refused, {accepted} accepted"
        );
    }
}

#[test]
fn mutations_are_the_same_every_time_and_differ_by_seed() {
    let original = original();
    let take = |seed| mutations(&original, seed).take(2_000).collect::<Vec<_>>();
    let first = take(7);
    assert_eq!(first, take(7));
    assert_ne!(first, take(8));
    let distinct: HashSet<&[u8]> = first.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    assert!(distinct.len() > 1_900, "{} distinct files", distinct.len());
    assert!(first.iter().all(|(_, bytes)| *bytes != original));
}
