//! Hostile models and adapters get an error that names the key or tensor; good ones pass.

use llamakit::ErrorKind;
use llamakit::gguf::{
    self, File, Overrides, TensorType, Value, Writer, validate_adapter, validate_model,
};
use llamakit_testkit::tiny::{self, Tiny};

fn floats(count: u64) -> Vec<u8> {
    vec![0; 4 * count as usize]
}

/// A llama model of one layer with a SentencePiece vocabulary, as far as the rules look.
fn model() -> Writer {
    let mut writer = Writer::new();
    let tokens = vec!["<unk>", "<s>", "</s>", "<0x0A>", "a", "b", ""];
    writer
        .set("general.architecture", "llama")
        .and_then(|w| w.set("general.type", "model"))
        .and_then(|w| w.set("llama.context_length", 64_u32))
        .and_then(|w| w.set("llama.embedding_length", 64_u32))
        .and_then(|w| w.set("llama.block_count", 2_u32))
        .and_then(|w| w.set("llama.feed_forward_length", 32_u32))
        .and_then(|w| w.set("llama.attention.head_count", 4_u32))
        .and_then(|w| w.set("llama.attention.head_count_kv", 2_u32))
        .and_then(|w| w.set("llama.attention.layer_norm_rms_epsilon", 1e-5_f32))
        .and_then(|w| w.set("llama.rope.dimension_count", 16_u32))
        .and_then(|w| w.set("tokenizer.ggml.model", "llama"))
        .and_then(|w| w.set("tokenizer.ggml.scores", vec![0.0_f32; tokens.len()]))
        .and_then(|w| w.set("tokenizer.ggml.token_type", vec![2, 3, 3, 6, 1, 1, 1]))
        .and_then(|w| w.set("tokenizer.ggml.tokens", tokens))
        .and_then(|w| w.set("tokenizer.ggml.bos_token_id", 1_u32))
        .unwrap();
    writer
        .tensor(
            "token_embd.weight",
            &[64, 7],
            TensorType::F32,
            floats(64 * 7),
        )
        .unwrap();
    writer
        .tensor("output_norm.weight", &[64], TensorType::F32, floats(64))
        .unwrap();
    let quantised = vec![0; 64 * 34 * 2];
    writer
        .tensor(
            "blk.0.attn_q.weight",
            &[64, 64],
            TensorType::Q8_0,
            quantised,
        )
        .unwrap();
    writer
}

fn check(writer: &Writer) -> llamakit::Result<()> {
    validate_model(
        &File::from_bytes(writer.to_bytes()).unwrap(),
        &Overrides::new(),
    )
}

#[track_caller]
fn refused(key: &str, value: impl Into<Value>, part: &str) {
    let mut writer = model();
    writer.set(key, value).unwrap();
    let error = check(&writer).expect_err("accepted");
    assert!(
        matches!(
            error.kind(),
            ErrorKind::InvalidGguf | ErrorKind::Unsupported
        ),
        "{error:?}"
    );
    assert!(
        error.message().contains(part),
        "{:?} does not say {part:?}",
        error.message()
    );
}

#[track_caller]
fn accepted(key: &str, value: impl Into<Value>) {
    let mut writer = model();
    writer.set(key, value).unwrap();
    check(&writer).unwrap();
}

#[track_caller]
fn refused_tensor(name: &str, dims: &[u64], ty: TensorType, part: &str) {
    let mut writer = model();
    let bytes = ty.tensor_bytes(dims).unwrap() as usize;
    writer.tensor(name, dims, ty, vec![0; bytes]).unwrap();
    let error = check(&writer).expect_err("accepted");
    assert!(
        error.message().contains(part),
        "{:?} does not say {part:?}",
        error.message()
    );
}

#[test]
fn a_good_model_passes() {
    check(&model()).unwrap();
}

