//! `POST /v1/completions`

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::fields::{answers, logit_bias, seeded};
use super::reply::{Head, Wording, send};
use crate::api::openai::CompletionRequest;
use crate::api::{Logprob, Message};
use crate::server::app::{App, Caller, blocking, options};
use crate::server::error::ApiError;
use crate::server::infer::{self, Ask, Chunk};
use crate::server::model::Model;
use crate::server::prompt::{self, Rendered};
use crate::server::routes::request::read;
use crate::server::routes::talk::{template, with_models_messages};

/// Prompts of one request at most.
const PROMPTS: usize = 64;

pub(crate) async fn completions(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let began = Instant::now();
    let (request, mut heard) = read::<CompletionRequest>(request, &caller).await?;
    let count = answers(request.n)?;
    let logprobs = logprobs(request.logprobs)?;
    let bias = logit_bias(request.logit_bias.as_ref())?;
    let values = request.option_values();
    let prompts = request.prompt.into_vec();
    if prompts.is_empty() {
        return Err(ApiError::bad("prompt: it is required"));
    }
    if prompts.len() > PROMPTS {
        return Err(ApiError::bad(format!(
            "prompt: there may be {PROMPTS} at most"
        )));
    }
    let model = app.find(&request.model).await?;
    if !model.can.complete {
        return Err(ApiError::bad(format!(
            "\"{}\" does not support generate",
            request.model
        )));
    }
    let options = options(&model, Some(&values), &[], &mut heard)?;
    let head = Head::new::<Text>(request.model, count);
    let mut begun = Vec::new();
    for text in prompts {
        let rendered = {
            let (model, text, suffix) = (Arc::clone(&model), text.clone(), request.suffix.clone());
            blocking(move || render(&model, text, &suffix)).await?
        };
        if request.debug_render_only {
            heard.check()?;
            return head.prompt::<Text>(&rendered.text());
        }
        let echo = if request.echo { text } else { String::new() };
        for at in 0..count {
            let mut options = options.clone();
            options.seed = seeded(options.seed, at);
            let ask = Ask {
                model: Arc::clone(&model),
                rendered: rendered.clone(),
                again: None,
                options,
                constraint: None,
                logit_bias: bias.clone(),
                keep_alive: request.keep_alive,
                logprobs,
                truncate: request.truncate.unwrap_or(true),
                shift: false,
                tools: Vec::new(),
                before: Vec::new(),
                want_tokens: false,
            };
            let heard = std::mem::take(&mut heard);
            let answering = infer::answer(&app, &caller, ask, heard, began).await?;
            begun.push((answering, Text::new(echo.clone())));
        }
    }
    send(head, begun, request.stream, request.stream_options).await
}

/// How many log-probabilities are told: in this API the number is the switch.
fn logprobs(top: Option<i64>) -> Result<Option<u32>, ApiError> {
    let Some(top) = top else {
        return Ok(None);
    };
    let most = infer::TOP;
    infer::logprobs(true, top)
        .map_err(|_| ApiError::bad(format!("logprobs: it must be a number from 0 to {most}")))
}

/// A prompt as Ollama's own completions treat it: one turn of a conversation, or a gap to be filled.
fn render(model: &Model, text: String, suffix: &str) -> Result<Rendered, ApiError> {
    let template = template(model)?;
    if !suffix.is_empty() {
        return prompt::fill(model, template, &text, suffix);
    }
    let messages = with_models_messages(model, vec![Message::new("user", text)]);
    prompt::chat(model, template, &messages, &[], None, false)
}

/// Words an answer as a text.
struct Text {
    /// The prompt, where the text begins with it.
    echo: String,
    /// Characters of the text before the next token.
    offset: usize,
}

impl Text {
    fn new(echo: String) -> Self {
        Self {
            offset: echo.chars().count(),
            echo,
        }
    }

    /// Log-probabilities as this API tells them.
    fn logprobs(&mut self, tokens: &[Logprob]) -> Value {
        let mut offset = |token: &Logprob| {
            let here = self.offset;
            self.offset += token.token.chars().count();
            here
        };
        let offsets: Vec<usize> = tokens.iter().map(&mut offset).collect();
        let texts: Vec<&str> = tokens.iter().map(|token| token.token.as_str()).collect();
        let numbers: Vec<f64> = tokens.iter().map(|token| token.logprob).collect();
        let top = |token: &Logprob| -> Value {
            let tops = token.top_logprobs.iter();
            tops.map(|top| (top.token.clone(), json!(top.logprob)))
                .collect()
        };
        let tops: Vec<Value> = tokens.iter().map(top).collect();
        json!({
            "tokens": texts, "token_logprobs": numbers, "top_logprobs": tops, "text_offset": offsets,
        })
    }
}

impl Wording for Text {
    const ID: &'static str = "cmpl-";
    const WHOLE: &'static str = "text_completion";
    const PIECE: &'static str = "text_completion";

    fn whole(&mut self, chunk: &Chunk) -> Value {
        let mut choice = self.part(chunk, true);
        if chunk.logprobs.is_empty() {
            choice["logprobs"] = Value::Null;
        }
        choice
    }

    fn part(&mut self, chunk: &Chunk, first: bool) -> Value {
        let echo = if first { self.echo.as_str() } else { "" };
        let mut choice = json!({ "text": format!("{echo}{}", chunk.content) });
        if !chunk.logprobs.is_empty() {
            choice["logprobs"] = self.logprobs(&chunk.logprobs);
        }
        choice
    }

    fn end(&self) -> Value {
        json!({ "text": "" })
    }
}
