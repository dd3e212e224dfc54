//! Tiny models are well-formed, small, the same on every run, and changeable one field at a time.

use std::collections::BTreeSet;
use std::fs;
use std::time::SystemTime;

use llamakit::gguf::{self, ArrayRef, File, Overrides, TensorType};
use llamakit_testkit::tiny::{self, Tiny};

const MEGABYTE: usize = 1_000_000;

fn all() -> Vec<Tiny> {
    let plain = [
        tiny::llama(),
        tiny::llama_spm(),
        tiny::moe(),
        tiny::gemma3(),
        tiny::lookback(8),
        tiny::mamba(),
        tiny::lfm2(),
        tiny::bert(),
        tiny::reranker(),
        tiny::t5(),
    ];
    let types = [TensorType::F16, TensorType::Q8_0, TensorType::Q4_0];
    let quantized = types.map(|ty| plain.clone().map(|model| model.quantized(ty)));
    plain
        .iter()
        .cloned()
        .chain(quantized.into_iter().flatten())
        .collect()
}

fn parse(model: &Tiny) -> File {
    File::from_bytes(model.bytes()).unwrap()
}

#[test]
fn every_model_is_a_valid_file_of_less_than_a_megabyte() {
    for model in all() {
        let file = parse(&model);
        assert!(
            file.bytes().len() < MEGABYTE,
            "{}: {}",
            model.name(),
            file.bytes().len()
        );
        gguf::validate_model(&file, &Overrides::default()).unwrap();
        assert_eq!(
            file.require::<&str>("general.architecture").unwrap(),
            model.arch()
        );
        let tokens = file
            .require::<ArrayRef<'_>>("tokenizer.ggml.tokens")
            .unwrap();
        let vocab = tokens.len() as u64;
        let embeddings = file.tensor("token_embd.weight").unwrap();
        assert_eq!(embeddings.dims()[1], vocab, "{}", model.name());
    }
}

#[test]
fn names_tell_models_apart() {
    let models = all();
    let names: BTreeSet<&str> = models.iter().map(Tiny::name).collect();
    assert_eq!(names.len(), models.len());
}

#[test]
fn a_path_holds_what_was_made() {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    // A model of its own, so that no file of an earlier run stands in for it.
    let model = tiny::llama().with("test.nonce", now.as_nanos() as u64);
    let path = model.path();
    assert_eq!(fs::read(&path).unwrap(), model.bytes());
    assert_eq!(model.path(), path);
    fs::remove_file(path).unwrap();
}

#[test]
fn the_same_model_is_the_same_bytes_and_a_change_is_another_file() {
    assert_eq!(tiny::llama().bytes(), tiny::llama().bytes());
    let changed = tiny::llama().with("llama.rope.freq_base", 5_000_f32);
    assert_ne!(changed.path(), tiny::llama().path());
}

#[test]
fn a_single_field_can_be_replaced_removed_or_damaged() {
    let model = tiny::llama()
        .with("llama.context_length", 7_u32)
        .with("new.key", true)
        .without("llama.rope.freq_base")
        .without_tensor("output.weight")
        .map_tensor("output_norm.weight", |tensor| {
            tensor.dims = vec![2];
            tensor.data.truncate(8);
        });
    let file = parse(&model);
    assert_eq!(file.require::<u32>("llama.context_length").unwrap(), 7);
    assert!(file.get("new.key").is_some() && file.get("llama.rope.freq_base").is_none());
    assert!(file.tensor("output.weight").is_none());
    assert_eq!(file.tensor("output_norm.weight").unwrap().dims(), [2]);
}

#[test]
#[should_panic(expected = "no tensor nonsense")]
fn changing_what_is_not_there_is_a_mistake() {
    let _ = tiny::llama().map_tensor("nonsense", |_| {});
}

#[test]
#[should_panic(expected = "no key nonsense")]
fn removing_what_is_not_there_is_a_mistake() {
    let _ = tiny::llama().without("nonsense");
}

#[test]
fn quantising_encodes_the_matrices_and_leaves_the_rest() {
    let file = parse(&tiny::llama().quantized(TensorType::Q4_0));
    for tensor in file.tensors() {
        let expected = if tensor.dims().len() > 1 {
            TensorType::Q4_0
        } else {
            TensorType::F32
        };
        assert_eq!(tensor.tensor_type(), expected, "{}", tensor.name());
    }
}

#[test]
fn shards_hold_every_tensor_once_and_the_first_the_metadata() {
    let model = tiny::llama();
    let paths = model.shards(3);
    let files: Vec<File> = paths.iter().map(|path| File::open(path).unwrap()).collect();
    gguf::validate_shards(&files, &Overrides::default()).unwrap();
    let names: Vec<&str> = files
        .iter()
        .flat_map(|file| file.tensors())
        .map(|tensor| tensor.name())
        .collect();
    assert_eq!(
        names,
        model
            .tensors()
            .iter()
            .map(|tensor| &tensor.name)
            .collect::<Vec<_>>()
    );
    for (i, (path, file)) in paths.iter().zip(&files).enumerate() {
        let ending = format!("-0000{}-of-00003.gguf", i + 1);
        assert!(
            path.to_str().unwrap().ends_with(&ending),
            "{}",
            path.display()
        );
        assert_eq!(file.require::<u16>("split.no").unwrap(), i as u16);
        assert_eq!(file.require::<u16>("split.count").unwrap(), 3);
        assert_eq!(
            file.require::<i32>("split.tensors.count").unwrap(),
            names.len() as i32
        );
        assert_eq!(file.get("general.architecture").is_some(), i == 0);
    }
}

#[test]
fn adapters_fit_the_matrices_of_their_model() {
    for model in tiny::every_memory() {
        let (base, adapter) = (parse(&model), parse(&tiny::lora(&model, 4, "one")));
        gguf::validate_adapter(&adapter).unwrap();
        for a in adapter
            .tensors()
            .iter()
            .filter(|tensor| tensor.name().ends_with(".lora_a"))
        {
            let name = a.name().trim_end_matches(".lora_a");
            let b = adapter.tensor(&format!("{name}.lora_b")).unwrap();
            let target = base.tensor(name).unwrap();
            assert_eq!([a.dims()[0], b.dims()[1]], target.dims(), "{name}");
            assert_eq!([a.dims()[1], b.dims()[0]], [4, 4], "{name}");
        }
    }
    let data = |seed| {
        tiny::lora(&tiny::llama(), 4, seed).tensors()[0]
            .data
            .clone()
    };
    assert_ne!(data("one"), data("two"));
}

#[test]
fn lookback_successors_are_a_permutation_that_spares_control_tokens() {
    let n_vocab = parse(&tiny::lookback(1))
        .require::<u32>("llama.vocab_size")
        .unwrap();
    let successors: BTreeSet<u32> = (0..n_vocab)
        .map(|token| tiny::lookback_successor(token, n_vocab))
        .collect();
    assert_eq!(successors.len() as u32, n_vocab);
    assert!((n_vocab - 3..n_vocab).all(|token| tiny::lookback_successor(token, n_vocab) == token));
}
