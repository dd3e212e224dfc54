//! Text to tokens and back, on random Unicode, for every family of tokenizers.

use std::sync::LazyLock;

use llamakit::{ErrorKind, Model, Token, Vocab, VocabType};
use llamakit_testkit::tiny;
use proptest::prelude::*;

use crate::{load, refused};

/// A splitter whose texts upstream gives back without cleaning spaces before punctuation.
static BPE: LazyLock<Model> =
    LazyLock::new(|| load(&tiny::llama().with("tokenizer.ggml.pre", "qwen2")));
/// SentencePiece without the space it likes to put before a text.
static SPM: LazyLock<Model> = LazyLock::new(|| load(&tiny::gemma3()));
static SPM_PREFIX: LazyLock<Model> = LazyLock::new(|| load(&tiny::llama_spm()));
static WPM: LazyLock<Model> = LazyLock::new(|| load(&tiny::bert()));
static UGM: LazyLock<Model> = LazyLock::new(|| load(&tiny::t5()));

/// Words the vocabularies know, and any characters at all between them.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just(" the".to_owned()),
        Just(" little".to_owned()),
        Just("<|im_end|>".to_owned()),
        Just("</s>".to_owned()),
        Just("<0x41>".to_owned()),
        Just("\u{2581}".to_owned()),
        Just("\n\n  ".to_owned()),
        "\\PC{0,6}",
        any::<char>().prop_map(String::from),
        "[🦙🏳️‍🌈👩‍👩‍👧]{1,3}",
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

fn pieces(vocab: &Vocab, tokens: &[Token]) -> Vec<Vec<u8>> {
    tokens
        .iter()
        .map(|&token| vocab.piece(token, false).unwrap())
        .collect()
}

/// The text of a stream of pieces, given to the decoder in parts that begin at the cuts.
fn stream(vocab: &Vocab, bytes: &[u8], cuts: &[usize]) -> String {
    let mut decoder = vocab.decoder();
    let mut text = String::new();
    let mut from = 0;
    for &cut in cuts {
        text += &decoder.push(&bytes[from..cut]);
        from = cut;
    }
    text += &decoder.push(&bytes[from..]);
    text + &decoder.finish()
}

