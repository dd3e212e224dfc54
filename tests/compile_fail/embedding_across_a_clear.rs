use llamakit::{Context, SeqId};

fn stale(context: &mut Context) -> f32 {
    let embedding = context.pooled_embedding(SeqId(0)).unwrap();
    context.kv_cache_mut().clear().unwrap();
    embedding[0]
}

fn main() {}
