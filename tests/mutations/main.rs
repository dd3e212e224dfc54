//! Thousands of damaged models, each loaded and run through the public API: an error or an answer, never a
//! signal, a hang, a failed assertion of upstream's or a word on standard output.
//!
//! `LLAMAKIT_MUTATIONS` sets how many there are over all models, `LLAMAKIT_MUTATION_SEED` which.

#![cfg(feature = "inference")]

mod run;
mod work;

use llamakit_testkit::tiny;

#[test]
fn llama() {
    run::all(&tiny::llama(), work::generate);
}

#[test]
fn llama_spm() {
    run::all(&tiny::llama_spm(), work::generate);
}

#[test]
fn gemma3() {
    run::all(&tiny::gemma3(), work::generate);
}

#[test]
fn mamba() {
    run::all(&tiny::mamba(), work::generate);
}

#[test]
fn moe() {
    run::all(&tiny::moe(), work::generate);
}

#[test]
fn lfm2() {
    run::all(&tiny::lfm2(), work::generate);
}

#[test]
fn bert() {
    run::all(&tiny::bert(), work::embed);
}

#[test]
fn reranker() {
    run::all(&tiny::reranker(), work::rerank);
}

#[test]
fn t5() {
    run::all(&tiny::t5(), work::translate);
}
