use llamakit::{Batch, Context, Sampler};

fn both(context: &mut Context, sampler: &mut Sampler, batch: &Batch) {
    let mut run = context.generate("once", sampler).unwrap();
    let _ = context.decode(batch).unwrap();
    run.next();
}

fn main() {}
