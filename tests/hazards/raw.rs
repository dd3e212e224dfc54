//! The last net itself: asserts and exceptions of upstream's, provoked through the raw layer, come
//! back as a status and leave the process, and where possible the object, usable.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::os::fd::AsRawFd;
use std::ptr::{null, null_mut};

use llamakit::sys::*;
use llamakit::{Model, Vocab};
use llamakit_testkit::tiny;

use crate::{load, survives};

#[track_caller]
fn caught(status: lk_status, want: &[u32], word: &str) {
    assert!(
        want.contains(&(status as u32)),
        "status {status}: {}",
        message()
    );
    assert!(
        message().contains(word),
        "{word:?} is not in: {}",
        message()
    );
}

#[track_caller]
fn ok(status: lk_status) {
    assert_eq!(status as u32, LK_OK, "{}", message());
}

fn message() -> String {
    // SAFETY: the shim's buffer of this thread is NUL-terminated.
    unsafe { CStr::from_ptr(lk_last_message()) }
        .to_string_lossy()
        .into_owned()
}

/// A raw model and context, freed in the right order.
struct Raw {
    model: *mut llama_model,
    context: *mut llama_context,
    vocab: *const llama_vocab,
    // Loading through the safe layer set the runtime up.
    _model: Model,
}

impl Raw {
    fn new(change: impl FnOnce(&mut llama_context_params)) -> Self {
        let tiny = tiny::llama();
        let safe = load(&tiny);
        let file = std::fs::File::open(tiny.path()).unwrap();
        let (mut model, mut context, mut vocab) = (null_mut(), null_mut(), null());
        // SAFETY: every pointer is a place for a result; the file is open during the call; all-zero
        // is a valid value of the parameter structs.
        unsafe {
            let mut params = std::mem::zeroed();
            ok(lk_model_default_params(&mut params));
            ok(lk_model_load_from_handle(
                file.as_raw_fd() as isize,
                &params,
                &mut model,
            ));
            let mut params = std::mem::zeroed();
            ok(lk_context_default_params(&mut params));
            params.n_ctx = 256;
            params.n_threads = 1;
            params.n_threads_batch = 1;
            change(&mut params);
            ok(lk_context_new(model, &params, &mut context));
            ok(lk_model_get_vocab(model, &mut vocab));
        }
        assert!(!model.is_null() && !context.is_null() && !vocab.is_null());
        Self {
            model,
            context,
            vocab,
            _model: safe,
        }
    }

    /// Decodes `count` tokens from `position` on, the last one with logits.
    fn decode(&self, count: usize, position: i32, seq: i32) -> (lk_status, i32) {
        let mut tokens: Vec<i32> = (0..count as i32).map(|i| 20 + i % 100).collect();
        let mut positions: Vec<i32> = (position..).take(count).collect();
        let mut seqs = vec![seq; count];
        let mut seq_ids: Vec<*mut i32> = seqs.iter_mut().map(|seq| seq as *mut i32).collect();
        let mut counts = vec![1; count];
        let mut logits: Vec<i8> = (1..=count).map(|i| i8::from(i == count)).collect();
        let batch = llama_batch {
            n_tokens: count as i32,
            token: tokens.as_mut_ptr(),
            embd: null_mut(),
            pos: positions.as_mut_ptr(),
            n_seq_id: counts.as_mut_ptr(),
            seq_id: seq_ids.as_mut_ptr(),
            logits: logits.as_mut_ptr(),
        };
        let mut code = 0;
        // SAFETY: the arrays have `count` elements and live through the call.
        let status = unsafe { lk_decode(self.context, &batch, &mut code) };
        (status, code)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: both were made by `new` and are freed once, the context first.
        unsafe {
            ok(lk_context_free(self.context));
            ok(lk_model_free(self.model));
        }
    }
}

fn grammar(vocab: *const llama_vocab, text: &str) -> (lk_status, *mut llama_sampler) {
    let text = CString::new(text).unwrap();
    let mut sampler = null_mut();
    // SAFETY: the vocabulary is alive, the texts are NUL-terminated.
    let status =
        unsafe { lk_sampler_init_grammar(vocab, text.as_ptr(), c"root".as_ptr(), &mut sampler) };
    (status, sampler)
}

fn free(sampler: *mut llama_sampler) {
    // SAFETY: made by an init function and not freed before.
    ok(unsafe { lk_sampler_free(sampler) });
}

fn token(vocab: &Vocab, text: &str) -> i32 {
    vocab.tokenize(text, false, true).unwrap()[0].0
}