#[test]
fn each_required_key_is_named_when_it_is_missing() {
    let file = File::from_bytes(model().to_bytes()).unwrap();
    for missing in [
        "general.architecture",
        "llama.context_length",
        "llama.embedding_length",
        "llama.block_count",
        "tokenizer.ggml.model",
        "tokenizer.ggml.tokens",
    ] {
        let mut writer = Writer::new();
        for (key, value) in file.metadata().filter(|(key, _)| *key != missing) {
            writer.set(key, value.to_value()).unwrap();
        }
        let error = check(&writer).unwrap_err();
        assert_eq!(error.message(), format!("key {missing} is missing"));
    }
    assert_eq!(
        check(&Writer::new()).unwrap_err().kind(),
        ErrorKind::InvalidGguf
    );
}

#[test]
fn files_that_are_no_language_models_are_unsupported() {
    refused("general.architecture", "clip", "multimodal projector");
    refused("general.type", "adapter", "of type \"adapter\"");
    refused("general.architecture", 3_u32, "expected str");
    // Whether an architecture exists is upstream's to say.
    let mut writer = Writer::new();
    let file = File::from_bytes(model().to_bytes()).unwrap();
    for (key, value) in file.metadata() {
        writer
            .set(key.replace("llama.", "unheard-of."), value.to_value())
            .unwrap();
    }
    writer.set("general.architecture", "unheard-of").unwrap();
    check(&writer).unwrap();
}

#[test]
fn layers_and_sizes() {
    for bad in [0_u32, 513, u32::MAX] {
        refused("llama.block_count", bad, "llama.block_count");
    }
    refused("llama.block_count", "2", "has type str, expected u32");
    refused("llama.block_count", 2_u64, "has type u64, expected u32");
    refused("llama.nextn_predict_layers", 3_u32, "nextn_predict_layers");
    refused("llama.context_length", 0_u32, "context_length");
    refused("llama.embedding_length", 0_u32, "embedding_length");
    refused("llama.embedding_length", 1_u32 << 31, "embedding_length");
    refused(
        "llama.feed_forward_length",
        vec![1_u32; 3],
        "one element for each layer",
    );
    accepted("llama.feed_forward_length", vec![32_u32, 64]);
    refused("llama.anything", 1_u32 << 31, "llama.anything");
    accepted("llama.anything", i32::MAX as u32);
}

#[test]
fn heads() {
    refused(
        "llama.attention.head_count",
        65_u32,
        "more than llama.embedding_length",
    );
    refused(
        "llama.attention.head_count_kv",
        3_u32,
        "does not divide the 4 heads",
    );
    refused(
        "llama.attention.head_count_kv",
        vec![2_u32, 3],
        "does not divide",
    );
    refused(
        "llama.attention.head_count_kv",
        vec![2_i32, -2],
        "elements 0 to",
    );
    refused(
        "llama.attention.head_count_kv",
        vec![2.0_f32, 2.0],
        "elements 0 to",
    );
    accepted("llama.attention.head_count_kv", vec![2_u32, 0]);
    refused("llama.attention.key_length", 0_u32, "key_length");
    refused("llama.attention.value_length", 1_u32 << 30, "value_length");
    refused("llama.rope.dimension_count", 15_u32, "must be even");
    refused("llama.rope.dimension_count", 0_u32, "rotates");
    refused("llama.rope.dimension_count_swa", 0_u32, "rotates");
    refused(
        "llama.attention.key_length_swa",
        15_u32,
        "dimension_count_swa is absent",
    );
    refused(
        "llama.rope.dimension_count",
        18_u32,
        "at most the head's 16",
    );
}

#[test]
fn what_a_layer_needs_is_there() {
    let load = |tiny: &Tiny| {
        let file = File::open(tiny.path()).unwrap();
        validate_model(&file, &Overrides::default())
    };
    let refused = |tiny: &Tiny, part: &str| {
        let error = load(tiny).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidGguf);
        assert!(error.message().contains(part), "{error}");
    };
    let used = |layers: &[u32]| tiny::moe().with("llama.expert_used_count", layers.to_vec());
    refused(&used(&[1, 0]), "expert_used_count is 0 for layer 1");
    load(&used(&[1, 2])).unwrap();
    for side in ["enc", "dec"] {
        let name = format!("{side}.blk.0.attn_rel_b.weight");
        refused(&tiny::t5().without_tensor(&name), &name);
    }
    load(&tiny::t5()).unwrap();
}

