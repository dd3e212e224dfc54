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

use llamakit::chat::{ChatTemplate, Conversation, Message};
use llamakit::{
    Context, ContextParams, Model, ModelParams, Origin, Sampler, Segment, SeqId, Token, gguf,
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
    let template = ChatTemplate::from_gguf(&gguf::File::open(&path)?)?;
    let model = Model::load(path, &ModelParams::new())?;
    let mut context = Context::new(&model, &ContextParams::new())?;
    let state = Path::new(&state);
    if state.exists() {
        context
            .kv_cache_mut()
            .restore_sequence_from(SEQUENCE, state)?;
    }

    let mut prompt: Vec<Token> = context.kv_cache().tokens(SEQUENCE).collect();
    let is_first = prompt.is_empty();
    let turn = match is_first {
        true => template.render(&Conversation::new([Message::user(question)]))?,
        false => next_turn(&template, question)?,
    };
    prompt.extend(model.vocab().tokenize_segments(&turn, is_first)?.tokens);
    let mut sampler = Sampler::llama_cpp();
    let mut generation = context.generate(&prompt, &mut sampler)?.max_tokens(128);
    for piece in &mut generation {
        write!(stdout(), "{}", piece?)?;
        stdout().flush()?;
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
    context.kv_cache_mut().save_sequence_to(SEQUENCE, state)?;
    Ok(())
}

/// What the template puts behind an answer to ask the next question. The cache has tokens and no
/// messages, but a template ends one turn and begins another in the same way whatever was said.
fn next_turn(template: &ChatTemplate, question: String) -> Result<Vec<Segment>, Box<dyn Error>> {
    const ANSWER: &str = "an earlier answer";
    let mut segments = template.render(&Conversation::new([
        Message::user("an earlier question"),
        Message::assistant(ANSWER),
        Message::user(question),
    ]))?;
    let is_answer = |part: &Segment| part.origin == Origin::Message && part.text == ANSWER;
    let answer = segments
        .iter()
        .position(is_answer)
        .ok_or("the model's template shows no earlier answers")?;
    Ok(segments.split_off(answer + 1))
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
