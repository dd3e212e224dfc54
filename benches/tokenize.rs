//! Text to tokens and back, of both families of tokenizers.

#[path = "support/models.rs"]
mod models;
#[path = "support/native.rs"]
mod native;
#[path = "support/text.rs"]
mod text;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use llamakit::{Model, ModelParams};

fn tokenize(c: &mut Criterion) {
    let page = text::PAGE;
    let book = page.repeat(64);
    for (name, path) in models::real() {
        let params = ModelParams::new().vocab_only(true);
        let model = Model::load(&path, &params).expect("a fetched model loads");
        let vocab = model.vocab();
        let texts = [("page", page), ("book", book.as_str())];

        let mut group = c.benchmark_group(format!("tokenize/{name}"));
        for (length, text) in texts {
            let expected = vocab.tokenize(text, false, false).expect("tokenizes");
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_function(BenchmarkId::from_parameter(length), |b| {
                b.iter(|| {
                    let tokens = vocab.tokenize(black_box(text), false, false);
                    assert_eq!(tokens.expect("tokenizes"), expected);
                });
            });
        }
        group.finish();

        let mut group = c.benchmark_group(format!("detokenize/{name}"));
        for (length, text) in texts {
            let tokens = vocab.tokenize(text, false, false).expect("tokenizes");
            group.throughput(Throughput::Elements(tokens.len() as u64));
            group.bench_function(BenchmarkId::from_parameter(length), |b| {
                b.iter(|| {
                    let back = vocab.detokenize(black_box(&tokens), false, false);
                    assert_eq!(back.expect("detokenizes"), text);
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, tokenize);

fn main() {
    native::require_native();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
