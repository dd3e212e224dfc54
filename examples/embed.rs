//! Compares texts by their embeddings and prints the cosine of each pair.
//!
//! `cargo run --release --example embed -- [--model MODEL.gguf] TEXT TEXT...`
//!
//! Works with every model: one that says how it pools (BERT and its kin) is taken at its word, of
//! others the mean over the tokens is taken. Without `--model` a small chat model is fetched, which
//! shows the way but was not trained for this.

use std::error::Error;
use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use llamakit::{Context, ContextParams, Embeddings, Model, ModelParams, Pooling};
use llamakit_testkit::fetch;

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
    let (path, texts) = arguments()?;
    let path = match path {
        Some(path) => path,
        None => fetch::model(fetch::SMOLLM2)?,
    };
    let model = Model::load(path, &ModelParams::new())?;
    let embeddings = embed(&model, &texts)?;
    let mut out = stdout().lock();
    for (row, text) in texts.iter().enumerate() {
        for column in 0..texts.len() {
            let cosine = embeddings.cosine(row, column).unwrap_or_default();
            write!(out, "{cosine:7.3}")?;
        }
        writeln!(out, "  {text}")?;
    }
    Ok(())
}

fn arguments() -> Result<(Option<PathBuf>, Vec<String>), lexopt::Error> {
    use lexopt::prelude::*;

    let (mut model, mut texts) = (None, Vec::new());
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("model") => model = Some(parser.value()?.into()),
            Value(text) => texts.push(text.string()?),
            other => return Err(other.unexpected()),
        }
    }
    if texts.is_empty() {
        return Err("usage: embed [--model MODEL.gguf] TEXT TEXT...".into());
    }
    Ok((model, texts))
}

fn embed(model: &Model, texts: &[String]) -> llamakit::Result<Embeddings> {
    let inputs = texts
        .iter()
        .map(|text| model.vocab().tokenize(text, true, false))
        .collect::<llamakit::Result<Vec<_>>>()?;
    // Pooling needs a whole text in one batch; a context of just that length saves memory.
    let longest = inputs.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let longest = u32::try_from(longest).unwrap_or(u32::MAX);
    let params = ContextParams::new()
        .embeddings(true)
        .context_length(longest)
        .batch_size(longest);
    let mut context = Context::new(model, &params)?;
    if context.pooling() == Pooling::None {
        context = Context::new(model, &params.pooling(Pooling::Mean))?;
    }
    context.embed(&inputs)
}
