//! `POST /api/chat`, and what other routes that talk to models have in common with it.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures_util::{Stream, StreamExt};
use llamakit::chat::ToolChoice;
use serde_json::Value;

use crate::api::{ChatRequest, ChatResponse, DebugInfo, KeepAlive, Message, Options, Think};
use crate::runner::wire::ConstraintKind;
use crate::server::app::{App, Caller, Heard, blocking, hear, options};
use crate::server::body;
use crate::server::clock;
use crate::server::error::{ApiError, Dialect};
use crate::server::infer::{self, Answering, Ask, Chunk, End, Item};
use crate::server::model::Model;
use crate::server::prompt;
use crate::server::reply;

pub(super) const FIELDS: &[&str] = &[
    "model",
    "messages",
    "tools",
    "stream",
    "format",
    "keep_alive",
    "think",
    "truncate",
    "shift",
    "logprobs",
    "top_logprobs",
];

/// Roles that templates know.
const ROLES: [&str; 5] = ["system", "user", "assistant", "tool", "developer"];

/// A conversation to be answered, whichever API it came by.
#[derive(Debug, Clone, Default)]
pub(super) struct Talk {
    /// The model, as it was asked for.
    pub asked: String,
    pub messages: Vec<Message>,
    pub tools: Vec<Value>,
    pub choice: ToolChoice,
    pub parallel_calls: bool,
    pub format: Option<ConstraintKind>,
    pub options: Options,
    pub think: Option<Think>,
    /// A model that can't think answers without, instead of an error.
    pub relax_thinking: bool,
    pub keep_alive: Option<KeepAlive>,
    pub logprobs: Option<u32>,
    pub logit_bias: Vec<(i32, f32)>,
    pub truncate: bool,
    pub shift: bool,
}

/// What came of it.
pub(super) enum Begun {
    Answer(Box<Answering>),
    /// The prompt, which was all that was asked for.
    Prompt(String),
}

/// Begins to answer a conversation.
pub(super) async fn talk(
    app: &Arc<App>,
    caller: &Caller,
    model: Arc<Model>,
    talk: Talk,
    mut heard: Heard,
    began: Instant,
    render_only: bool,
) -> Result<Begun, ApiError> {
    let asked = &talk.asked;
    if !model.can.complete {
        return Err(ApiError::bad(format!("\"{asked}\" does not support chat")));
    }
    for (at, message) in talk.messages.iter().enumerate() {
        images(&message.images).map_err(|error| ApiError {
            message: format!("messages[{at}].{}", error.message),
            ..error
        })?;
        if message.role.is_empty() {
            return Err(ApiError::bad(format!(
                "messages[{at}].role: it is required"
            )));
        }
        if !ROLES.contains(&message.role.as_str()) {
            let shown: String = message.role.chars().take(40).collect();
            heard.warn(format!(
                "messages[{at}].role: templates may not know the role {shown:?}"
            ));
        }
    }
    let tools = prompt::tools(&talk.tools)?;
    if !tools.is_empty() && !model.can.call {
        return Err(ApiError::bad(format!("{asked} does not support tools")));
    }
    let think = match supports_thinking(&model, asked, talk.think, false) {
        Ok(think) => think,
        Err(_) if talk.relax_thinking => {
            heard.warn(format!(
                "\"{asked}\" does not support thinking: it answers without"
            ));
            None
        }
        Err(error) => return Err(error),
    };
    let offered = match talk.choice {
        ToolChoice::None => Vec::new(),
        _ => tools.clone(),
    };
    let messages = with_models_messages(&model, talk.messages);
    let constrained = talk.format.is_some();
    let (rendered, again) = {
        let (model, offered) = (Arc::clone(&model), offered.clone());
        blocking(move || {
            let broken = |why: &String| ApiError::bad(format!("the model's template: {why}"));
            let template = model.template.as_ref().map_err(broken)?;
            let rendered = prompt::chat(&model, template, &messages, &offered, think, constrained)?;
            let conversation = prompt::conversation(&messages, &offered, think);
            Ok((rendered, Some((template.clone(), conversation))))
        })
        .await?
    };
    if render_only {
        heard.check()?;
        return Ok(Begun::Prompt(rendered.text()));
    }
    let thinks = think.is_some_and(Think::is_on);
    let chosen = match &rendered.format {
        None => None,
        Some(format) => infer::choose(format, &tools, &talk.choice, talk.parallel_calls)?,
    };
    let constraint = match (chosen, talk.format) {
        (Some(_), Some(_)) => {
            return Err(ApiError::bad(
                "tool_choice: an answer can't be a call and have a format at the same time",
            ));
        }
        (Some(chosen), None) => Some(chosen),
        (None, format) => {
            format.map(|kind| infer::constrain(kind, rendered.format.as_ref(), thinks))
        }
    };
    let ask = Ask {
        model,
        rendered,
        again,
        options: talk.options,
        constraint,
        logit_bias: talk.logit_bias,
        keep_alive: talk.keep_alive,
        logprobs: talk.logprobs,
        truncate: talk.truncate,
        shift: talk.shift,
        tools: offered,
        before: Vec::new(),
        want_tokens: false,
    };
    let answering = infer::answer(app, caller, ask, heard, began).await?;
    Ok(Begun::Answer(Box::new(answering)))
}

