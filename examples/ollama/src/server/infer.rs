//! From a rendered prompt to an answer in parts: what all routes that generate have in common.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};
use llamakit::chat::{
    AnswerFormat, AnswerParser, AnswerPart, CallFormat, ChatTemplate, Conversation, Tool,
    ToolChoice,
};
use serde_json::Value;

use super::app::{App, Caller, Heard, blocking};
use super::clock::nanos;
use super::error::ApiError;
use super::id;
use super::model::Model;
use super::prompt::{self, Rendered};
use super::schema::closed;
use crate::api::{
    CalledFunction, KeepAlive, Logprob, Metrics, Notes, Options, ToolCall, TopLogprob,
};
use crate::runner::client::RunnerClient;
use crate::runner::wire::{
    self, Completion, Constraint, ConstraintKind, Event, FailureKind, Overflow, Piece, Prompt,
    Reason, Sampling, Tokenize, Tokenized,
};
use crate::scheduler::Lease;

/// Log-probabilities of so many tokens at each place at most.
pub(crate) const TOP: i64 = 20;

/// What is to be answered.
pub(crate) struct Ask {
    pub model: Arc<Model>,
    pub rendered: Rendered,
    /// The conversation and its template, to be rendered anew where it is too long and it is not known which
    /// text belongs to which message.
    pub again: Option<(ChatTemplate, Conversation)>,
    pub options: Options,
    pub constraint: Option<Constraint>,
    pub logit_bias: Vec<(i32, f32)>,
    pub keep_alive: Option<KeepAlive>,
    pub logprobs: Option<u32>,
    pub truncate: bool,
    pub shift: bool,
    /// What may be called.
    pub tools: Vec<Tool>,
    pub before: Vec<i32>,
    pub want_tokens: bool,
}

/// A part of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Chunk {
    pub content: String,
    pub thinking: String,
    pub tool_calls: Vec<ToolCall>,
    pub logprobs: Vec<Logprob>,
}

impl Chunk {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what comes after.
    pub(crate) fn append(&mut self, next: Self) {
        self.content.push_str(&next.content);
        self.thinking.push_str(&next.thinking);
        self.tool_calls.extend(next.tool_calls);
        self.logprobs.extend(next.logprobs);
    }
}

/// The end of an answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct End {
    /// `stop` or `length`.
    pub reason: &'static str,
    /// The text that would have come next.
    pub stop: Option<String>,
    pub metrics: Metrics,
    pub notes: Notes,
    pub tokens: Vec<i32>,
}

#[derive(Debug)]
pub(crate) enum Item {
    Chunk(Chunk),
    End(Box<End>),
}

/// An answer as it comes. Dropping it stops its work.
pub(crate) struct Answering {
    events: Pin<Box<dyn Stream<Item = Event> + Send>>,
    app: Arc<App>,
    lease: Lease,
    parser: Option<AnswerParser>,
    rendered: Rendered,
    waiting: VecDeque<Item>,
    began: Instant,
    /// How many messages were dropped before the prompt was sent, and its tokens before that.
    refitted: Option<(u64, u64)>,
    calls: u32,
    heard: Heard,
    ended: bool,
}

impl Ask {
    fn completion(&self, caller: &Caller, window: u32) -> Completion {
        let options = &self.options;
        let keep = options
            .num_keep
            .and_then(|keep| u32::try_from(keep).ok())
            .unwrap_or(4);
        let limit = options
            .num_predict
            .and_then(|count| u64::try_from(count).ok());
        let limit = limit.filter(|&count| count > 0);
        let mut stop = options.stop.clone().unwrap_or_default();
        let mut special_texts = Vec::new();
        if let Some(format) = &self.rendered.format {
            stop.extend(format.stops().iter().map(|&text| text.to_owned()));
            special_texts = format.markers();
        }
        Completion {
            before: self.before.clone(),
            prompt: self.rendered.prompt.clone(),
            sampling: self.sampling(),
            num_ctx: Some(window),
            // A window that moves on would never be full.
            max_tokens: limit.or(self.shift.then_some(u64::from(window))),
            stop,
            ignore_eos: options.ignore_eos.unwrap_or(false),
            logprobs: self.logprobs,
            overflow: match (self.truncate, self.shift) {
                (_, true) => Overflow::Shift { keep },
                (true, false) => Overflow::DropGroups,
                (false, false) => Overflow::Refuse,
            },
            constraint: self.constraint.clone(),
            special_texts,
            namespace: caller.namespace.to_string(),
            speculate: options.draft_num_predict.is_some_and(|count| count > 0),
            want_tokens: self.want_tokens,
        }
    }