fn round_trip(vocab: &Vocab, text: &str) {
    let tokens = vocab.tokenize(text, false, false).unwrap();
    for &token in &tokens {
        let info = vocab.token(token).unwrap();
        assert!(
            !info.is_control,
            "{text:?} became the control token {token}"
        );
    }
    assert_eq!(vocab.detokenize(&tokens, false, false).unwrap(), text);
    let pieces = pieces(vocab, &tokens);
    let bytes = pieces.concat();
    assert_eq!(bytes, text.as_bytes());
    let mut decoder = vocab.decoder();
    let mut streamed: String = pieces.iter().map(|piece| decoder.push(piece)).collect();
    streamed += &decoder.finish();
    assert_eq!(streamed, text);
    for cut in 0..=bytes.len() {
        assert_eq!(stream(vocab, &bytes, &[cut]), text, "cut at {cut}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn byte_level_bpe_gives_every_text_back(text in text()) {
        round_trip(BPE.vocab(), &text);
    }

    #[test]
    fn sentencepiece_gives_every_text_back(text in text()) {
        // The tokenizer's own sign for a space comes back as a space.
        round_trip(SPM.vocab(), &text.replace('\u{2581}', ""));
    }

    #[test]
    fn the_space_before_a_text_is_not_part_of_it(text in text()) {
        let text = text.replace('\u{2581}', "");
        let vocab = SPM_PREFIX.vocab();
        let tokens = vocab.tokenize(&text, true, false).unwrap();
        prop_assert_eq!(tokens[0], vocab.bos().unwrap());
        prop_assert_eq!(vocab.detokenize(&tokens[1..], false, false).unwrap(), text.clone());
        let bytes = pieces(vocab, &tokens[1..]).concat();
        let spaced = if text.is_empty() { String::new() } else { format!(" {text}") };
        prop_assert_eq!(String::from_utf8(bytes).unwrap(), spaced);
    }

    #[test]
    fn encoders_take_every_text(text in text()) {
        let tokens = WPM.vocab().tokenize(&text, true, false).unwrap();
        prop_assert_eq!(Some(tokens[0]), WPM.vocab().bos());
        WPM.vocab().detokenize(&tokens, false, true).unwrap();
        prop_assert_eq!(tokens.last().copied(), WPM.vocab().sep());
        let tokens = UGM.vocab().tokenize(&text, true, false).unwrap();
        prop_assert_eq!(tokens.last().copied(), UGM.vocab().eos());
        UGM.vocab().detokenize(&tokens, true, false).unwrap();
    }

    #[test]
    fn any_tokens_at_all_become_text(ids in proptest::collection::vec(0i32..300, 0..40)) {
        for model in [&*BPE, &*SPM] {
            let vocab = model.vocab();
            let tokens: Vec<Token> = ids.iter().map(|&id| Token(id)).collect();
            let bytes = pieces(vocab, &tokens).concat();
            let whole = vocab.detokenize(&tokens, false, false).unwrap();
            prop_assert_eq!(String::from_utf8_lossy(&bytes), whole.clone());
            for cut in 0..=bytes.len() {
                prop_assert_eq!(stream(vocab, &bytes, &[cut]), whole.clone());
            }
        }
    }
}

#[test]
fn names_of_control_tokens_become_them_only_on_request() {
    for (model, name) in [(&*BPE, "<|im_end|>"), (&*SPM, "<end_of_turn>")] {
        let vocab = model.vocab();
        let eog = vocab.tokenize(name, false, true).unwrap();
        assert_eq!(eog.len(), 1);
        assert!(vocab.is_end_of_generation(eog[0]).unwrap());
        let info = vocab.token(eog[0]).unwrap();
        assert_eq!(
            (info.text, info.is_control),
            (name.as_bytes().to_vec(), true)
        );
        assert!(vocab.tokenize(name, false, false).unwrap().len() > 1);
        assert_eq!(vocab.piece(eog[0], true).unwrap(), name.as_bytes());
        assert_eq!(vocab.piece(eog[0], false).unwrap(), b"");
        assert_eq!(vocab.detokenize(&eog, false, true).unwrap(), name);
        assert_eq!(vocab.detokenize(&eog, false, false).unwrap(), "");
    }
}

#[test]
fn special_tokens_are_those_of_the_file() {
    let vocab = SPM.vocab();
    assert_eq!((vocab.bos(), vocab.eos()), (Some(Token(1)), Some(Token(2))));
    assert_eq!((vocab.eot(), vocab.pad()), (Some(Token(4)), Some(Token(2))));
    assert!(vocab.adds_bos() && !vocab.adds_eos());
    assert_eq!(vocab.mask(), None);
    let byte = vocab.token(Token(5)).unwrap();
    assert!(byte.is_byte && !byte.is_control);
    let bert = WPM.vocab();
    assert_eq!((bert.sep(), bert.mask()), (Some(Token(3)), Some(Token(4))));
    assert!(bert.adds_bos());
    assert!(UGM.vocab().adds_eos());
}

#[test]
fn ids_that_do_not_exist_are_refused() {
    for model in [&*BPE, &*SPM, &*WPM, &*UGM] {
        let vocab = model.vocab();
        let end = vocab.n_tokens() as i32;
        assert!(vocab.contains(Token(end - 1)));
        for id in [-1, end, 1_000_000, i32::MIN, i32::MAX] {
            let token = Token(id);
            let named = format!("token {id}");
            assert!(!vocab.contains(token));
            refused(vocab.token(token), ErrorKind::InvalidArgument, &[&named]);
            refused(
                vocab.piece(token, true),
                ErrorKind::InvalidArgument,
                &[&named],
            );
            refused(
                vocab.is_end_of_generation(token),
                ErrorKind::InvalidArgument,
                &[&named],
            );
            let listed = vocab.detokenize(&[Token(7), token], false, false);
            refused(listed, ErrorKind::InvalidArgument, &[&named]);
        }
    }
}

#[test]
fn long_runs_of_one_character_are_tokenized_on_a_small_stack() {
    for pre in ["deepseek-llm", "deepseek-coder", "llama-bpe", "qwen2"] {
        let model = load(&tiny::llama().with("tokenizer.ggml.pre", pre));
        let text = "a".repeat(20_000);
        let worker = std::thread::Builder::new()
            .stack_size(2 << 20)
            .spawn(move || {
                let tokens = model.vocab().tokenize(&text, false, false).unwrap();
                assert_eq!(
                    model.vocab().detokenize(&tokens, false, false).unwrap(),
                    text
                );
            });
        worker.unwrap().join().unwrap();
    }
}

#[test]
fn a_model_without_tokenizer_has_no_text() {
    let mut tiny = tiny::llama().with("tokenizer.ggml.model", "no_vocab");
    for key in ["tokens", "merges", "token_type"] {
        tiny = tiny.without(&format!("tokenizer.ggml.{key}"));
    }
    let tiny = tiny.with(
        "llama.vocab_size",
        load(&tiny::llama()).vocab().n_tokens() as u32,
    );
    let model = load(&tiny);
    assert_eq!(model.vocab().vocab_type(), VocabType::None);
    let kind = ErrorKind::Unsupported;
    refused(
        model.vocab().tokenize("a", true, false),
        kind,
        &["tokenizer"],
    );
    refused(model.vocab().piece(Token(1), false), kind, &["tokenizer"]);
    refused(
        model.vocab().detokenize(&[Token(1)], false, false),
        kind,
        &["tokenizer"],
    );
    refused(model.vocab().token(Token(1)), kind, &["tokenizer"]);
    let mut context = llamakit::Context::new(&model, &crate::params()).unwrap();
    crate::decode(&mut context, crate::A, &[Token(1), Token(2)]);
}
