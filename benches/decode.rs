//! Prefill of 32 and 512 tokens; decode of single tokens in an empty context and after 2048 tokens.

#[path = "support/models.rs"]
mod models;
#[path = "support/native.rs"]
mod native;
#[path = "support/text.rs"]
mod text;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group};
use llamakit::{Batch, Context, ContextParams, Decoded, Model, ModelParams, Outputs, SeqId, Token};

const SEQ: SeqId = SeqId(0);
/// Single tokens decoded in one iteration.
const RUN: usize = 32;
/// Tokens per batch of the prefill that others are compared with.
const CHUNK: usize = 16;
const DEPTHS: [usize; 2] = [0, 2048];

/// Decodes tokens behind what sequence 0 holds, in one batch.
fn decode(context: &mut Context, batch: &mut Batch, tokens: &[Token], outputs: Outputs) {
    let position = context.kv_cache().next_position(SEQ);
    batch.clear();
    batch.add_run(tokens, position, SEQ, outputs);
    assert_eq!(context.decode(batch).expect("decodes"), Decoded::Done);
}

/// The same computation in batches of another size runs through other kernels, which quantize and
/// round in other places, no more than that.
fn assert_close(logits: &[f32], expected: &[f32]) {
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
    let off = norm(&mut logits.iter().zip(expected).map(|(a, b)| a - b));
    let all = norm(&mut expected.iter().copied());
    assert!(off <= 0.15 * all, "logits are off by {}", off / all);
}

fn prefill(c: &mut Criterion) {
    for (name, path) in models::real() {
        let model = Model::load(&path, &ModelParams::new()).expect("a fetched model loads");
        let tokens = tokens(&model, 512);
        let mut group = c.benchmark_group(format!("prefill/{name}"));
        group.sample_size(10).sampling_mode(SamplingMode::Flat);
        for n in [32, 512] {
            let mut context = context(&model, 512);
            let mut batch = Batch::new();
            for chunk in tokens[..n].chunks(CHUNK) {
                decode(&mut context, &mut batch, chunk, Outputs::Last);
            }
            let expected = context.logits(CHUNK - 1).expect("an output").to_vec();
            group.throughput(Throughput::Elements(n as u64));
            group.bench_function(BenchmarkId::from_parameter(n), |b| {
                b.iter(|| {
                    context
                        .kv_cache_mut()
                        .remove_sequence(SEQ)
                        .expect("empties");
                    decode(&mut context, &mut batch, &tokens[..n], Outputs::Last);
                });
                assert_close(context.logits(n - 1).expect("an output"), &expected);
            });
        }
        group.finish();
    }
}

fn decode_single(c: &mut Criterion) {
    for (name, path) in models::real() {
        let model = Model::load(&path, &ModelParams::new()).expect("a fetched model loads");
        let mut group = c.benchmark_group(format!("decode/{name}"));
        group.sample_size(10).sampling_mode(SamplingMode::Flat);
        group.throughput(Throughput::Elements(RUN as u64));
        for depth in DEPTHS {
            let tokens = tokens(&model, depth + RUN);
            let mut context = context(&model, depth + RUN);
            let mut batch = Batch::new();
            decode(&mut context, &mut batch, &tokens, Outputs::Last);
            let expected = context
                .logits(tokens.len() - 1)
                .expect("an output")
                .to_vec();
            group.bench_function(BenchmarkId::new("after", depth), |b| {
                b.iter(|| {
                    context
                        .kv_cache_mut()
                        .truncate(SEQ, depth)
                        .expect("cuts back");
                    for token in &tokens[depth..] {
                        decode(&mut context, &mut batch, &[*token], Outputs::Last);
                    }
                });
                assert_close(context.logits(0).expect("an output"), &expected);
            });
        }
        group.finish();
    }
}

fn tokens(model: &Model, n: usize) -> Vec<Token> {
    let page = model.vocab().tokenize(text::PAGE, true, false);
    page.expect("tokenizes")
        .into_iter()
        .cycle()
        .take(n)
        .collect()
}

fn context(model: &Model, length: usize) -> Context {
    let params = ContextParams::new()
        .context_length(length as u32)
        .batch_size(4096);
    Context::new(model, &params).expect("a context")
}

criterion_group!(benches, prefill, decode_single);

fn main() {
    native::require_native();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