    fn sampling(&self) -> Sampling {
        let options = &self.options;
        let unsigned = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
        Sampling {
            seed: options.seed.and_then(|seed| u64::try_from(seed).ok()),
            temperature: options.temperature,
            top_k: unsigned(options.top_k),
            top_p: options.top_p,
            min_p: options.min_p,
            typical_p: options.typical_p,
            repeat_last_n: options
                .repeat_last_n
                .and_then(|value| i32::try_from(value).ok()),
            repeat_penalty: options.repeat_penalty,
            presence_penalty: options.presence_penalty,
            frequency_penalty: options.frequency_penalty,
            mirostat: options.mirostat.and_then(|value| u8::try_from(value).ok()),
            mirostat_tau: options.mirostat_tau,
            mirostat_eta: options.mirostat_eta,
            logit_bias: self.logit_bias.clone(),
        }
    }
}

/// Begins an answer.
pub(crate) async fn answer(
    app: &Arc<App>,
    caller: &Caller,
    mut ask: Ask,
    mut heard: Heard,
    began: Instant,
) -> Result<Answering, ApiError> {
    let window = app.window(&ask.model, &ask.options, &mut heard);
    let format = ask.rendered.format.as_ref();
    if !ask.tools.is_empty() && format.is_some_and(|format| *format.calls() == CallFormat::None) {
        // Other programs have this model's template built in.
        heard.warn(
            "the model is not told of the tools: its template has no place for them".to_owned(),
        );
    }
    heard.check()?;
    if app.rules.log_prompts {
        tracing::trace!(id = %caller.id, prompt = ask.rendered.text(), "prompt");
    }
    let lease = app
        .acquire(&ask.model, &ask.options, window, ask.keep_alive)
        .await?;
    let mut refitted = None;
    let begun = lease.client.complete(&ask.completion(caller, window)).await;
    let events = match begun {
        Ok(events) => events.boxed(),
        Err(failure) => {
            let FailureKind::TooLong { .. } = failure.kind else {
                return Err(failure.into());
            };
            let Some(again) = ask.again.take().filter(|_| ask.truncate) else {
                return Err(too_long(failure));
            };
            let client = lease.client.clone();
            let fitted = refit(client, again, window).await;
            let Ok((mut pieces, dropped, before)) = fitted else {
                return Err(too_long(failure));
            };
            pieces.extend(ask.rendered.tail.clone());
            ask.rendered.prompt = Prompt::Segments(pieces);
            refitted = Some((dropped, before));
            let completion = ask.completion(caller, window);
            lease
                .client
                .complete(&completion)
                .await
                .map_err(too_long)?
                .boxed()
        }
    };
    let parser = ask.rendered.format.as_ref().map(|format| {
        let parser = AnswerParser::new(format);
        // Without tools, what looks like a call is text.
        parser.tools(&ask.tools)
    });
    Ok(Answering {
        events,
        app: Arc::clone(app),
        lease,
        parser,
        rendered: ask.rendered,
        waiting: VecDeque::new(),
        began,
        refitted,
        calls: 0,
        heard,
        ended: false,
    })
}

fn too_long(failure: wire::Failure) -> ApiError {
    let FailureKind::TooLong {
        prompt_tokens,
        window,
    } = failure.kind
    else {
        return failure.into();
    };
    let mut error = ApiError::from(failure);
    error.message = format!(
        "the prompt has {prompt_tokens} tokens, which exceeds the context length of {window} tokens (prompt and \
         answer together); set num_ctx, or shorten it"
    );
    error
}

