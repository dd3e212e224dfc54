//! Quantising tiny models: what comes out runs, what goes wrong is an error and leaves nothing behind.

#![cfg(feature = "inference")]

use std::fs;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use llamakit::gguf::{File, FileType, Overrides, TensorType};
use llamakit::{
    Batch, Context, ContextParams, Decoded, ErrorKind, Model, ModelParams, Outputs, QuantizeParams,
    SeqId, quantize,
};
use llamakit_testkit::tiny::{self, Tiny};

/// A folder of its own for a test, empty.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("quantize")
        .join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
    entries.map(|entry| name(entry).unwrap()).collect()
}

fn run(input: &Path, output: &Path, params: &QuantizeParams) -> llamakit::Result<()> {
    quantize(input, output, params, |_| ControlFlow::Continue(()))
}

/// Quantises a tiny model and opens the result.
fn quantized(test: &str, tiny: &Tiny, params: &QuantizeParams) -> File {
    let output = folder(test).join("out.gguf");
    run(&tiny.path(), &output, params).unwrap();
    assert_eq!(names(output.parent().unwrap()), ["out.gguf"]);
    File::open(output).unwrap()
}

fn type_of(file: &File, tensor: &str) -> TensorType {
    file.tensor(tensor).unwrap().tensor_type()
}

/// Logits after a few tokens.
fn logits(path: &Path) -> Vec<f32> {
    let model = Model::load(path, &ModelParams::new()).unwrap();
    let params = ContextParams::new()
        .context_length(64)
        .threads(1)
        .threads_batch(1);
    let mut context = Context::new(&model, &params).unwrap();
    let tokens = model.vocab().tokenize("Hello world", true, true).unwrap();
    let mut batch = Batch::new();
    batch.add_run(&tokens, 0, SeqId(0), Outputs::Last);
    assert_eq!(context.decode(&batch).unwrap(), Decoded::Done);
    context.logits(tokens.len() - 1).unwrap().to_vec()
}

#[test]
fn a_quantised_model_says_nearly_the_same() {
    let tiny = tiny::llama();
    let expected = logits(&tiny.path());
    let file = quantized("q8_0", &tiny, &QuantizeParams::new(FileType::Q8_0));
    assert_eq!(
        file.require::<u32>("general.file_type").unwrap(),
        FileType::Q8_0.id()
    );
    assert_eq!(type_of(&file, "blk.0.attn_q.weight"), TensorType::Q8_0);
    assert_eq!(type_of(&file, "blk.0.attn_norm.weight"), TensorType::F32);

    let found = logits(file.path());
    let sum = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x * x)).sum::<f64>();
    let difference = sum(&mut expected.iter().zip(&found).map(|(a, b)| a - b));
    assert!(
        difference < 0.01 * sum(&mut expected.iter().copied()),
        "{difference}"
    );
}

#[test]
fn schemes_choose_types_that_fit_the_rows() {
    // Rows of 64 do not fill the blocks of 256, so that upstream takes other types.
    let file = quantized(
        "q4_k_m",
        &tiny::llama(),
        &QuantizeParams::new(FileType::Q4_K_M),
    );
    assert_eq!(
        file.require::<u32>("general.file_type").unwrap(),
        FileType::Q4_K_M.id()
    );
    assert_eq!(type_of(&file, "blk.0.attn_q.weight"), TensorType::Q5_0);
    let _ = logits(file.path());

    let file = quantized("f16", &tiny::moe(), &QuantizeParams::new(FileType::F16));
    assert_eq!(type_of(&file, "blk.1.ffn_up_exps.weight"), TensorType::F16);
    let _ = logits(file.path());
}

