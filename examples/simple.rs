//! The smallest program: load a model, continue a prompt, print the text as it comes.
//!
//! `cargo run --release --example simple -- MODEL.gguf "Once upon a time"`

use std::io::Write;

use llamakit::{Context, ContextParams, Model, ModelParams, Sampler};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(path), Some(prompt)) = (args.next(), args.next()) else {
        return Err("usage: simple MODEL.gguf PROMPT".into());
    };
    let model = Model::load(path, &ModelParams::new())?;
    let mut context = Context::new(&model, &ContextParams::new())?;
    let mut sampler = Sampler::greedy();
    for piece in context.generate(&prompt, &mut sampler)?.max_tokens(64) {
        write!(std::io::stdout(), "{}", piece?)?;
        std::io::stdout().flush()?;
    }
    Ok(writeln!(std::io::stdout())?)
}
