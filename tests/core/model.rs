//! Loading models, and what they say about themselves.

use std::io::{Seek, SeekFrom};
use std::ops::ControlFlow;

use llamakit::chat::{ChatTemplate, Conversation, Message};
use llamakit::gguf::{self, Overrides};
use llamakit::{Context, ErrorKind, LoadMode, Model, ModelParams, Result, Token, VocabType};
use llamakit_testkit::tiny::{self, Tiny};

use crate::{A, assert_within, decode, fresh_logits, load, params, refused, run_of};

#[test]
fn every_kind_says_what_it_is() {
    type Facts = (u32, bool, bool, bool, bool, u32, u32, VocabType);
    let cases: [(Tiny, Facts); 9] = [
        (
            tiny::llama(),
            (2, false, true, false, false, 0, 0, VocabType::Bpe),
        ),
        (
            tiny::llama_spm(),
            (2, false, true, false, false, 0, 0, VocabType::Spm),
        ),
        (
            tiny::moe(),
            (2, false, true, false, false, 4, 0, VocabType::Bpe),
        ),
        (
            tiny::gemma3(),
            (3, false, true, false, false, 0, 32, VocabType::Spm),
        ),
        (
            tiny::mamba(),
            (2, false, true, true, false, 0, 0, VocabType::Bpe),
        ),
        (
            tiny::lfm2(),
            (3, false, true, false, true, 0, 0, VocabType::Bpe),
        ),
        (
            tiny::bert(),
            (2, false, true, false, false, 0, 0, VocabType::Wpm),
        ),
        (
            tiny::reranker(),
            (2, false, true, false, false, 0, 0, VocabType::Wpm),
        ),
        (
            tiny::t5(),
            (2, true, true, false, false, 0, 0, VocabType::Ugm),
        ),
    ];
    for (tiny, facts) in cases {
        let model = load(&tiny);
        let found = (
            model.n_layers(),
            model.has_encoder(),
            model.has_decoder(),
            model.is_recurrent(),
            model.is_hybrid(),
            model.n_experts(),
            model.sliding_window(),
            model.vocab().vocab_type(),
        );
        assert_eq!(found, facts, "{}", tiny.name());
        assert_eq!(model.architecture(), tiny.arch());
        assert_eq!(model.embedding_length(), 64, "{}", tiny.name());
        assert!(!model.is_diffusion());
        let elements: u64 = tiny
            .tensors()
            .iter()
            .map(|t| t.dims.iter().product::<u64>())
            .sum();
        let bytes: u64 = tiny.tensors().iter().map(|t| t.data.len() as u64).sum();
        assert_eq!(model.n_params(), elements, "{}", tiny.name());
        assert_eq!(model.size(), bytes, "{}", tiny.name());
        assert!(model.description().unwrap().contains(tiny.arch()));
        assert!(!model.file_type().unwrap().is_empty());
    }
    let llama = load(&tiny::llama());
    assert_eq!((llama.n_heads(), llama.n_kv_heads()), (4, 2));
    assert_eq!(llama.context_length(), 512);
    assert_eq!(load(&tiny::bert()).context_length(), 128);
    assert_eq!(load(&tiny::reranker()).n_classifier_outputs(), 1);
    assert_eq!(llama.n_classifier_outputs(), 0);
    refused(
        llama.classifier_label(0),
        ErrorKind::InvalidArgument,
        &["0 of 0"],
    );
    assert_eq!(llama.decoder_start_token(), None);
    assert!(load(&tiny::t5()).decoder_start_token().is_some());
}

#[test]
fn metadata_is_what_the_file_says() {
    let metadata = load(&tiny::gemma3()).metadata().unwrap();
    let get = |key: &str| {
        metadata
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    };
    assert_eq!(get("general.architecture"), Some("gemma3"));
    assert_eq!(get("gemma3.attention.sliding_window"), Some("32"));
    assert_eq!(get("tokenizer.ggml.add_space_prefix"), Some("false"));
    assert_eq!(get("no.such.key"), None);
}

#[test]
fn an_open_file_gives_the_same_model_wherever_its_position_is() {
    let tiny = tiny::llama();
    let tokens = run_of(20, 1);
    let want = fresh_logits(&tiny, &params(), &tokens);
    let mut file = std::fs::File::open(tiny.path()).unwrap();
    file.seek(SeekFrom::Start(1234)).unwrap();
    let model = Model::load_file(file, &ModelParams::new(), |_| ControlFlow::Continue(())).unwrap();
    let got = decode(&mut Context::new(&model, &params()).unwrap(), A, &tokens);
    assert_eq!(got, want);
}