#[test]
fn experts() {
    refused("llama.expert_count", 1025_u32, "expert_count");
    refused("llama.expert_count", 4_u32, "expert_used_count is 0 of 4");
    refused("llama.expert_used_count", 1_u32, "is 1 of 0 experts");
    refused("llama.expert_group_count", 1_u32, "expert_group_count");
    refused("llama.expert_gating_func", 9_u32, "expert_gating_func");
    let mut writer = model();
    writer.set("llama.expert_count", 8_u32).unwrap();
    writer.set("llama.expert_used_count", 2_u32).unwrap();
    check(&writer).unwrap();
    writer.set("llama.expert_group_count", 3_u32).unwrap();
    assert!(check(&writer).is_err());
    writer.set("llama.expert_group_count", 4_u32).unwrap();
    assert!(check(&writer).is_err());
    writer.set("llama.expert_group_used_count", 2_u32).unwrap();
    check(&writer).unwrap();
}

#[test]
fn floats_that_upstream_asserts_or_that_spoil_everything() {
    let key = "llama.attention.layer_norm_rms_epsilon";
    for bad in [-1e-5, f32::NAN, f32::INFINITY] {
        refused(key, bad, key);
    }
    accepted(key, 0.0_f32);
    refused(key, 1e-5_f64, "has type f64, expected f32");
    refused("llama.rope.freq_base", f32::NAN, "rope.freq_base");
    refused(
        "llama.swiglu_clamp_exp",
        vec![1.0, f32::INFINITY],
        "not finite",
    );
}

#[test]
fn enumerations_windows_and_divisors() {
    refused(
        "llama.rope.scaling.type",
        "spline",
        "\"spline\", which is unknown",
    );
    accepted("llama.rope.scaling.type", "yarn");
    refused(
        "llama.rope.dimension_sections",
        vec![0_i32; 4],
        "not all zero",
    );
    refused(
        "llama.rope.dimension_sections",
        vec![4_i32, -1, 0, 0],
        "not negative",
    );
    refused("llama.rope.dimension_sections", vec![1_i32; 5], "up to 4");
    accepted("llama.rope.dimension_sections", vec![4_i32, 2, 2, 0]);
    refused("llama.pooling_type", 5_u32, "pooling_type");
    refused(
        "llama.attention.sliding_window",
        i32::MAX as u32,
        "sliding_window",
    );
    accepted("llama.attention.sliding_window", 262_144_u32);
    refused(
        "llama.attention.relative_buckets_count",
        0_u32,
        "relative_buckets_count",
    );
    refused(
        "llama.attention.shared_kv_layers",
        1_u32,
        "shared_kv_layers",
    );
    refused(
        "llama.full_attention_interval",
        0_u32,
        "full_attention_interval",
    );
    refused(
        "llama.interleave_moe_layer_step",
        0_u32,
        "interleave_moe_layer_step",
    );
    refused("llama.ssm.group_count", 0_u32, "ssm.group_count");
    refused("llama.ssm.conv_kernel", 0_u32, "ssm.conv_kernel");
    refused("llama.shortconv.l_cache", 0_u32, "shortconv.l_cache");
    refused("llama.wkv.head_size", 0_u32, "wkv.head_size");
    refused("llama.wkv.head_size", 48_u32, "does not divide 64");
    refused(
        "llama.decoder_start_token_id",
        7_u32,
        "decoder_start_token_id",
    );
}

#[test]
fn token_texts_must_be_unique_as_c_sees_them() {
    let tokens = |texts: [&str; 7]| Value::from(texts.to_vec());
    let key = "tokenizer.ggml.tokens";
    refused(
        key,
        tokens(["0", "1", "2", "<0x0A>", "same", "5", "same"]),
        "token 6 \"same\" occurs twice",
    );
    refused(
        key,
        tokens(["0", "1", "2", "<0x0A>", "same\0a", "5", "same\0b"]),
        "occurs twice",
    );
    refused(
        key,
        tokens(["0", "1", "2", "<0x0A>", "[EMPTY_6]", "5", ""]),
        "[EMPTY_6]",
    );
    accepted(key, tokens(["0", "1", "2", "<0x0A>", "[EMPTY_0]", "", ""]));
    let mut long = model();
    let mut texts = vec!["x".repeat(1 << 17)];
    texts.extend((1..7).map(|id| format!("<0x{id:02X}>")));
    long.set(key, texts).unwrap();
    assert!(
        check(&long)
            .unwrap_err()
            .message()
            .contains("token 0 has 131072 bytes")
    );
}

