//! What is to be answered, from the fields of requests to what a runner is asked.

use std::sync::Arc;

use llamakit::chat::{AnswerFormat, CallFormat, ChatTemplate, Conversation, Tool, ToolChoice};
use serde_json::Value;

use crate::api::{KeepAlive, Options};
use crate::runner::wire::{Completion, Constraint, ConstraintKind, Overflow, Sampling};
use crate::server::app::Caller;
use crate::server::error::ApiError;
use crate::server::model::Model;
use crate::server::prompt::Rendered;
use crate::server::schema::closed;

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

impl Ask {
    pub(super) fn completion(&self, caller: &Caller, window: u32) -> Completion {
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
