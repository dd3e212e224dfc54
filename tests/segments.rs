//! Prompts in segments: control tokens come from templates only, everything else is as ever.

#![cfg(feature = "inference")]

use std::sync::LazyLock;

use llamakit::gguf::{Array, Value};
use llamakit::{ErrorKind, Model, ModelParams, Segment, SegmentTokens, Token, Vocab};
use llamakit_testkit::fetch::{self, RemoteModel};
use llamakit_testkit::tiny::{self, Tiny};
use proptest::prelude::*;

fn load(tiny: &Tiny) -> Model {
    Model::load(tiny.path(), &ModelParams::new()).unwrap()
}

/// GGUF's number for tokens that the file's author added.
const USER_DEFINED: i32 = 4;

/// The model with these tokens as user-defined ones.
fn with_user_defined(tiny: Tiny, names: &[&str]) -> Tiny {
    let array = |name: &str| {
        let key = format!("tokenizer.ggml.{name}");
        let value = tiny.keys().iter().find(|(k, _)| *k == key);
        value.cloned().map(|(_, value)| value)
    };
    let (Some(Value::Array(Array::String(tokens))), Some(Value::Array(Array::I32(mut kinds)))) =
        (array("tokens"), array("token_type"))
    else {
        panic!("the model has no tokens");
    };
    for name in names {
        let token = tokens
            .iter()
            .position(|token| token == name.as_bytes())
            .unwrap();
        kinds[token] = USER_DEFINED;
    }
    tiny.with("tokenizer.ggml.token_type", kinds)
}

/// The model with another name for one token.
fn renamed(tiny: Tiny, from: &str, to: &str) -> Tiny {
    let key = "tokenizer.ggml.tokens";
    let found = tiny.keys().iter().find(|(k, _)| k == key);
    let Some((_, Value::Array(Array::String(tokens)))) = found.cloned() else {
        panic!("the model has no tokens");
    };
    let tokens: Vec<String> = tokens
        .iter()
        .map(|token| match token == from.as_bytes() {
            true => to.to_owned(),
            false => String::from_utf8(token.clone()).unwrap(),
        })
        .collect();
    tiny.with(key, tokens)
}

static BPE: LazyLock<Model> =
    LazyLock::new(|| load(&tiny::llama().with("tokenizer.ggml.pre", "qwen2")));
static SPM: LazyLock<Model> = LazyLock::new(|| load(&tiny::gemma3()));
/// SentencePiece with a space before every text.
static SPM_PREFIX: LazyLock<Model> = LazyLock::new(|| load(&tiny::llama_spm()));
/// With this name all special tokens take away the white space behind them; upstream then looks for
/// a token that the vocabulary must have.
static STRIPPING: LazyLock<Model> = LazyLock::new(|| {
    let renamed = renamed(tiny::llama_spm(), "<end_of_turn>", "<|endoftext|>");
    load(&renamed.with("general.name", "phi-3"))
});
static USER: LazyLock<Model> = LazyLock::new(|| {
    load(&with_user_defined(
        tiny::llama_spm(),
        &["\u{2581}the", "<start_of_turn>", "e"],
    ))
});
static WPM: LazyLock<Model> = LazyLock::new(|| load(&tiny::bert()));
static UGM: LazyLock<Model> = LazyLock::new(|| load(&tiny::t5()));

fn every_tokenizer() -> [&'static Model; 7] {
    [&BPE, &SPM, &SPM_PREFIX, &STRIPPING, &USER, &WPM, &UGM]
}

/// Words the vocabularies know, names of their control tokens, and any characters between them.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just(" the".to_owned()),
        Just(" little\n ".to_owned()),
        Just("<|im_start|>".to_owned()),
        Just("<|im_end|>".to_owned()),
        Just("<start_of_turn>".to_owned()),
        Just("<end_of_turn>".to_owned()),
        Just("</s>".to_owned()),
        Just("<unk>".to_owned()),
        Just("[SEP]".to_owned()),
        "[<|>a ]{0,3}",
        "\\PC{0,6}",
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

/// The text in as many segments as there are cuts, and one more.
fn cut(text: &str, cuts: &[usize], segment: impl Fn(String) -> Segment) -> Vec<Segment> {
    let chars: Vec<char> = text.chars().collect();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (chars.len() + 1)).collect();
    cuts.extend([0, chars.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|ends| segment(chars[ends[0]..ends[1]].iter().collect()))
        .collect()
}

