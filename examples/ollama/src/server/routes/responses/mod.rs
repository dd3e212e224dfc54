//! `POST /v1/responses`: OpenAI's Responses API, without what keeps state.

mod frame;
mod input;
mod stream;
mod tools;

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures_util::StreamExt;
use serde_json::Value;

use self::frame::Frame;
use self::input::conversation;
use self::stream::Writer;
use self::tools::tools;
use super::openai::{effort, format_of, tool_choice};
use super::request::read;
use super::talk::{self, Talk, parts};
use crate::api::responses::ResponsesRequest;
use crate::server::app::{App, Caller, options};
use crate::server::error::ApiError;
use crate::server::infer::{self, Item};
use crate::server::reply;

pub(crate) async fn responses(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Body,
) -> Result<Response, ApiError> {
    let began = Instant::now();
    let (request, mut heard) = read::<ResponsesRequest>(request, &caller).await?;
    refuse_state(&request)?;
    let messages = conversation(&request)?;
    if messages.is_empty() {
        return Err(ApiError::bad("input: it must have at least one message"));
    }
    let logprobs = infer::logprobs(wants_logprobs(&request), request.top_logprobs)?;
    let reasoning = request.reasoning.as_ref();
    let think = effort(
        "reasoning.effort",
        reasoning.and_then(|reasoning| reasoning.effort.as_deref()),
    )?;
    let named = request.text.as_ref().and_then(|text| text.format.as_ref());
    let format = match named {
        None => None,
        Some(named) => format_of("text.format", &named.kind, named.schema.as_ref())?,
    };
    let truncate = match request.truncation.as_deref() {
        // As with the original, the conversation may be shortened unless it was said that it may not.
        None | Some("auto") => true,
        Some("disabled") => false,
        Some(_) => return Err(ApiError::bad("truncation: it must be auto or disabled")),
    };
    let choice = tool_choice(request.tool_choice.as_ref())?;
    let offered = tools(&request.tools, &mut heard)?;
    let model = app.find(&request.model).await?;
    let values = request.option_values();
    let options = options(&model, Some(&values), &[], &mut heard)?;
    let talk = Talk {
        asked: request.model.clone(),
        messages,
        tools: offered,
        choice,
        parallel_calls: request.parallel_tool_calls.unwrap_or(true),
        format,
        options,
        think,
        relax_thinking: false,
        keep_alive: request.keep_alive,
        logprobs,
        logit_bias: Vec::new(),
        truncate,
        shift: false,
    };
    let ask = talk::ask(model, talk, &mut heard).await?;
    let mut answering = infer::answer(&app, &caller, ask, heard, began).await?;
    let mut writer = Writer::new(Frame::new(&request));
    if !request.stream {
        while let Some(item) = answering.next().await {
            match item? {
                Item::Chunk(chunk) => drop(writer.chunk(&chunk)),
                Item::End(end) => return reply::json(&writer.finish(&end)),
            }
        }
        return Err(ApiError::internal("the answer broke off"));
    }
    let parts = parts(answering).await?;
    let begin = writer.begin();
    let events = parts.map(move |item| match item {
        Ok(Item::Chunk(chunk)) => writer.chunk(&chunk),
        Ok(Item::End(end)) => writer.end(&end),
        Err(error) => writer.failed(&error),
    });
    Ok(reply::events(
        futures_util::stream::iter([begin]).chain(events),
    ))
}

/// Nothing is kept from one request to the next.
fn refuse_state(request: &ResponsesRequest) -> Result<(), ApiError> {
    if request.previous_response_id.is_some() {
        return Err(ApiError::bad(
            "previous_response_id: responses are not kept; send the whole conversation",
        ));
    }
    if request
        .conversation
        .as_ref()
        .is_some_and(|value| !value.is_null())
    {
        return Err(ApiError::bad(
            "conversation: conversations are not kept; send the whole conversation",
        ));
    }
    if request.background {
        return Err(ApiError::bad("background: it is not supported"));
    }
    Ok(())
}

/// Whether log-probabilities are told: a number of them asks for them, and so does the field for what is
/// further to be told.
fn wants_logprobs(request: &ResponsesRequest) -> bool {
    let include = request.include.as_ref().and_then(Value::as_array);
    let mut include = include.into_iter().flatten();
    request.top_logprobs > 0 || include.any(|one| one == "message.output_text.logprobs")
}
