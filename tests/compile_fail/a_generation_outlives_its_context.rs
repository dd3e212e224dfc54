use llamakit::{Context, Generation, Sampler};

fn outlives<'a>(mut context: Context, sampler: &'a mut Sampler) -> Generation<'a> {
    context.generate("once", sampler).unwrap()
}

fn main() {}