/// The messages of the Modelfile, and its system message where the conversation begins with none.
fn with_models_messages(model: &Model, given: Vec<Message>) -> Vec<Message> {
    let mut messages = Vec::new();
    let begins_with_system = given.first().is_some_and(|first| first.role == "system");
    if !begins_with_system && !model.system.is_empty() {
        messages.push(Message::new("system", &model.system));
    }
    messages.extend(model.messages.iter().cloned());
    messages.extend(given);
    messages
}

/// Images can't be seen.
pub(super) fn images(images: &[String]) -> Result<(), ApiError> {
    match images.is_empty() {
        true => Ok(()),
        false => Err(ApiError::bad("images: this server can't see images")),
    }
}

/// Whether to think: where the model can and nobody says, it does, as with Ollama.
pub(super) fn supports_thinking(
    model: &Model,
    asked: &str,
    think: Option<Think>,
    raw: bool,
) -> Result<Option<Think>, ApiError> {
    match think {
        _ if model.can.think && !raw => Ok(think.or(Some(Think::Switch(true)))),
        Some(think) if think.is_on() => Err(ApiError::bad(format!(
            "\"{asked}\" does not support thinking"
        ))),
        _ => Ok(None),
    }
}

/// What an empty request does: the reason that its reply tells.
pub(super) async fn load_or_unload(
    app: &App,
    model: &Model,
    options: &Options,
    keep_alive: Option<KeepAlive>,
    heard: &mut Heard,
) -> Result<String, ApiError> {
    if keep_alive == Some(KeepAlive::For(std::time::Duration::ZERO)) {
        app.scheduler.stop(&model.key).await;
        return Ok("unload".to_owned());
    }
    let window = app.window(model, options, heard);
    app.acquire(model, options, window, keep_alive).await?;
    Ok("load".to_owned())
}

/// All parts of an answer, the first of which was waited for.
pub(super) fn whole_messages(
    first: Option<Item>,
    answering: Answering,
) -> impl Stream<Item = Result<Item, ApiError>> + Send {
    let first = futures_util::stream::iter(first.map(Ok));
    let rest = futures_util::stream::unfold(answering, |mut answering| async move {
        let item = answering.next().await?;
        Some((item, answering))
    });
    first.chain(rest)
}

pub(crate) async fn chat(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let began = Instant::now();
    let body = body::read(request, body::JSON).await?;
    let (request, mut heard) = hear::<ChatRequest>(&body, &caller)?;
    let logprobs = infer::logprobs(request.logprobs, request.top_logprobs)?;
    let format = infer::format(request.format.as_ref())?;
    let model = app.find(&request.model).await?;
    let options = options(&model, request.options.as_ref(), FIELDS, &mut heard)?;
    let mut reply = ChatResponse {
        model: request.model.clone(),
        message: Message::new("assistant", ""),
        ..ChatResponse::default()
    };
    if request.messages.is_empty() {
        heard.check()?;
        reply.done_reason =
            load_or_unload(&app, &model, &options, request.keep_alive, &mut heard).await?;
        reply.done = true;
        reply.created_at = clock::now();
        reply.notes.warnings = heard.warnings;
        return reply::json(&reply);
    }
    let mut messages = request.messages;
    for message in &mut messages {
        message.role = message.role.to_lowercase();
    }
    let talk_of = Talk {
        asked: request.model,
        messages,
        tools: request.tools,
        choice: ToolChoice::Auto,
        parallel_calls: true,
        format,
        options,
        think: request.think,
        relax_thinking: false,
        keep_alive: request.keep_alive,
        logprobs,
        logit_bias: Vec::new(),
        truncate: request.truncate.unwrap_or(true),
        shift: request.shift.unwrap_or(false),
    };
    let render_only = request.debug_render_only;
    let mut answering = match talk(&app, &caller, model, talk_of, heard, began, render_only).await?
    {
        Begun::Answer(answering) => *answering,
        Begun::Prompt(rendered_template) => {
            reply.created_at = clock::now();
            reply.debug_info = Some(DebugInfo {
                rendered_template,
                image_count: 0,
            });
            return reply::json(&reply);
        }
    };
    if request.stream == Some(false) {
        let (chunk, end) = answering.whole().await?;
        let whole = of_chunk(&of_end(&reply, end), chunk);
        return reply::json(&whole);
    }
    // What fails before the first part has a status of its own.
    let first = answering.next().await.transpose()?;
    let write = move |item: Result<Item, ApiError>| match item {
        Ok(Item::Chunk(chunk)) => reply::line(&of_chunk(&reply, chunk)),
        Ok(Item::End(end)) => reply::line(&of_end(&reply, *end)),
        Err(error) => reply::line(&error.to_json(Dialect::Ollama)),
    };
    Ok(reply::lines(whole_messages(first, answering).map(write)))
}

fn of_chunk(reply: &ChatResponse, chunk: Chunk) -> ChatResponse {
    ChatResponse {
        created_at: clock::now(),
        message: Message {
            content: chunk.content,
            thinking: chunk.thinking,
            tool_calls: chunk.tool_calls,
            ..reply.message.clone()
        },
        logprobs: chunk.logprobs,
        ..reply.clone()
    }
}

fn of_end(reply: &ChatResponse, end: End) -> ChatResponse {
    ChatResponse {
        created_at: clock::now(),
        done: true,
        done_reason: end.reason.to_owned(),
        metrics: end.metrics,
        notes: end.notes,
        ..reply.clone()
    }
}
