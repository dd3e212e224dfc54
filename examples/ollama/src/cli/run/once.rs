//! One question, one answer, one request.

use axum::http::Method;
use serde_json::Value;

use super::answer::{self, Answer};
use super::screen::Screen;
use super::setup::Setup;
use super::{fetch, media, timings};
use crate::api::{EmbedRequest, EmbedResponse, GenerateRequest, GenerateResponse, Texts};
use crate::cli::client::{Client, End};
use crate::error::{Error, Kind, Result};

/// Answers the prompt, or loads the model when there is none.
pub(super) fn run(client: &Client, setup: &Setup, screen: &mut Screen) -> Result<()> {
    let prompt = setup.prompt.as_deref().unwrap_or_default();
    // Only where it makes a difference is it asked what the model is: that takes time.
    if prompt.is_empty() || media::file(prompt).is_some() {
        let shown = fetch::show_or_pull(client, setup)?;
        if shown.can("embedding") {
            return embed(client, setup, screen);
        }
        media::refuse(&shown, prompt)?;
    }
    let error = match generate(client, setup, screen) {
        Err(error) if error.kind() == Kind::NotFound => {
            fetch::pull(client, setup)?;
            match generate(client, setup, screen) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            }
        }
        Err(error) => error,
        Ok(()) => return Ok(()),
    };
    // Models that only embed refuse to answer.
    if error.kind() == Kind::Invalid
        && fetch::show(client, &setup.model).is_ok_and(|shown| shown.can("embedding"))
    {
        return embed(client, setup, screen);
    }
    Err(error)
}

fn generate(client: &Client, setup: &Setup, screen: &mut Screen) -> Result<()> {
    let request = GenerateRequest {
        model: setup.model.clone(),
        prompt: setup.prompt.clone().unwrap_or_default(),
        system: setup.system.clone(),
        format: setup.format.clone(),
        options: Some(setup.options.clone()).filter(|options| !options.is_empty()),
        keep_alive: setup.keep_alive,
        think: setup.think,
        ..GenerateRequest::default()
    };
    let mut last = None;
    let mut answer = Answer::awaited(screen, setup.manner);
    let ended = client.stream("/api/generate", &request, |piece: GenerateResponse| {
        answer.think(&piece.thinking)?;
        answer.say(&piece.response)?;
        answer.call(&piece.tool_calls)?;
        if piece.done {
            last = Some((piece.metrics, piece.notes));
        }
        Ok(())
    });
    let (thought, said) = answer.end()?;
    // What follows in a terminal begins a line of its own.
    let began = screen.terminal && !(thought.is_empty() && said.is_empty());
    let broken = |screen: &mut Screen| screen.print(if began { "\n" } else { "" });
    match ended {
        Ok(End::Whole) => {}
        Ok(End::Stopped) => {
            broken(screen)?;
            return Err(Error::new(Kind::Cancelled, "stopped"));
        }
        Err(error) => {
            broken(screen)?;
            return Err(error);
        }
    }
    if !request.prompt.is_empty() {
        screen.print("\n\n")?;
    }
    let Some((metrics, notes)) = last else {
        return Err(Error::new(Kind::Network, "the answer broke off"));
    };
    answer::tell(screen, &notes);
    if setup.verbose {
        screen.note(&timings::summary(&metrics));
    }
    Ok(())
}

/// Prints the vector.
fn embed(client: &Client, setup: &Setup, screen: &mut Screen) -> Result<()> {
    let Some(prompt) = setup.prompt.clone().filter(|prompt| !prompt.is_empty()) else {
        return Err(Error::new(Kind::Invalid, no_text(&setup.model)));
    };
    let request = EmbedRequest {
        model: setup.model.clone(),
        input: Texts::One(prompt),
        truncate: setup.truncate,
        dimensions: setup.dimensions,
        keep_alive: setup.keep_alive,
        options: Some(setup.options.clone()).filter(|options| !options.is_empty()),
    };
    let spinner = screen.spin();
    let reply: EmbedResponse = client.ask(Method::POST, "/api/embed", &request)?;
    drop(spinner);
    for warning in &reply.warnings {
        screen.note(&format!("Warning: {warning}\n"));
    }
    if !reply.truncated.is_empty() {
        screen.note("Warning: the text is too long for the model and was cut\n");
    }
    let vector = reply.embeddings.first();
    let vector = vector.ok_or_else(|| Error::new(Kind::Damaged, "no embeddings returned"))?;
    let numbers: Vec<Value> = vector.iter().map(|&number| shortest(number)).collect();
    screen.line(&Value::from(numbers).to_string())
}

/// The shortest decimal that is this number again.
fn shortest(number: f32) -> Value {
    number
        .to_string()
        .parse::<f64>()
        .map_or(Value::Null, Value::from)
}

/// What to say who gives an embedding model nothing to embed.
pub(super) fn no_text(model: &str) -> String {
    format!("embedding models require input text. Usage: ollama run {model} \"your text here\"")
}
