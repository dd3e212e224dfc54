//! Things dropped in an order that would leave upstream with dangling pointers.

use llamakit::{Context, LoraAdapter, Sampler, Token};
use llamakit_testkit::tiny;

use crate::{A, context, decode, load, params, run_of, survives};

#[test]
fn an_adapter_dropped_after_its_model_and_context() {
    survives(|| {
        let tiny = tiny::llama();
        let model = load(&tiny);
        let adapter = LoraAdapter::load(&model, tiny::lora(&tiny, 4, "a").path()).unwrap();
        let mut context = Context::new(&model, &params()).unwrap();
        context
            .set_lora_adapters(&[(adapter.clone(), 1.0)])
            .unwrap();
        drop(model);
        decode(&mut context, A, &run_of(3));
        drop(context);
        assert_eq!(adapter.model().architecture(), "llama");
        drop(adapter);
    });
}

#[test]
fn an_adapter_dropped_while_it_is_attached() {
    survives(|| {
        let tiny = tiny::llama();
        let mut context = context(&tiny, &params());
        let adapter = LoraAdapter::load(context.model(), tiny::lora(&tiny, 4, "a").path()).unwrap();
        context
            .set_lora_adapters(&[(adapter.clone(), 1.0)])
            .unwrap();
        let want = decode(&mut context, A, &run_of(3));
        drop(adapter);
        context.kv_cache_mut().clear().unwrap();
        assert_eq!(decode(&mut context, A, &run_of(3)), want);
        context.set_lora_adapters(&[]).unwrap();
        decode(&mut context, A, &run_of(3));
    });
}

#[test]
fn a_context_and_a_vocabulary_dropped_after_the_model() {
    survives(|| {
        let model = load(&tiny::llama());
        let vocab = model.vocab().clone();
        let mut context = Context::new(&model, &params()).unwrap();
        drop(model);
        decode(&mut context, A, &run_of(3));
        drop(context);
        assert_eq!(vocab.tokenize("A", false, false).unwrap(), [Token(65)]);
        assert_eq!(vocab.piece(Token(65), false).unwrap(), b"A");
    });
}

#[test]
fn thread_pools_that_were_replaced() {
    survives(|| {
        let mut context = context(&tiny::llama(), &params());
        for (threads, batch) in [(1, 2), (3, 4), (8, 1), (1, 1), (2, 9)] {
            context.set_threads(threads, batch).unwrap();
            decode(&mut context, A, &run_of(4));
            decode(&mut context, A, &run_of(1));
        }
        drop(context);
        decode(
            &mut crate::context(&tiny::llama(), &params()),
            A,
            &run_of(4),
        );
    });
}

#[test]
fn a_context_dropped_on_another_thread() {
    survives(|| {
        let mut context = context(&tiny::llama(), &params());
        decode(&mut context, A, &run_of(4));
        let handle = context.abort_handle();
        std::thread::spawn(move || drop(context)).join().unwrap();
        handle.abort();
    });
}

#[test]
fn contexts_made_and_dropped_while_others_compute() {
    survives(|| {
        let model = load(&tiny::llama());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..3 {
                        let mut context = Context::new(&model, &params()).unwrap();
                        let mut sampler = Sampler::greedy();
                        let prompt = run_of(9);
                        let run = context.generate(&prompt, &mut sampler).unwrap();
                        run.max_tokens(4).for_each(|piece| drop(piece.unwrap()));
                    }
                });
            }
        });
    });
}

#[test]
fn a_panic_while_a_context_is_in_use() {
    survives(|| {
        let model = load(&tiny::llama());
        let mut context = Context::new(&model, &params()).unwrap();
        let result = std::thread::spawn(move || {
            decode(&mut context, A, &run_of(4));
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        assert!(result.join().is_err());
        decode(&mut Context::new(&model, &params()).unwrap(), A, &run_of(4));
    });
}
