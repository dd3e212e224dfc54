//! The loop that turns a prompt into pieces of text.

use llamakit::sampler::Stage;
use llamakit::{Context, EndReason, ErrorKind, Model, Sampler, Token};
use llamakit_testkit::tiny;

use crate::{A, context, every_memory, load, params, refused, run_of};

fn answer(context: &mut Context, prompt: &[Token], count: usize) -> (Vec<Token>, String, usize) {
    let mut sampler = ordinary(context.model());
    let mut run = context
        .generate(prompt, &mut sampler)
        .unwrap()
        .max_tokens(count);
    let text: String = run.by_ref().map(Result::unwrap).collect();
    (run.tokens().to_vec(), text, run.usage().cached_tokens)
}

/// Greedy, but never a control token: these models would stop at random.
fn ordinary(model: &Model) -> Sampler {
    let bias = (0..model.vocab().n_tokens() as i32).filter(|id| !(20..240).contains(id));
    let bias = bias.map(|id| (Token(id), f32::NEG_INFINITY)).collect();
    Sampler::builder()
        .stage(Stage::LogitBias(bias))
        .stage(Stage::Greedy)
        .build()
        .unwrap()
}

#[test]
fn the_text_is_that_of_the_tokens_and_both_stay_in_the_cache() {
    for tiny in every_memory()
        .into_iter()
        .chain([tiny::moe(), tiny::llama_spm()])
    {
        let mut context = context(&tiny, &params());
        let prompt = run_of(17, 1);
        let (tokens, text, cached) = answer(&mut context, &prompt, 20);
        assert_eq!((tokens.len(), cached), (20, 0), "{}", tiny.name());
        let vocab = context.model().vocab().clone();
        let bytes: Vec<u8> = tokens
            .iter()
            .flat_map(|&token| vocab.piece(token, false).unwrap())
            .collect();
        assert_eq!(text, String::from_utf8_lossy(&bytes));
        let all = [prompt, tokens].concat();
        assert!(context.kv_cache().tokens(A).eq(all), "{}", tiny.name());
    }
}

#[test]
fn the_second_turn_computes_only_what_is_new() {
    for tiny in every_memory() {
        let mut context = context(&tiny, &params());
        let first = run_of(17, 1);
        let (reply, ..) = answer(&mut context, &first, 10);
        let second = [&first[..], &reply, &run_of(6, 2)].concat();
        let (tokens, _, cached) = answer(&mut context, &second, 10);
        assert_eq!(cached, 27, "{}", tiny.name());
        let mut fresh = crate::context(&tiny, &params());
        assert_eq!(answer(&mut fresh, &second, 10).0, tokens, "{}", tiny.name());
        // The same prompt again: recurrent memories cannot step back one token.
        let (again, _, cached) = answer(&mut context, &second, 10);
        let partial = matches!(tiny.name(), "llama" | "gemma3");
        assert_eq!(
            cached,
            if partial { second.len() - 1 } else { 0 },
            "{}",
            tiny.name()
        );
        assert_eq!(again, tokens, "{}", tiny.name());
    }
}

#[test]
fn a_generation_ends_for_the_reason_it_gives() {
    let model = load(&tiny::llama());
    let mut context = Context::new(&model, &params()).unwrap();
    let prompt = run_of(10, 1);

    let mut sampler = ordinary(context.model());
    let mut run = context
        .generate(&prompt, &mut sampler)
        .unwrap()
        .max_tokens(5);
    assert_eq!(run.end_reason(), None);
    assert!(
        run.by_ref()
            .all(|piece| piece.is_ok_and(|piece| !piece.is_empty()))
    );
    assert_eq!(run.end_reason(), Some(EndReason::MaxTokens));
    assert_eq!(
        (run.usage().prompt_tokens, run.usage().generated_tokens),
        (10, 5)
    );
    assert!(run.next().is_none());

    let mut run = context
        .generate(&prompt, &mut sampler)
        .unwrap()
        .max_tokens(0);
    assert!(run.next().is_none());
    assert_eq!(run.end_reason(), Some(EndReason::MaxTokens));

    let eos = model.vocab().eos().unwrap();
    let only_eos = Stage::LogitBias([(eos, 1000.0)].into());
    let mut stop = Sampler::builder()
        .stage(only_eos)
        .stage(Stage::Greedy)
        .build()
        .unwrap();
    let mut run = context.generate(&prompt, &mut stop).unwrap();
    assert!(run.next().is_none());
    assert_eq!(run.end_reason(), Some(EndReason::EndOfGeneration(eos)));
    assert_eq!((run.usage().generated_tokens, run.tokens()), (0, &[][..]));
    assert!(context.kv_cache().tokens(A).eq(prompt.iter().copied()));
}