/// Renders without the oldest messages until it fits; the prompt, how many messages were dropped, and its tokens
/// before.
async fn refit(
    client: RunnerClient,
    (template, conversation): (ChatTemplate, Conversation),
    window: u32,
) -> Result<(Vec<Piece>, u64, u64), ApiError> {
    let runtime = tokio::runtime::Handle::current();
    blocking(move || {
        let mut count = |segments: &[llamakit::Segment]| {
            let request = Tokenize {
                prompt: Prompt::Segments(prompt::pieces(segments.to_vec())),
                add_special: true,
            };
            let counted = runtime.block_on(client.ask::<_, Tokenized>("/tokenize", &request));
            // An impossible length ends the search when the runner is gone.
            Ok(counted.map_or(usize::MAX, |counted| counted.tokens.len()))
        };
        let limit = window.saturating_sub(1) as usize;
        let fitted = template.render_within(&conversation, limit, &mut count);
        let fitted = fitted.map_err(|error| ApiError::bad(error.message()))?;
        let pieces = prompt::pieces(fitted.segments);
        Ok((
            pieces,
            fitted.dropped.len() as u64,
            fitted.full_count as u64,
        ))
    })
    .await
}

impl Answering {
    /// The next part; `None` after the end.
    pub(crate) async fn next(&mut self) -> Option<Result<Item, ApiError>> {
        loop {
            if let Some(item) = self.waiting.pop_front() {
                return Some(Ok(item));
            }
            if self.ended {
                return None;
            }
            match self.events.next().await? {
                Event::Text(text) => self.take(&text, None),
                Event::Token(token) => {
                    let logprob = logprob(&token);
                    self.take(&token.text, Some(logprob));
                }
                Event::Finished(finished) => self.finish(*finished),
                Event::Failed(failure) => {
                    self.ended = true;
                    self.app.metrics.failed();
                    return Some(Err(failure.into()));
                }
            }
        }
    }

    /// The whole answer.
    pub(crate) async fn whole(mut self) -> Result<(Chunk, End), ApiError> {
        let mut all = Chunk::default();
        while let Some(item) = self.next().await {
            match item? {
                Item::Chunk(chunk) => all.append(chunk),
                Item::End(end) => return Ok((all, *end)),
            }
        }
        Err(ApiError::internal("the answer broke off"))
    }

    fn take(&mut self, text: &str, logprob: Option<Logprob>) {
        let parts = match &mut self.parser {
            Some(parser) => parser.push(text),
            None => vec![AnswerPart::Content(text.to_owned())],
        };
        let mut chunk = self.chunk(parts);
        chunk.logprobs.extend(logprob);
        if !chunk.is_empty() {
            self.waiting.push_back(Item::Chunk(chunk));
        }
    }

    fn chunk(&mut self, parts: Vec<AnswerPart>) -> Chunk {
        let mut chunk = Chunk::default();
        for part in parts {
            match part {
                AnswerPart::Content(text) => chunk.content.push_str(&text),
                AnswerPart::Thinking(text) => chunk.thinking.push_str(&text),
                AnswerPart::ToolCall(call) => {
                    let index = self.calls;
                    self.calls += 1;
                    chunk.tool_calls.push(ToolCall {
                        id: call.id.unwrap_or_else(|| id::random("call_", 8)),
                        function: CalledFunction {
                            index,
                            name: call.name,
                            arguments: call.arguments,
                            description: None,
                        },
                        kind: None,
                    });
                }
                AnswerPart::Malformed { text, error } => {
                    self.heard.warn(error.to_string());
                    chunk.content.push_str(&text);
                }
                _ => {}
            }
        }
        chunk
    }

