//! A conversation to be answered, whichever API it came by.

use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use llamakit::chat::{ChatTemplate, ToolChoice};
use serde_json::Value;

use crate::api::{KeepAlive, Message, Options, Think};
use crate::error::shown;
use crate::runner::wire::ConstraintKind;
use crate::server::app::{Heard, blocking};
use crate::server::error::ApiError;
use crate::server::infer::{self, Answering, Ask, Item};
use crate::server::model::Model;
use crate::server::prompt;

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

/// What the model is asked to answer a conversation.
pub(super) async fn ask(model: Arc<Model>, talk: Talk, heard: &mut Heard) -> Result<Ask, ApiError> {
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
            let shown = shown(&message.role, 40);
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
            let template = template(&model)?;
            let rendered = prompt::chat(&model, template, &messages, &offered, think, constrained)?;
            let conversation = prompt::conversation(&messages, &offered, think);
            Ok((rendered, Some((template.clone(), conversation))))
        })
        .await?
    };
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
    Ok(Ask {
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
    })
}

/// The model's template.
pub(super) fn template(model: &Model) -> Result<&ChatTemplate, ApiError> {
    let broken = |why: &String| ApiError::bad(format!("the model's template: {why}"));
    model.template.as_ref().map_err(broken)
}

/// The messages of the Modelfile, and its system message where the conversation begins with none.
pub(super) fn with_models_messages(model: &Model, given: Vec<Message>) -> Vec<Message> {
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

/// The parts of an answer as they come. What fails before the first one is an error with a status of its own.
pub(super) async fn parts(
    mut answering: Answering,
) -> Result<impl Stream<Item = Result<Item, ApiError>> + Send + 'static, ApiError> {
    let first = answering.next().await;
    let first = futures_util::stream::iter(first.transpose()?.map(Ok));
    let rest = futures_util::stream::unfold(answering, |mut answering| async move {
        let item = answering.next().await?;
        Some((item, answering))
    });
    Ok(first.chain(rest))
}