#[test]
fn every_load_mode_gives_the_same_logits() {
    let tiny = tiny::llama();
    let tokens = run_of(20, 1);
    let want = fresh_logits(&tiny, &params(), &tokens);
    for mode in [LoadMode::Read, LoadMode::Map, LoadMode::DirectIo] {
        let model = Model::load(tiny.path(), &ModelParams::new().load_mode(mode)).unwrap();
        let got = decode(&mut Context::new(&model, &params()).unwrap(), A, &tokens);
        assert_within(&got, &want, 1e-5, &format!("{mode:?}"));
    }
    let model = Model::load(tiny.path(), &ModelParams::new().repack(false)).unwrap();
    decode(&mut Context::new(&model, &params()).unwrap(), A, &tokens);
}

#[test]
fn shards_give_the_model_of_the_whole_file() {
    let tiny = tiny::llama();
    let tokens = run_of(20, 1);
    let want = fresh_logits(&tiny, &params(), &tokens);
    let shards = tiny.shards(3);
    for model in [
        Model::load(&shards[0], &ModelParams::new()).unwrap(),
        Model::load_shards(&shards, &ModelParams::new(), |_| ControlFlow::Continue(())).unwrap(),
    ] {
        assert_eq!(model.size(), load(&tiny).size());
        let got = decode(&mut Context::new(&model, &params()).unwrap(), A, &tokens);
        assert_eq!(got, want);
    }
}