#[test]
fn grammars_that_do_not_parse() {
    survives(|| {
        let model = load(&tiny::llama());
        let vocab = model.vocab().as_raw();
        for text in [
            "root ::= \"open",
            "root ::= (",
            "root ::= root \"a\"",
            "root ::= undefined",
            "other ::= \"a\"",
            "root ::= \"a\"{99999999999}",
            "::= ::=",
        ] {
            let (status, sampler) = grammar(vocab, text);
            assert!(
                status as u32 != LK_OK || sampler.is_null(),
                "{text} was accepted"
            );
        }
        let (status, sampler) = grammar(vocab, "root ::= \"a\"");
        ok(status);
        assert!(!sampler.is_null());
        free(sampler);
    });
}

#[test]
fn an_empty_grammar() {
    survives(|| {
        let model = load(&tiny::llama());
        let (status, sampler) = grammar(model.vocab().as_raw(), "");
        if status as u32 == LK_OK && !sampler.is_null() {
            free(sampler);
        }
    });
}

#[test]
fn a_grammar_that_is_told_of_a_token_it_refuses() {
    survives(|| {
        let model = load(&tiny::llama());
        let (status, sampler) = grammar(model.vocab().as_raw(), "root ::= \"A\" \"B\"");
        ok(status);
        let (b, eog) = (
            token(model.vocab(), "B"),
            token(model.vocab(), "<|im_end|>"),
        );
        // SAFETY: the sampler is alive.
        unsafe {
            caught(
                lk_sampler_accept(sampler, b),
                &[LK_EXCEPTION, LK_ASSERT],
                "",
            );
            caught(
                lk_sampler_accept(sampler, eog),
                &[LK_EXCEPTION, LK_ASSERT],
                "",
            );
            caught(
                lk_sampler_accept(sampler, 1_000_000),
                &[LK_EXCEPTION, LK_ASSERT],
                "",
            );
        }
        free(sampler);
    });
}

#[test]
fn a_grammar_that_is_ended_too_early() {
    survives(|| {
        let model = load(&tiny::llama());
        let (status, sampler) = grammar(model.vocab().as_raw(), "root ::= \"A\" \"B\"");
        ok(status);
        let (a, eog) = (
            token(model.vocab(), "A"),
            token(model.vocab(), "<|im_end|>"),
        );
        // SAFETY: the sampler is alive.
        unsafe {
            ok(lk_sampler_accept(sampler, a));
            caught(
                lk_sampler_accept(sampler, eog),
                &[LK_ASSERT, LK_EXCEPTION],
                "",
            );
        }
        free(sampler);
    });
}

#[test]
fn a_trigger_that_is_no_regular_expression() {
    survives(|| {
        let model = load(&tiny::llama());
        let patterns: [*const c_char; 1] = [c"[unclosed(".as_ptr()];
        let mut sampler = null_mut();
        // SAFETY: the vocabulary is alive; one pattern is given, NUL-terminated.
        let status = unsafe {
            lk_sampler_init_grammar_lazy(
                model.vocab().as_raw(),
                c"root ::= \"a\"".as_ptr(),
                c"root".as_ptr(),
                patterns.as_ptr().cast_mut(),
                1,
                null(),
                0,
                &mut sampler,
            )
        };
        caught(status, &[LK_EXCEPTION], "");
    });
}

#[test]
fn a_grammar_after_its_model_handle_is_gone() {
    survives(|| {
        let vocab = load(&tiny::llama()).vocab().clone();
        let (status, sampler) = grammar(vocab.as_raw(), "root ::= \"A\" \"B\"");
        ok(status);
        // SAFETY: the vocabulary keeps the model alive.
        ok(unsafe { lk_sampler_accept(sampler, token(&vocab, "A")) });
        free(sampler);
    });
}

#[test]
fn sampling_without_logits_or_selector() {
    survives(|| {
        let raw = Raw::new(|_| {});
        let (mut chain, mut top_k, mut greedy, mut drawn) = (null_mut(), null_mut(), null_mut(), 0);
        // SAFETY: every pointer is a place for a result or came from one; the chain owns what is
        // added to it.
        unsafe {
            ok(lk_sampler_init_greedy(&mut greedy));
            caught(
                lk_sampler_sample(greedy, raw.context, -1, &mut drawn),
                &[LK_ASSERT],
                "GGML_ASSERT",
            );
            assert_eq!(raw.decode(3, 0, 0), (LK_OK as i32, 0));
            caught(
                lk_sampler_sample(greedy, raw.context, 0, &mut drawn),
                &[LK_ASSERT],
                "GGML_ASSERT",
            );
            ok(lk_sampler_chain_init(&mut chain));
            ok(lk_sampler_init_top_k(5, &mut top_k));
            ok(lk_sampler_chain_add(chain, top_k));
            caught(
                lk_sampler_sample(chain, raw.context, 2, &mut drawn),
                &[LK_ASSERT],
                "GGML_ASSERT",
            );
            ok(lk_sampler_sample(greedy, raw.context, 2, &mut drawn));
        }
        assert!(drawn >= 0);
        free(chain);
        free(greedy);
    });
}

