//! Picking one token: ours and upstream's own chain, on the same logits in the same run, upstream's
//! candidate building and the draw included. Each result is checked.

#[path = "support/native.rs"]
mod native;
#[path = "../tests/sampler_upstream/upstream.rs"]
mod upstream;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use llamakit::Token;
use llamakit::sampler::{Sampler, SamplerParams, Stage};
use upstream::Upstream;

const SEED: u32 = 42;

/// Roughly normal logits with a standard deviation of 3.
fn row(n: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5
    };
    (0..n)
        .map(|_| (0..12).map(|_| uniform()).sum::<f32>() * 3.0)
        .collect()
}

fn chains() -> [(&'static str, Vec<Stage>); 3] {
    let ollama = SamplerParams::ollama();
    let mut penalised = ollama.clone();
    penalised.repeat_penalty = 1.1;
    [
        ("greedy", vec![Stage::Greedy]),
        ("ollama", ollama.stages()),
        ("ollama, repeat penalty 1.1", penalised.stages()),
    ]
}

fn sample(c: &mut Criterion) {
    for (name, stages) in chains() {
        let mut group = c.benchmark_group(name);
        for n in [32_000, 152_000, 262_144] {
            let logits = row(n);
            let builder = Sampler::builder().stages(stages.iter().cloned());
            let mut ours = builder.seed(u64::from(SEED)).build().expect("valid stages");
            let mut theirs = Upstream::new(&stages, n, SEED);
            for i in 0..64 {
                let token = Token(i * 37 % n as i32);
                ours.accept(token);
                theirs.accept(token);
            }
            let left = ours.candidates(&logits).expect("valid logits");
            let mut may: Vec<Token> = left.iter().map(|c| c.token).collect();
            may.sort_unstable();
            if name != "greedy" {
                let upstreams = theirs.candidates(&logits);
                let mut upstreams: Vec<Token> = upstreams.iter().map(|c| c.0).collect();
                upstreams.sort_unstable();
                assert_eq!(may, upstreams, "both draw from the same candidates");
            }
            let check = |token: Token| assert!(may.binary_search(&token).is_ok());
            group.throughput(Throughput::Elements(n as u64));
            group.bench_with_input(BenchmarkId::new("ours", n), &logits, |b, logits| {
                b.iter(|| check(ours.sample(black_box(logits)).expect("valid logits")));
            });
            group.bench_with_input(BenchmarkId::new("upstream", n), &logits, |b, logits| {
                b.iter(|| check(theirs.sample(black_box(logits))));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, sample);

fn main() {
    native::require_native();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