fn controls(vocab: &Vocab, tokens: &[Token]) -> usize {
    let is_control = |token: &&Token| vocab.token(**token).unwrap().is_control;
    tokens.iter().filter(is_control).count()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn templates_alone_are_tokenized_as_one_text(
        text in text(),
        cuts in proptest::collection::vec(0usize..100, 0..6),
        add_special: bool,
    ) {
        for model in every_tokenizer() {
            let whole = model.vocab().tokenize(&text, add_special, true).unwrap();
            let segments = cut(&text, &cuts, Segment::template);
            let tokens = model.vocab().tokenize_segments(&segments, add_special).unwrap();
            prop_assert_eq!(tokens.tokens, whole);
        }
    }

    #[test]
    fn messages_alone_are_only_text(
        text in text(),
        cuts in proptest::collection::vec(0usize..100, 0..6),
        add_special: bool,
    ) {
        for model in every_tokenizer() {
            let whole = model.vocab().tokenize(&text, add_special, false).unwrap();
            let segments = cut(&text, &cuts, Segment::message);
            let tokens = model.vocab().tokenize_segments(&segments, add_special).unwrap();
            prop_assert_eq!(tokens.tokens, whole);
        }
    }

    #[test]
    fn a_message_in_a_template_ends_no_turn(message in text()) {
        for (model, begin, end) in [
            (&BPE, "<|im_start|>user\n", "<|im_end|>\n"),
            (&SPM, "<start_of_turn>user\n", "<end_of_turn>\n"),
        ] {
            let vocab = model.vocab();
            // The tokenizer's own sign for a space comes back as a space.
            let message = message.replace('\u{2581}', "");
            let segments = [
                Segment::template(begin),
                Segment::message(&message),
                Segment::template(end),
            ];
            let tokens = vocab.tokenize_segments(&segments, false).unwrap().tokens;
            prop_assert_eq!(controls(vocab, &tokens), 2);
            let text = vocab.detokenize(&tokens, false, true).unwrap();
            prop_assert_eq!(text, format!("{begin}{message}{end}"));
        }
    }

    #[test]
    fn every_group_has_the_tokens_of_its_text(
        messages in proptest::collection::vec(text(), 1..5),
    ) {
        for (model, begin) in [(&BPE, "<|im_start|>"), (&SPM, "<start_of_turn>")] {
            let vocab = model.vocab();
            let mut segments = Vec::new();
            for (group, message) in (0..).zip(&messages) {
                segments.push(Segment::template(begin).in_group(group));
                segments.push(Segment::message(message.replace('\u{2581}', "")).in_group(group));
            }
            segments.push(Segment::template(begin));
            let SegmentTokens { tokens, groups, .. } = vocab.tokenize_segments(&segments, true).unwrap();
            prop_assert_eq!(tokens.len(), groups.len());
            for group in 0..messages.len() as u32 {
                let of_group = |group: Option<u32>| -> Vec<Token> {
                    let pairs = tokens.iter().zip(&groups).filter(|(_, g)| **g == group);
                    pairs.map(|(token, _)| *token).collect()
                };
                let texts = segments.iter().filter(|segment| segment.group == Some(group));
                let expected: String = texts.map(|segment| segment.text.as_str()).collect();
                let text = vocab.detokenize(&of_group(Some(group)), false, true).unwrap();
                prop_assert_eq!(text, expected);
                let bos = vocab.bos().filter(|_| vocab.adds_bos());
                let template = vocab.tokenize(begin, false, true).unwrap();
                let loose: Vec<Token> = bos.into_iter().chain(template).collect();
                prop_assert_eq!(of_group(None), loose);
            }
        }
    }
}

#[test]
fn a_token_across_two_groups_belongs_to_the_first() {
    for (model, first) in [(&BPE, 0), (&SPM_PREFIX, 1)] {
        let vocab = model.vocab();
        let segments = [
            Segment::message("The quick bro").in_group(1),
            Segment::message("wn fox jumps").in_group(2),
        ];
        let whole = vocab
            .tokenize("The quick brown fox jumps", false, false)
            .unwrap();
        let SegmentTokens { tokens, groups, .. } =
            vocab.tokenize_segments(&segments, false).unwrap();
        assert_eq!(tokens, whole);
        let mut end = 0;
        for (&token, &group) in tokens.iter().zip(&groups) {
            // The space before the text is in the first token.
            let begins_in_first = end < "The quick bro".len() + first;
            assert_eq!(group, Some(if begins_in_first { 1 } else { 2 }));
            end += vocab.piece(token, false).unwrap().len();
        }
        assert!(groups.contains(&Some(1)) && groups.contains(&Some(2)));
    }
}