#[test]
fn large_vocabularies_find_the_one_repetition() {
    let mut writer = model();
    let mut texts: Vec<String> = (0..300_000).map(|id| format!("token {id}")).collect();
    writer
        .set("tokenizer.ggml.scores", vec![0.0_f32; texts.len()])
        .unwrap();
    writer
        .set("tokenizer.ggml.token_type", vec![1_i32; texts.len()])
        .unwrap();
    writer
        .set("tokenizer.ggml.tokens", texts.as_slice())
        .unwrap();
    check(&writer).unwrap();
    texts[299_999] = texts[7].clone();
    writer.set("tokenizer.ggml.tokens", texts).unwrap();
    let error = check(&writer).unwrap_err();
    assert!(
        error
            .message()
            .contains("token 299999 \"token 7\" occurs twice"),
        "{error}"
    );
}

#[test]
fn arrays_of_the_vocabulary() {
    refused(
        "tokenizer.ggml.model",
        "word2vec",
        "\"word2vec\", which is unknown",
    );
    refused(
        "tokenizer.ggml.tokens",
        vec![1_u32; 7],
        "has type arr[u32], expected arr[str]",
    );
    refused(
        "tokenizer.ggml.tokens",
        "text",
        "has type str, expected arr",
    );
    refused(
        "tokenizer.ggml.tokens",
        Vec::<String>::new(),
        "has 0 tokens",
    );
    refused("tokenizer.ggml.scores", vec![0_u8; 7], "arr[u8]");
    refused(
        "tokenizer.ggml.scores",
        vec![0.0_f32; 6],
        "6 elements for 7 tokens",
    );
    refused("tokenizer.ggml.scores", vec![f32::NAN; 7], "not a number");
    refused("tokenizer.ggml.token_type", vec![0_u8; 7], "arr[u8]");
    refused(
        "tokenizer.ggml.token_type",
        vec![1_i32; 6],
        "6 elements for 7 tokens",
    );
    refused(
        "tokenizer.ggml.suppress_tokens",
        vec![1_u32],
        "suppress_tokens",
    );
    accepted("tokenizer.ggml.scores", vec![0.0_f32; 8]);
}

#[test]
fn byte_tokens_must_name_a_byte() {
    for text in ["<0x-1>", "<0xG0>", "<0x0>", "<0", "", "0x0A"] {
        let tokens = vec!["0", "1", "2", text, "4", "5", "6"];
        refused("tokenizer.ggml.tokens", tokens, "is a byte token");
    }
}

#[test]
fn special_ids() {
    refused("tokenizer.ggml.bos_token_id", "1", "expected u32");
    refused("tokenizer.ggml.eos_token_id", 2_i32, "expected u32");
    refused("tokenizer.ggml.add_bos_token", 1_u32, "expected bool");
    // Upstream ignores an id that is no token and keeps its default.
    accepted("tokenizer.ggml.bos_token_id", 1_000_000_u32);
    refused(
        "tokenizer.ggml.add_sep_token",
        true,
        "adds a token that does not exist",
    );
}

#[test]
fn merges_and_charsmaps() {
    let mut bpe = model();
    bpe.set("tokenizer.ggml.model", "gpt2").unwrap();
    assert!(
        check(&bpe)
            .unwrap_err()
            .message()
            .contains("tokenizer.ggml.merges is missing")
    );
    bpe.set("tokenizer.ggml.merges", vec!["a b", "  a"])
        .unwrap();
    check(&bpe).unwrap();
    bpe.set("tokenizer.ggml.merges", vec!["a b", " ab"])
        .unwrap();
    assert!(check(&bpe).unwrap_err().message().contains("merge 1"));

    let mut unigram = model();
    unigram.set("tokenizer.ggml.model", "t5").unwrap();
    let key = "tokenizer.ggml.precompiled_charsmap";
    unigram
        .set(key, vec![4_u8, 0, 0, 0, 1, 2, 3, 4, b'x', 0])
        .unwrap();
    check(&unigram).unwrap();
    for bad in [
        vec![],
        vec![0_u8],
        vec![0; 3],
        vec![0xff; 8],
        vec![1, 0, 0, 0, 0],
        vec![0, 0, 0, 0, 1],
    ] {
        unigram.set(key, bad).unwrap();
        assert!(check(&unigram).unwrap_err().message().contains("charsmap"));
    }
}

