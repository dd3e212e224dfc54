use llamakit::{Context, Sampler, Token};

fn both(context: &mut Context, sampler: &mut Sampler) {
    let mut run = context.generate("once", sampler).unwrap();
    sampler.accept(Token(1));
    run.next();
}

fn main() {}