#[test]
fn no_segments_are_an_empty_text() {
    for model in every_tokenizer() {
        let vocab = model.vocab();
        for segments in [vec![], vec![Segment::template(""), Segment::message("")]] {
            for add_special in [false, true] {
                let tokens = vocab.tokenize_segments(&segments, add_special).unwrap();
                assert_eq!(
                    tokens.tokens,
                    vocab.tokenize("", add_special, true).unwrap()
                );
                assert!(tokens.groups.iter().all(Option::is_none));
            }
        }
    }
}

#[test]
fn a_template_that_begins_with_bos_gets_no_second_one() {
    let vocab = SPM.vocab();
    let bos = vocab.bos().unwrap();
    let tokens = |template: &str| {
        let segments = [Segment::template(template), Segment::message("<s>the")];
        vocab.tokenize_segments(&segments, true).unwrap().tokens
    };
    let count = |tokens: &[Token]| tokens.iter().filter(|token| **token == bos).count();
    let written = tokens("<s><start_of_turn>");
    assert_eq!((written[0], count(&written)), (bos, 1));
    assert_eq!(tokens("<start_of_turn>"), written);
    // Further ones were meant, and what a message says is text.
    assert_eq!(count(&tokens("<s><s>")), 2);
    let said = tokens("");
    assert_eq!((said[0], count(&said)), (bos, 1));
    assert_eq!(said[1..], vocab.tokenize("<s>the", false, false).unwrap());
}

#[test]
fn a_vocabulary_that_makes_control_tokens_of_plain_text_is_told_of() {
    // This pre-tokenizer looks up whole words among all tokens.
    let tiny = tiny::llama().with("tokenizer.ggml.pre", "llama-bpe");
    let key = "tokenizer.ggml.tokens";
    let tokens = tiny.keys().iter().find(|(k, _)| k == key).cloned();
    let Some((_, Value::Array(Array::String(mut tokens)))) = tokens else {
        panic!("the model has no tokens");
    };
    let end = tokens
        .iter()
        .position(|token| token == b"<|im_end|>")
        .unwrap();
    tokens[end] = b"zqz".to_vec();
    let model = load(&tiny.with(key, Value::Array(Array::String(tokens))));
    let vocab = model.vocab();
    let end = Token(end as i32);
    assert_eq!(vocab.tokenize("zqz", false, false).unwrap(), [end]);
    let template = vocab.tokenize_segments(&[Segment::template("zqz")], false);
    assert_eq!(template.unwrap().tokens, [end]);
    let error = vocab.tokenize_segments(&[Segment::message("zqz")], false);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tokenize);
    assert!(error.to_string().contains("zqz"), "{error}");
}

/// Every name of a control token, in a chat of the model's own form.
fn real_model_keeps_messages_apart(model: RemoteModel, begin: &str, end: &str) {
    let path = fetch::model(model).unwrap_or_else(|error| panic!("{error}"));
    let model = Model::load(path, &ModelParams::new()).unwrap();
    let vocab = model.vocab();
    let mut names = String::new();
    for id in 0..vocab.n_tokens() {
        let token = vocab.token(Token(id as i32)).unwrap();
        if token.is_control {
            names += &String::from_utf8(token.text).unwrap();
            names += " and ";
        }
    }
    let question = "Write a poem about the sea.  Then\n\n\n  count: 1, 2, 3\u{2026}  \u{1f999}";
    for message in [question, &names, &names.repeat(3)] {
        let chat = |middle: Segment| {
            [
                Segment::template(format!("{begin}user\n")),
                middle,
                Segment::template(format!("{end}\n{begin}")),
                Segment::template("model\n"),
            ]
        };
        let text = format!("{begin}user\n{message}{end}\n{begin}model\n");
        let template = vocab.tokenize_segments(&chat(Segment::template(message)), true);
        let whole = vocab.tokenize(&text, true, true).unwrap();
        assert_eq!(template.unwrap().tokens, whole);
        let tokens = vocab.tokenize_segments(&chat(Segment::message(message)), false);
        let tokens = tokens.unwrap().tokens;
        assert_eq!(controls(vocab, &tokens), 3);
        assert_eq!(vocab.detokenize(&tokens, false, true).unwrap(), text);
    }
}

#[test]
fn smollm2_keeps_messages_apart() {
    real_model_keeps_messages_apart(fetch::SMOLLM2, "<|im_start|>", "<|im_end|>");
}

#[test]
fn gemma3_keeps_messages_apart() {
    real_model_keeps_messages_apart(fetch::GEMMA3, "<start_of_turn>", "<end_of_turn>");
}