#[test]
fn tensor_types_that_upstream_cannot_compute_with() {
    for ty in [
        TensorType::F16,
        TensorType::BF16,
        TensorType::I32,
        TensorType::Q4_0,
    ] {
        refused_tensor("blk.0.attn_norm.weight", &[64], ty, "as f32 alone");
        refused_tensor("blk.0.attn_q.bias", &[64], ty, "as f32 alone");
    }
    refused_tensor(
        "blk.0.attn_q_norm.weight",
        &[32, 2],
        TensorType::F16,
        "as f32 alone",
    );
    refused_tensor(
        "blk.0.ssm_conv1d.weight",
        &[4, 8],
        TensorType::F16,
        "as f32 alone",
    );
    refused_tensor("blk.0.ssm_a", &[4, 8], TensorType::F16, "as f32 alone");
    for ty in [
        TensorType::I32,
        TensorType::F64,
        TensorType::Q8_K,
        TensorType::Q8_1,
    ] {
        refused_tensor("blk.0.ffn_up.weight", &[256, 2], ty, "for weights");
    }
    refused_tensor(
        "blk.0.ffn_up.weight",
        &[0, 2],
        TensorType::F32,
        "no elements",
    );
    refused_tensor("conv1d.weight", &[32, 2], TensorType::Q8_0, "f16 or f32");
}

#[test]
fn ids_in_tables_are_in_range() {
    let with_ids = |ids: [i32; 2]| {
        let mut writer = model();
        writer.set("llama.expert_count", 4_u32).unwrap();
        writer.set("llama.expert_used_count", 1_u32).unwrap();
        let data = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        writer
            .tensor(
                "blk.0.ffn_gate_tid2eid.weight",
                &[1, 2],
                TensorType::I32,
                data,
            )
            .unwrap();
        check(&writer)
    };
    with_ids([0, 3]).unwrap();
    assert!(
        with_ids([0, 4])
            .unwrap_err()
            .message()
            .contains("holds id 4")
    );
    assert!(
        with_ids([-1, 0])
            .unwrap_err()
            .message()
            .contains("holds id -1")
    );
}

#[test]
fn data_that_cannot_be_mapped() {
    let mut writer = model();
    writer.set("general.alignment", 4_u32).unwrap();
    writer
        .tensor("odd.weight", &[3, 3], TensorType::F32, floats(9))
        .unwrap();
    writer
        .tensor("next.weight", &[3, 3], TensorType::F32, floats(9))
        .unwrap();
    assert!(
        check(&writer)
            .unwrap_err()
            .message()
            .contains("multiple of 32")
    );
}