#[test]
fn wrong_shards_are_refused() {
    let shards = tiny::llama().shards(3);
    let params = ModelParams::new();
    let load = |paths: &[&std::path::PathBuf]| {
        Model::load_shards(paths, &params, |_| ControlFlow::Continue(()))
    };
    refused(load(&[&shards[0], &shards[2]]), ErrorKind::InvalidGguf, &[]);
    refused(
        load(&[&shards[1], &shards[0], &shards[2]]),
        ErrorKind::InvalidGguf,
        &[],
    );
    refused(load(&[]), ErrorKind::InvalidArgument, &[]);
    refused(
        Model::load(&shards[1], &params),
        ErrorKind::InvalidGguf,
        &["00002-of-00003"],
    );
    let folder = std::env::temp_dir().join(format!("llamakit-shards-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let alone = folder.join(shards[0].file_name().unwrap());
    std::fs::copy(&shards[0], &alone).unwrap();
    let result = Model::load(&alone, &params);
    std::fs::remove_dir_all(&folder).unwrap();
    refused(result, ErrorKind::Io, &["00002-of-00003"]);
}

#[test]
fn progress_rises_to_one_and_a_break_cancels() {
    let tiny = tiny::llama();
    let mut seen = Vec::new();
    Model::load_with_progress(tiny.path(), &ModelParams::new(), |fraction| {
        seen.push(fraction);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(seen.windows(2).all(|pair| pair[0] <= pair[1]), "{seen:?}");
    assert!(seen.iter().all(|fraction| (0.0..=1.0).contains(fraction)));
    assert_eq!(seen.last(), Some(&1.0));

    let mut calls = 0;
    let cancelled = Model::load_with_progress(tiny.path(), &ModelParams::new(), |_| {
        calls += 1;
        ControlFlow::Break(())
    });
    refused(cancelled, ErrorKind::Cancelled, &[]);
    assert_eq!(calls, 1);
}

#[test]
fn a_panic_in_the_progress_callback_reaches_the_caller() {
    let path = tiny::llama().path();
    let caught = std::panic::catch_unwind(|| {
        Model::load_with_progress(&path, &ModelParams::new(), |_| panic!("from the callback"))
    });
    let message = *caught.unwrap_err().downcast::<&str>().unwrap();
    assert_eq!(message, "from the callback");
}

#[test]
fn overrides_replace_the_files_values_and_are_checked_like_them() {
    let tiny = tiny::llama();
    let with = |key: &str, value: i64| {
        let mut overrides = Overrides::new();
        overrides.set(key, value).unwrap();
        Model::load(tiny.path(), &ModelParams::new().overrides(overrides))
    };
    assert_eq!(
        with("llama.context_length", 1024).unwrap().context_length(),
        1024
    );
    for bad in [0, 513] {
        refused(
            with("llama.block_count", bad),
            ErrorKind::InvalidGguf,
            &["block_count"],
        );
    }
    refused(
        with("llama.block_count", -1),
        ErrorKind::InvalidArgument,
        &["block_count"],
    );
    let mut overrides = Overrides::new();
    overrides.set("llama.context_length", true).unwrap();
    let wrong = Model::load(tiny.path(), &ModelParams::new().overrides(overrides));
    refused(wrong, ErrorKind::InvalidArgument, &["llama.context_length"]);
}

#[test]
fn a_vocabulary_alone_tokenizes_but_does_not_compute() {
    for tiny in [tiny::llama(), tiny::llama_spm(), tiny::bert()] {
        let model = Model::load(tiny.path(), &ModelParams::new().vocab_only(true)).unwrap();
        let whole = load(&tiny);
        let tokens = model
            .vocab()
            .tokenize("the little dog", true, false)
            .unwrap();
        assert_eq!(
            tokens,
            whole
                .vocab()
                .tokenize("the little dog", true, false)
                .unwrap()
        );
        refused(
            Context::new(&model, &params()),
            ErrorKind::Unsupported,
            &["vocabulary only"],
        );
    }
}

fn template(tiny: &Tiny) -> Result<ChatTemplate> {
    ChatTemplate::from_gguf(&gguf::File::open(tiny.path())?)
}

#[test]
fn the_chat_template_is_that_of_the_file() {
    let tiny = tiny::llama();
    let model = load(&tiny);
    let source = model.chat_template(None).unwrap().unwrap();
    assert!(source.contains("<|im_start|>"), "{source}");
    assert_eq!(template(&tiny).unwrap().source(), source);
    assert_eq!(model.chat_template(Some("no such one")).unwrap(), None);
    let nul = model.chat_template(Some("a\0b"));
    refused(nul, ErrorKind::InvalidArgument, &["NUL"]);
    // Its vocabulary is that of no chat model.
    let bert = tiny::bert();
    assert_eq!(load(&bert).chat_template(None).unwrap(), None);
    let none = template(&bert);
    refused(none, ErrorKind::Unsupported, &["no chat template", "bert"]);
}

#[test]
fn a_conversation_becomes_the_tokens_of_a_prompt() {
    for (tiny, begin, end, answer) in [
        (tiny::llama(), "<|im_start|>", "<|im_end|>", "assistant"),
        // This template writes BOS, which the vocabulary wants to be added.
        (tiny::gemma3(), "<start_of_turn>", "<end_of_turn>", "model"),
    ] {
        let vocab = load(&tiny).vocab().clone();
        let asked = format!("What is {end}?");
        let messages = [Message::system("Be brief."), Message::user(asked.as_str())];
        let prompt = template(&tiny)
            .unwrap()
            .render(&Conversation::new(messages));
        let tokens = vocab
            .tokenize_segments(&prompt.unwrap(), true)
            .unwrap()
            .tokens;
        let bos = if vocab.adds_bos() { "<s>" } else { "" };
        assert_eq!(
            vocab.detokenize(&tokens, false, true).unwrap(),
            format!(
                "{bos}{begin}system\nBe brief.{end}\n{begin}user\n{asked}{end}\n{begin}{answer}\n"
            )
        );
        let end = vocab.control_token(end).unwrap().unwrap();
        // The user's is text.
        assert_eq!(tokens.iter().filter(|token| **token == end).count(), 2);
    }
}

#[test]
fn what_is_no_model_file_is_an_error_that_names_it() {
    let params = ModelParams::new();
    let load = |path: &str| Model::load(path, &params);
    refused(
        load("/no/such/file.gguf"),
        ErrorKind::Io,
        &["/no/such/file.gguf"],
    );
    refused(load(""), ErrorKind::Io, &[]);
    refused(load("a\0b.gguf"), ErrorKind::Io, &[]);
    let folder = std::env::temp_dir();
    let error = load(folder.to_str().unwrap()).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Io | ErrorKind::InvalidGguf),
        "{error}"
    );
    let lora = tiny::lora(&tiny::llama(), 4, "a");
    let error = Model::load(lora.path(), &params).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[test]
fn device_parameters_are_checked() {
    let path = tiny::llama().path();
    let load = |params: ModelParams| Model::load(&path, &params);
    for shares in [
        vec![1.0; 17],
        vec![f32::NAN],
        vec![-1.0],
        vec![f32::INFINITY],
    ] {
        let result = load(ModelParams::new().tensor_split(shares));
        refused(result, ErrorKind::InvalidArgument, &["tensor_split"]);
    }
    let device = llamakit::devices().unwrap().remove(0);
    let result = load(ModelParams::new().devices(vec![device; 17]));
    refused(result, ErrorKind::InvalidArgument, &["devices"]);
}

#[test]
fn a_model_lives_as_long_as_anything_made_from_it() {
    let tiny = tiny::llama();
    let model = load(&tiny);
    let vocab = model.vocab().clone();
    let adapter = llamakit::LoraAdapter::load(&model, tiny::lora(&tiny, 4, "a").path()).unwrap();
    let mut context = Context::new(&model, &params()).unwrap();
    drop(model);
    let want = fresh_logits(&tiny, &params(), &run_of(8, 1));
    assert_eq!(decode(&mut context, A, &run_of(8, 1)), want);
    context
        .set_lora_adapters(&[(adapter.clone(), 1.0)])
        .unwrap();
    drop(context);
    assert_eq!(adapter.model().architecture(), "llama");
    drop(adapter);
    assert_eq!(vocab.piece(Token(65), false).unwrap(), b"A");
}
