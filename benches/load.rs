//! Loading a model whose file is in the page cache, and the part of it that is our own checking.

#[path = "support/models.rs"]
mod models;
#[path = "support/native.rs"]
mod native;

use criterion::{BatchSize, Criterion, criterion_group};
use llamakit::{Model, ModelParams, gguf};

fn load(c: &mut Criterion) {
    for (name, path) in models::real() {
        let file = gguf::File::open(&path).expect("a fetched model opens");
        let n_params: u64 = file
            .tensors()
            .iter()
            .map(|tensor| tensor.dims().iter().product::<u64>())
            .sum();

        let mut group = c.benchmark_group(format!("load/{name}"));
        group.sample_size(20);
        group.bench_function("validate", |b| {
            b.iter(|| {
                let file = gguf::File::open(&path).expect("a fetched model opens");
                gguf::validate_model(&file, &gguf::Overrides::new()).expect("and is valid");
            });
        });
        group.bench_function("whole", |b| {
            b.iter_batched(
                || (),
                |()| {
                    let model = Model::load(&path, &ModelParams::new()).expect("and loads");
                    assert_eq!(model.n_params(), n_params);
                    model
                },
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

criterion_group!(benches, load);

fn main() {
    native::require_native();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