    fn finish(&mut self, finished: wire::Finished) {
        self.ended = true;
        if let Some(parser) = &mut self.parser {
            let parts = parser.finish();
            let chunk = self.chunk(parts);
            if !chunk.is_empty() {
                self.waiting.push_back(Item::Chunk(chunk));
            }
        }
        self.app.metrics.answered(&finished);
        let (reason, stop) = match finished.reason {
            Reason::End | Reason::Complete => ("stop", None),
            Reason::Stop(text) => ("stop", Some(text)),
            Reason::Limit | Reason::Full => ("length", None),
        };
        if finished.complete == Some(false) {
            self.heard.warn(match reason {
                "length" => "the JSON is not complete: the answer reached its limit".to_owned(),
                _ => "the JSON is not complete".to_owned(),
            });
        }
        let dropped = self.rendered.messages_in(&finished.dropped_groups);
        let (mut dropped, mut before) = match dropped {
            0 => (0, 0),
            dropped => (dropped, finished.submitted_tokens),
        };
        if let Some(refitted) = self.refitted {
            (dropped, before) = refitted;
        }
        if finished.dropped_groups.is_empty() && finished.dropped_tokens > 0 {
            self.heard.warn(format!(
                "the window moved on: {} tokens were dropped",
                finished.dropped_tokens
            ));
        }
        let metrics = Metrics {
            total_duration: nanos(self.began.elapsed()),
            load_duration: nanos(self.lease.waited.max(Duration::from_nanos(1))),
            prompt_eval_count: finished.prompt_tokens,
            prompt_cached_count: finished.cached_tokens,
            prompt_eval_duration: finished.prompt,
            eval_count: finished.generated_tokens,
            eval_duration: finished.generation,
        };
        let notes = Notes {
            warnings: std::mem::take(&mut self.heard.warnings),
            dropped_messages: dropped,
            prompt_tokens_before: before,
            seed: Some(finished.seed),
        };
        self.waiting.push_back(Item::End(Box::new(End {
            reason,
            stop,
            metrics,
            notes,
            tokens: finished.tokens,
        })));
    }
}

fn logprob(token: &wire::Token) -> Logprob {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let top = token.top.iter().map(|scored| TopLogprob {
        token: text(&scored.bytes),
        logprob: scored.logprob.into(),
        bytes: scored.bytes.clone(),
    });
    Logprob {
        token: text(&token.this.bytes),
        logprob: token.this.logprob.into(),
        bytes: token.this.bytes.clone(),
        top_logprobs: top.collect(),
    }
}

/// How many log-probabilities are told, from the fields of a request.
pub(crate) fn logprobs(on: bool, top: i64) -> Result<Option<u32>, ApiError> {
    let number = u32::try_from(top).ok().filter(|_| top <= TOP);
    match number {
        None => Err(ApiError::bad(format!(
            "top_logprobs must be between 0 and {TOP}"
        ))),
        Some(number) => Ok(on.then_some(number)),
    }
}

/// What a request's `format` asks for.
pub(crate) fn format(value: Option<&Value>) -> Result<Option<ConstraintKind>, ApiError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text == "json" => Ok(Some(ConstraintKind::JsonObject)),
        Some(schema @ Value::Object(_)) => Ok(Some(ConstraintKind::JsonSchema(closed(schema)))),
        Some(_) => Err(ApiError::bad(
            "format: it must be \"json\" or a JSON Schema",
        )),
    }
}

/// Constrains the answer behind its thoughts.
pub(crate) fn constrain(
    kind: ConstraintKind,
    format: Option<&AnswerFormat>,
    thinks: bool,
) -> Constraint {
    let after = format.filter(|_| thinks).and_then(|format| {
        if *format.calls() == CallFormat::Harmony {
            return Some("<|channel|>final<|message|>".to_owned());
        }
        format
            .thinking_tags()
            .first()
            .map(|tags| tags.close.clone())
    });
    Constraint { kind, after }
}

/// The constraint that a choice of tools stands for.
pub(crate) fn choose(
    format: &AnswerFormat,
    tools: &[Tool],
    choice: &ToolChoice,
    parallel: bool,
) -> Result<Option<Constraint>, ApiError> {
    if matches!(choice, ToolChoice::Auto | ToolChoice::None) {
        return Ok(None);
    }
    let grammar = format.call_grammar(tools, choice, parallel);
    let grammar =
        grammar.map_err(|error| ApiError::bad(format!("tool_choice: {}", error.message())))?;
    Ok(grammar.map(|grammar| Constraint {
        kind: ConstraintKind::Lark(grammar),
        after: None,
    }))
}