#[test]
fn control_tokens_are_text_for_those_who_ask_for_them() {
    let mut context = context(&tiny::llama(), &params());
    let name = "<|im_start|>";
    let start = context
        .model()
        .vocab()
        .control_token(name)
        .unwrap()
        .unwrap();
    let mut sampler = Sampler::builder()
        .stage(Stage::LogitBias([(start, 1000.0)].into()))
        .stage(Stage::Greedy)
        .build()
        .unwrap();
    for (texts, expected) in [
        (&[][..], ""),
        (&[name, "<none>"], "<|im_start|><|im_start|>"),
    ] {
        let mut run = context
            .generate(&run_of(5, 1), &mut sampler)
            .unwrap()
            .max_tokens(2)
            .special_texts(texts)
            .unwrap();
        let text: String = run.by_ref().map(Result::unwrap).collect();
        assert_eq!(
            (text.as_str(), run.tokens()),
            (expected, &[start, start][..])
        );
    }
}

#[test]
fn a_full_context_ends_a_generation_and_not_the_context() {
    for tiny in every_memory() {
        let mut context = context(&tiny, &params());
        let prompt = run_of(100, 1);
        let mut sampler = ordinary(context.model());
        let mut run = context.generate(&prompt, &mut sampler).unwrap();
        assert!(run.by_ref().all(|piece| piece.is_ok()));
        assert_eq!(
            run.end_reason(),
            Some(EndReason::ContextFull),
            "{}",
            tiny.name()
        );
        // The last token needs no cell of its own.
        assert_eq!(
            run.usage().generated_tokens,
            256 - 100 + 1,
            "{}",
            tiny.name()
        );
        assert_eq!(context.kv_cache().len(A), 256);
        let (tokens, ..) = answer(&mut context, &run_of(8, 2), 5);
        let mut fresh = crate::context(&tiny, &params());
        assert_eq!(tokens, answer(&mut fresh, &run_of(8, 2), 5).0);
    }
}

#[test]
fn an_abort_ends_a_generation_and_the_next_one_works() {
    for tiny in every_memory() {
        let mut context = context(&tiny, &params());
        let handle = context.abort_handle();
        let prompt = run_of(10, 1);
        let mut sampler = ordinary(context.model());
        let mut run = context.generate(&prompt, &mut sampler).unwrap();
        run.next().unwrap().unwrap();
        handle.abort();
        assert!(run.by_ref().all(|piece| piece.is_ok()));
        assert_eq!(
            run.end_reason(),
            Some(EndReason::Aborted),
            "{}",
            tiny.name()
        );
        handle.abort();
        let mut run = context.generate(&run_of(9, 5), &mut sampler).unwrap();
        assert!(run.next().is_none());
        assert_eq!(run.end_reason(), Some(EndReason::Aborted));
        let (tokens, ..) = answer(&mut context, &prompt, 8);
        let mut fresh = crate::context(&tiny, &params());
        assert_eq!(tokens, answer(&mut fresh, &prompt, 8).0, "{}", tiny.name());
    }
}

#[test]
fn prompts_that_cannot_be_continued_are_refused() {
    let mut context = context(&tiny::llama(), &params());
    let mut sampler = Sampler::greedy();
    let kind = ErrorKind::InvalidArgument;
    refused(
        context.generate("", &mut sampler).map(drop),
        kind,
        &["no tokens"],
    );
    let long = run_of(256, 1);
    refused(
        context.generate(&long, &mut sampler).map(drop),
        kind,
        &["256"],
    );
    let bad = [Token(20), Token(1_000_000)];
    refused(
        context.generate(&bad[..], &mut sampler).map(drop),
        kind,
        &["1000000"],
    );
    assert!(context.generate(&run_of(255, 1), &mut sampler).is_ok());
    let mut t5 = crate::context(&tiny::t5(), &params());
    assert!(t5.generate("the", &mut sampler).is_err());
}

#[test]
fn an_encoder_does_not_generate() {
    let mut context = context(&tiny::bert(), &params().batch_size(64));
    let mut sampler = Sampler::greedy();
    let result = context.generate("the little dog", &mut sampler).map(drop);
    refused(result, ErrorKind::Unsupported, &["generate"]);
}

#[test]
fn a_prompt_of_text_is_tokenized_with_its_special_tokens() {
    let model = load(&tiny::gemma3());
    let mut context = Context::new(&model, &params()).unwrap();
    let text = "<start_of_turn>user\nhello<end_of_turn>";
    let tokens = model.vocab().tokenize(text, true, true).unwrap();
    let mut sampler = ordinary(context.model());
    let run = context.generate(text, &mut sampler).unwrap();
    assert_eq!(run.usage().prompt_tokens, tokens.len());
    drop(run);
    assert!(context.kv_cache().tokens(A).eq(tokens));
}

#[test]
fn the_same_seed_gives_the_same_answer() {
    let mut context = context(&tiny::llama(), &params());
    let mut draw = |seed: u64| {
        let mut sampler = Sampler::builder()
            .stage(Stage::Temperature(1.0))
            .stage(Stage::Distribution)
            .seed(seed)
            .build()
            .unwrap();
        context.kv_cache_mut().clear().unwrap();
        let prompt = run_of(10, 1);
        let mut run = context
            .generate(&prompt, &mut sampler)
            .unwrap()
            .max_tokens(20);
        run.by_ref().for_each(|piece| drop(piece.unwrap()));
        run.tokens().to_vec()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}