#[test]
fn progress_goes_through_all_tensors() {
    let tiny = tiny::llama();
    let output = folder("progress").join("out.gguf");
    let mut seen = Vec::new();
    quantize(
        tiny.path(),
        &output,
        &QuantizeParams::new(FileType::Q4_0),
        |progress| {
            assert_eq!(progress.number as usize, seen.len() + 1);
            assert_eq!(progress.count as usize, tiny.tensors().len());
            let sizes = tiny.tensors().iter().map(|tensor| tensor.data.len() as u64);
            assert_eq!(progress.total, sizes.sum::<u64>());
            let size = |name: &String| {
                let known = tiny.tensors().iter().find(|tensor| tensor.name == *name);
                known
                    .unwrap_or_else(|| panic!("no tensor {name:?}"))
                    .data
                    .len() as u64
            };
            assert_eq!(progress.done, seen.iter().map(size).sum::<u64>());
            seen.push(progress.tensor.to_owned());
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    assert_eq!(seen.len(), tiny.tensors().len());
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), tiny.tensors().len());
}

#[test]
fn whoever_is_told_can_stop_it_at_any_tensor() {
    let tiny = tiny::llama();
    let params = QuantizeParams::new(FileType::Q8_0);
    let folder = folder("stopped");
    let output = folder.join("out.gguf");
    fs::write(&output, "what was there").unwrap();
    for at in 1..=tiny.tensors().len() as u32 {
        let stopped = quantize(tiny.path(), &output, &params, |progress| {
            assert!(progress.number <= at);
            if progress.number == at {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled);
    }
    assert_eq!(names(&folder), ["out.gguf"]);
    assert_eq!(fs::read(&output).unwrap(), b"what was there");
    run(&tiny.path(), &output, &params).unwrap();
    assert!(File::open(&output).is_ok());
}

#[test]
fn a_panic_of_the_callers_is_the_callers() {
    let folder = folder("panic");
    let output = folder.join("out.gguf");
    let params = QuantizeParams::new(FileType::Q8_0);
    let call = || quantize(tiny::llama().path(), &output, &params, |_| panic!("mine"));
    let panic = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"mine"));
    run(&tiny::llama().path(), &output, &params).unwrap();
}

#[test]
fn tensors_past_the_end_of_the_file_are_never_read() {
    // CVE-2026-7482: the weights that a header promises and the file lacks came from elsewhere in memory.
    let folder = folder("past-the-end");
    let (input, output) = (folder.join("in.gguf"), folder.join("out.gguf"));
    let bytes = tiny::llama().bytes();
    for keep in [bytes.len() - 64, bytes.len() / 2, 4, 0] {
        fs::write(&input, &bytes[..keep]).unwrap();
        let error = run(&input, &output, &QuantizeParams::new(FileType::Q8_0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidGguf, "{keep}: {error}");
        assert_eq!(names(&folder), ["in.gguf"]);
    }
}

#[test]
fn a_split_model_becomes_one_file() {
    let tiny = tiny::llama();
    let output = folder("shards").join("out.gguf");
    run(&tiny.shards(3)[0], &output, &QuantizeParams::copy()).unwrap();
    let file = File::open(&output).unwrap();
    assert!(file.get("split.count").is_none());
    assert_eq!(file.tensors().len(), tiny.tensors().len());
    assert_eq!(logits(&output), logits(&tiny.path()));
}

#[test]
fn quantising_twice_must_be_allowed() {
    let tiny = tiny::llama().quantized(TensorType::Q8_0);
    let output = folder("twice").join("out.gguf");
    let params = QuantizeParams::new(FileType::Q4_0);
    let error = run(&tiny.path(), &output, &params).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Upstream);
    assert!(error.log().unwrap().contains("requantizing"), "{error}");
    assert!(!output.exists());
    run(&tiny.path(), &output, &params.allow_requantize(true)).unwrap();
    let file = File::open(&output).unwrap();
    assert_eq!(type_of(&file, "blk.0.attn_q.weight"), TensorType::Q4_0);
}

