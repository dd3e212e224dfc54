use llamakit::{Batch, Context};

fn stale(context: &mut Context, batch: &Batch) -> f32 {
    let logits = context.logits(0).unwrap();
    let _ = context.decode(batch).unwrap();
    logits[0]
}

fn main() {}
