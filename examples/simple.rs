//! The smallest program: load a model, continue a prompt, print the text as it comes.
//!
//! `cargo run --release --example simple -- MODEL.gguf "Once upon a time"`

use std::error::Error;
use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use llamakit::{Context, ContextParams, Model, ModelParams, Sampler};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(path), Some(prompt), None) = (args.next(), args.next(), args.next()) else {
        return Err("usage: simple MODEL.gguf PROMPT".into());
    };
    let prompt = prompt.into_string().map_err(|_| "PROMPT is not UTF-8")?;
    let model = Model::load(path, &ModelParams::new())?;
    let mut context = Context::new(&model, &ContextParams::new())?;
    let mut sampler = Sampler::greedy();
    for piece in context.generate(&prompt, &mut sampler)?.max_tokens(64) {
        write!(stdout(), "{}", piece?)?;
        stdout().flush()?;
    }
    Ok(writeln!(stdout())?)
}