#[test]
fn types_rules_layers_and_overrides_are_upstreams() {
    let mut overrides = Overrides::new();
    overrides.set("general.name", "renamed").unwrap();
    let params = QuantizeParams::new(FileType::Q8_0)
        .token_embedding_type(TensorType::F16)
        .rule("attn_k\\.weight$", TensorType::Q5_1)
        .overrides(overrides)
        .leave_out_layers([0])
        .max_buffer(1024)
        .threads(2);
    let file = quantized("knobs", &tiny::llama(), &params);
    assert_eq!(type_of(&file, "token_embd.weight"), TensorType::F16);
    assert_eq!(type_of(&file, "blk.0.attn_k.weight"), TensorType::Q5_1);
    assert_eq!(type_of(&file, "blk.0.attn_q.weight"), TensorType::Q8_0);
    assert_eq!(file.require::<&str>("general.name").unwrap(), "renamed");
    assert_eq!(file.require::<u32>("llama.block_count").unwrap(), 1);
    assert!(file.tensor("blk.1.attn_q.weight").is_none());
    let _ = logits(file.path());

    let pure = QuantizeParams::new(FileType::Q4_0)
        .pure(true)
        .quantize_output(false);
    let file = quantized("pure", &tiny::llama(), &pure);
    assert_eq!(type_of(&file, "token_embd.weight"), TensorType::Q4_0);
}

#[test]
fn what_upstream_would_assert_in_its_threads_is_refused_before() {
    let output = folder("refused").join("out.gguf");
    let refused = |params: &QuantizeParams, tiny: &Tiny, kind: ErrorKind, text: &str| {
        let error = run(&tiny.path(), &output, params).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(!output.exists());
    };
    let llama = tiny::llama();
    let argument = ErrorKind::InvalidArgument;
    let q8 = || QuantizeParams::new(FileType::Q8_0);
    refused(&q8().threads(0), &llama, argument, "threads");
    refused(&q8().threads(257), &llama, argument, "threads");
    refused(
        &q8().output_type(TensorType::Q8_K),
        &llama,
        argument,
        "q8_K",
    );
    refused(
        &q8().rule("", TensorType::Q8_0),
        &llama,
        argument,
        "pattern",
    );
    refused(
        &QuantizeParams::new(FileType::NVFP4),
        &llama,
        argument,
        "NVFP4",
    );
    refused(
        &q8().token_embedding_type(TensorType::IQ1_S),
        &llama,
        argument,
        "token_embd.weight can be iq1_s only with importances",
    );
    refused(
        &q8().importance("token_embd.weight", vec![1.0; 3]),
        &llama,
        argument,
        "64 times 1 importances, not 3",
    );
    refused(
        &q8().importance("token_embd.weight", vec![f32::NAN; 64]),
        &llama,
        argument,
        "importances of tensor token_embd.weight",
    );
    let mut overrides = Overrides::new();
    overrides.set("general.alignment", 64).unwrap();
    refused(
        &q8().overrides(overrides),
        &llama,
        argument,
        "general.alignment",
    );

    // A rule that is no regular expression is an exception of the C++ library, not an assertion.
    refused(
        &q8().rule("(", TensorType::Q8_0),
        &llama,
        ErrorKind::Upstream,
        "quantis",
    );

    let large = |value: f32| {
        tiny::llama().map_tensor("blk.0.attn_q.weight", |tensor| {
            tensor.data[..4].copy_from_slice(&value.to_le_bytes());
        })
    };
    let iq3 = QuantizeParams::new(FileType::IQ3_S);
    refused(
        &iq3,
        &large(1e20),
        ErrorKind::Unsupported,
        "blk.0.attn_q.weight",
    );
    refused(&q8(), &large(f32::INFINITY), ErrorKind::Upstream, "");

    let aligned = tiny::llama().with("general.alignment", 64_u32);
    refused(&q8(), &aligned, ErrorKind::Unsupported, "64 bytes");
}

#[test]
fn a_file_that_is_no_model_is_refused() {
    let output = folder("no-model").join("out.gguf");
    let lora = tiny::lora(&tiny::llama(), 4, "a");
    let error = run(&lora.path(), &output, &QuantizeParams::new(FileType::Q8_0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let missing = Path::new("no-such-model.gguf");
    let error = run(missing, &output, &QuantizeParams::new(FileType::Q8_0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let nowhere = Path::new("/no/such/folder/out.gguf");
    let error = run(
        &tiny::llama().path(),
        nowhere,
        &QuantizeParams::new(FileType::Q8_0),
    )
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}