#[test]
fn overrides_are_checked_as_part_of_the_metadata() {
    let file = File::from_bytes(model().to_bytes()).unwrap();
    let with = |key: &str, value: gguf::OverrideValue| {
        let mut overrides = Overrides::new();
        overrides.set(key, value).unwrap();
        validate_model(&file, &overrides)
    };
    with("llama.context_length", 128_i64.into()).unwrap();
    with("general.name", "other".into()).unwrap();
    let bad = [
        with("llama.block_count", 0_i64.into()).unwrap_err(),
        with("llama.attention.layer_norm_rms_epsilon", (-1.0).into()).unwrap_err(),
        with("llama.attention.layer_norm_epsilon", f64::NAN.into()).unwrap_err(),
        with("general.architecture", "clip".into()).unwrap_err(),
        with("tokenizer.ggml.add_sep_token", true.into()).unwrap_err(),
    ];
    for error in bad {
        assert!(
            matches!(
                error.kind(),
                ErrorKind::InvalidGguf | ErrorKind::Unsupported
            ),
            "{error}"
        );
    }
    let misused = [
        with("llama.block_count", (1_i64 << 32).into()).unwrap_err(),
        with("llama.block_count", (-1_i64).into()).unwrap_err(),
        with("llama.block_count", 2.0.into()).unwrap_err(),
        with("llama.attention.layer_norm_rms_epsilon", 1_i64.into()).unwrap_err(),
        with("tokenizer.ggml.tokens", "x".into()).unwrap_err(),
    ];
    for error in misused {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    let mut overrides = Overrides::new();
    assert!(overrides.set("", 1_i64).is_err());
    assert!(overrides.set("k".repeat(128), 1_i64).is_err());
    assert!(overrides.set("k", "v".repeat(128)).is_err());
    assert!(overrides.is_empty());
}

fn adapter() -> Writer {
    let mut writer = Writer::new();
    writer
        .set("general.type", "adapter")
        .and_then(|w| w.set("general.architecture", "llama"))
        .and_then(|w| w.set("adapter.type", "lora"))
        .and_then(|w| w.set("adapter.lora.alpha", 16.0_f32))
        .unwrap();
    writer
        .tensor(
            "blk.0.attn_q.weight.lora_a",
            &[8, 2],
            TensorType::F32,
            floats(16),
        )
        .unwrap();
    writer
        .tensor(
            "blk.0.attn_q.weight.lora_b",
            &[2, 8],
            TensorType::F32,
            floats(16),
        )
        .unwrap();
    writer
}

fn check_adapter(writer: &Writer) -> llamakit::Result<()> {
    validate_adapter(&File::from_bytes(writer.to_bytes()).unwrap())
}

#[test]
fn adapters() {
    check_adapter(&adapter()).unwrap();
    let cases: [(&str, Value, &str); 7] = [
        ("general.type", 1_u32.into(), "expected str"),
        ("general.type", "model".into(), "no LoRA adapter"),
        ("general.architecture", vec![1_u8].into(), "expected str"),
        ("adapter.type", "control".into(), "no LoRA adapter"),
        ("adapter.lora.alpha", 16_u32.into(), "expected f32"),
        ("adapter.lora.alpha", f32::NAN.into(), "must be finite"),
        (
            "adapter.alora.invocation_tokens",
            vec![1_i32].into(),
            "expected arr[u32]",
        ),
    ];
    for (key, value, part) in cases {
        let mut writer = adapter();
        writer.set(key, value).unwrap();
        let error = check_adapter(&writer).unwrap_err();
        assert!(
            error.message().contains(part),
            "{error} does not say {part}"
        );
    }
    assert!(
        check_adapter(&model())
            .unwrap_err()
            .message()
            .contains("no LoRA adapter")
    );

    let cases: [(&str, &[u64], TensorType, &str); 5] = [
        ("x.lora_a", &[8, 2], TensorType::F32, "has no x.lora_b"),
        (
            "x.weight",
            &[8, 2],
            TensorType::F32,
            "neither a .lora_a nor a .lora_b",
        ),
        ("x.lora_a", &[0, 2], TensorType::F32, "no elements"),
        ("x.lora_b", &[8, 2], TensorType::I32, "no type for weights"),
        (
            "x.lora_a.y.lora_a",
            &[8, 2],
            TensorType::F32,
            "more than one LoRA suffix",
        ),
    ];
    for (name, dims, ty, part) in cases {
        let mut writer = adapter();
        let bytes = ty.tensor_bytes(dims).unwrap() as usize;
        writer.tensor(name, dims, ty, vec![0; bytes]).unwrap();
        let error = check_adapter(&writer).unwrap_err();
        assert!(
            error.message().contains(part),
            "{error} does not say {part}"
        );
    }
    let mut writer = adapter();
    writer
        .tensor("x.lora_a", &[8, 2], TensorType::F32, floats(16))
        .unwrap();
    writer
        .tensor("x.lora_b", &[3, 8], TensorType::F32, floats(24))
        .unwrap();
    assert!(
        check_adapter(&writer)
            .unwrap_err()
            .message()
            .contains("do not fit together")
    );
}
