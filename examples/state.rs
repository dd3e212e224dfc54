//! Keeps a conversation in a file: each run restores it, asks one question and saves it again.
//!
//! `cargo run --release --example state -- [--model MODEL.gguf] STATE "What is a fjord?"`
//!
//! What the file holds is not computed again, as the line on stderr shows. The file has mode 0600;
//! one that is damaged or of another model is refused.

use std::error::Error;
use std::ffi::OsString;
use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use llamakit::{
    Batch, ChatMessage, Context, ContextParams, Decoded, Model, ModelParams, Outputs, Sampler,
    SeqId, Token,
};
use llamakit_testkit::fetch;

const SEQUENCE: SeqId = SeqId(0);

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
    let (model, state, question) = arguments()?;
    let path = match model {
        Some(path) => path,
        None => fetch::model(fetch::SMOLLM2)?,
    };
    let model = Model::load(path, &ModelParams::new())?;
    let mut context = Context::new(&model, &ContextParams::new())?;
    let state = Path::new(&state);
    if state.exists() {
        context
            .kv_cache_mut()
            .restore_sequence_from(SEQUENCE, state)?;
    }

    let asked = ChatMessage::new("user", question);
    let turn = model.apply_chat_template(std::slice::from_ref(&asked), true)?;
    let mut prompt: Vec<Token> = context.kv_cache().tokens(SEQUENCE).collect();
    let is_first = prompt.is_empty();
    prompt.extend(model.vocab().tokenize(&turn, is_first, true)?);
    let mut sampler = Sampler::llama_cpp();
    let mut generation = context.generate(&prompt, &mut sampler)?.max_tokens(128);
    let mut answer = String::new();
    for piece in &mut generation {
        let piece = piece?;
        write!(stdout(), "{piece}")?;
        stdout().flush()?;
        answer.push_str(&piece);
    }
    writeln!(stdout())?;
    let usage = generation.usage();
    let _ = writeln!(
        stderr(),
        "({} prompt tokens, {} of them cached)",
        usage.prompt_tokens,
        usage.cached_tokens
    );

    drop(generation);

    // What the template puts after an answer belongs into the cache, too.
    let talk = [asked, ChatMessage::new("assistant", answer.as_str())];
    let talk = model.apply_chat_template(&talk, false)?;
    end_turn(&mut context, after_answer(&talk, &turn, &answer))?;
    context.kv_cache_mut().save_sequence_to(SEQUENCE, state)?;
    Ok(())
}

/// What follows the answer in a rendered conversation; some templates trim the answer.
fn after_answer<'t>(talk: &'t str, turn: &str, answer: &str) -> &'t str {
    let rest = talk.strip_prefix(turn).unwrap_or_default();
    rest.strip_prefix(answer)
        .or_else(|| rest.strip_prefix(answer.trim()))
        .unwrap_or_default()
}

/// Adds text to the sequence without asking for an answer.
fn end_turn(context: &mut Context, text: &str) -> llamakit::Result<()> {
    let tokens = context.model().vocab().tokenize(text, false, true)?;
    if tokens.is_empty() {
        return Ok(());
    }
    let mut batch = Batch::new();
    let position = context.kv_cache().next_position(SEQUENCE);
    batch.add_run(&tokens, position, SEQUENCE, Outputs::None);
    if context.decode(&batch)? != Decoded::Done {
        let _ = writeln!(stderr(), "(no room to end the turn: the context is full)");
    }
    Ok(())
}

fn arguments() -> Result<(Option<PathBuf>, OsString, String), lexopt::Error> {
    use lexopt::prelude::*;

    let (mut model, mut values) = (None, Vec::new());
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("model") => model = Some(parser.value()?.into()),
            Value(value) => values.push(value),
            other => return Err(other.unexpected()),
        }
    }
    let Ok([state, question]) = <[OsString; 2]>::try_from(values) else {
        return Err("usage: state [--model MODEL.gguf] STATE QUESTION".into());
    };
    Ok((model, state, question.string()?))
}