#[test]
fn batches_and_memory_calls_that_assert() {
    survives(|| {
        let raw = Raw::new(|params| {
            params.n_batch = 64;
            params.n_ubatch = 64;
        });
        caught(raw.decode(65, 0, 0).0, &[LK_ASSERT], "n_tokens");
        assert_eq!(raw.decode(4, 0, 300), (LK_OK as i32, -1));
        let mut removed = false;
        let (mut first, mut last, mut size) = (0, 0, 0);
        // SAFETY: the context is alive; every pointer is a place for a result.
        unsafe {
            caught(
                lk_memory_seq_rm(raw.context, 300, -1, -1, &mut removed),
                &[LK_ASSERT],
                "seq_id",
            );
            caught(
                lk_memory_seq_pos(raw.context, 300, &mut first, &mut last),
                &[LK_ASSERT],
                "seq_id",
            );
            caught(
                lk_state_seq_get_size(raw.context, 300, 0, &mut size),
                &[LK_OK, LK_ASSERT],
                "",
            );
            ok(lk_memory_clear(raw.context, true));
        }
        assert_eq!(raw.decode(64, 0, 0), (LK_OK as i32, 0));
    });
}

#[test]
fn part_of_a_stream_copied_into_another() {
    survives(|| {
        let raw = Raw::new(|params| {
            params.n_seq_max = 2;
            params.kv_unified = false;
        });
        assert_eq!(raw.decode(8, 0, 0), (LK_OK as i32, 0));
        // SAFETY: the context is alive.
        let status = unsafe { lk_memory_seq_cp(raw.context, 0, 1, 2, 5) };
        caught(status, &[LK_ASSERT], "seq_cp");
        assert_eq!(raw.decode(1, 8, 0), (LK_OK as i32, 0));
    });
}

#[test]
fn contexts_that_assert_while_they_are_made() {
    survives(|| {
        let raw = Raw::new(|_| {});
        let make = |change: fn(&mut llama_context_params)| {
            let mut context = null_mut();
            // SAFETY: the model is alive; all-zero is a valid value of the parameters.
            let status = unsafe {
                let mut params = std::mem::zeroed();
                ok(lk_context_default_params(&mut params));
                change(&mut params);
                lk_context_new(raw.model, &params, &mut context)
            };
            assert!(status as u32 != LK_OK || context.is_null());
        };
        make(|params| {
            params.n_seq_max = 8;
            params.n_batch = 4;
        });
        make(|params| params.n_batch = 0);
        make(|params| params.n_seq_max = 257);
        make(|params| {
            params.embeddings = true;
            params.pooling_type = 77;
        });
        assert_eq!(raw.decode(3, 0, 0), (LK_OK as i32, 0));
    });
}

#[test]
fn bad_lengths_and_ids_in_the_vocabulary() {
    survives(|| {
        let raw = Raw::new(|_| {});
        let mut out = [0_i32; 8];
        let mut text = [0 as c_char; 8];
        let mut count = 0;
        // SAFETY: the vocabulary is alive; the buffers are as long as stated.
        unsafe {
            let status = lk_tokenize(
                raw.vocab,
                c"a".as_ptr(),
                -1,
                out.as_mut_ptr(),
                8,
                true,
                true,
                &mut count,
            );
            caught(status, &[LK_EXCEPTION], "");
            for id in [-1, 1_000_000] {
                let status =
                    lk_token_to_piece(raw.vocab, id, text.as_mut_ptr(), 8, 0, true, &mut count);
                caught(status, &[LK_EXCEPTION], "");
            }
            ok(lk_tokenize(
                raw.vocab,
                c"A".as_ptr(),
                1,
                out.as_mut_ptr(),
                8,
                false,
                false,
                &mut count,
            ));
        }
        assert_eq!((count, out[0]), (1, 65));
    });
}
