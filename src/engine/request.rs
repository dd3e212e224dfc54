//! What to generate, and under which rules.

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "constrain")]
use crate::constrain::Constraint;
use crate::lora::LoraAdapter;
use crate::sampler::Sampler;
use crate::segments::Segment;
use crate::token::Token;

/// What to continue.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EnginePrompt {
    /// Text, tokenized with the special tokens that the model adds. Names of control tokens in it
    /// become these tokens: for text of your own only.
    Text(String),
    /// Tokens, taken as they are.
    Tokens(Vec<Token>),
    /// Pieces of text that remember where they came from: what came from a message never becomes a
    /// control token. The special tokens that the model adds are added.
    Segments(Vec<Segment>),
}

impl From<&str> for EnginePrompt {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for EnginePrompt {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<Token>> for EnginePrompt {
    fn from(tokens: Vec<Token>) -> Self {
        Self::Tokens(tokens)
    }
}

impl From<Vec<Segment>> for EnginePrompt {
    fn from(segments: Vec<Segment>) -> Self {
        Self::Segments(segments)
    }
}

/// What to do with what does not fit into the request's context length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// Refuse a prompt that is too long; end an answer when the window is full.
    #[default]
    Error,
    /// Drop whole groups of a segmented prompt, oldest first, until it fits. What belongs to no
    /// group and the last group stay. An answer ends when the window is full.
    DropGroups,
    /// Keep the first `keep` tokens and drop the older half of the rest, of a prompt that is too
    /// long and again whenever the answer fills the window. The answer may never end by itself:
    /// set [`Request::max_tokens`].
    Shift {
        /// Tokens at the start of the prompt that always stay.
        keep: usize,
    },
}

/// A request to generate text.
#[derive(Debug, Clone)]
pub struct Request {
    pub(super) prompt: EnginePrompt,
    pub(super) sampler: Option<Sampler>,
    pub(super) max_tokens: Option<usize>,
    pub(super) stop: Vec<String>,
    #[cfg(feature = "constrain")]
    pub(super) constraint: Option<Constraint>,
    pub(super) special_texts: Vec<String>,
    pub(super) ignore_eos: bool,
    pub(super) logprobs: Option<usize>,
    pub(super) namespace: Arc<str>,
    pub(super) priority: i32,
    pub(super) deadline: Option<Duration>,
    pub(super) overflow: Overflow,
    pub(super) context_length: Option<u32>,
    pub(super) adapters: Vec<(LoraAdapter, f32)>,
    pub(super) reuse: bool,
    pub(super) speculate: bool,
}

impl Request {
    /// A request with the defaults: llama.cpp's sampling with a random seed, no limit but the
    /// context length.
    #[must_use]
    pub fn new(prompt: impl Into<EnginePrompt>) -> Self {
        Self {
            prompt: prompt.into(),
            sampler: None,
            max_tokens: None,
            stop: Vec::new(),
            #[cfg(feature = "constrain")]
            constraint: None,
            special_texts: Vec::new(),
            ignore_eos: false,
            logprobs: None,
            namespace: Arc::from(""),
            priority: 0,
            deadline: None,
            overflow: Overflow::Error,
            context_length: None,
            adapters: Vec::new(),
            reuse: true,
            speculate: false,
        }
    }

    /// Draws tokens with this sampler; the prompt's tokens are counted as used first.
    #[must_use]
    pub fn sampler(mut self, sampler: Sampler) -> Self {
        self.sampler = Some(sampler);
        self
    }

    /// Ends the answer after `count` tokens. Default: when the window is full.
    #[must_use]
    pub fn max_tokens(mut self, count: usize) -> Self {
        self.max_tokens = Some(count);
        self
    }

    /// Ends the answer before the first of these texts appears in it. Empty ones are ignored.
    #[must_use]
    pub fn stop<S: Into<String>>(mut self, texts: impl IntoIterator<Item = S>) -> Self {
        self.stop = texts.into_iter().map(Into::into).collect();
        self
    }

    /// Lets the answer be only what a constraint allows. It ends where the value is whole and can't go
    /// on ([`FinishReason::Complete`](super::FinishReason::Complete)), or where it is whole and the model
    /// ends it; [`Finished::complete`](super::Finished::complete) tells the latter from an answer that
    /// was cut. Default: none.
    #[cfg(feature = "constrain")]
    #[must_use]
    pub fn constraint(mut self, constraint: Constraint) -> Self {
        self.constraint = Some(constraint);
        self
    }

    /// Writes the control tokens of these names into the answer's text, so that a reader of tool calls
    /// and thoughts finds them. Texts that are no control token are ignored. Default: none.
    #[must_use]
    pub fn special_texts<S: Into<String>>(mut self, texts: impl IntoIterator<Item = S>) -> Self {
        self.special_texts = texts.into_iter().map(Into::into).collect();
        self
    }

    /// Never draws a token that ends the answer. Default: off.
    #[must_use]
    pub fn ignore_eos(mut self, on: bool) -> Self {
        self.ignore_eos = on;
        self
    }

    /// Reports the log-probability of each token and the `top` most probable ones, from the raw
    /// logits. Default: none.
    #[must_use]
    pub fn logprobs(mut self, top: usize) -> Self {
        self.logprobs = Some(top);
        self
    }

    /// Who asks. Cached prefixes are never shared between namespaces, and the queue serves them in
    /// turn. Default: the empty name.
    #[must_use]
    pub fn namespace(mut self, name: &str) -> Self {
        self.namespace = Arc::from(name);
        self
    }

    /// Requests of higher priority leave the queue first. Default: 0.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Ends the request when this time has passed since it was submitted. Default: never.
    #[must_use]
    pub fn deadline(mut self, after: Duration) -> Self {
        self.deadline = Some(after);
        self
    }

    /// What to do with what does not fit. Default: [`Overflow::Error`].
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Tokens that prompt and answer may have together. More than the engine's pool holds makes
    /// the request wait until the others are done, and gives the engine a new context on the same
    /// weights. Default: [`EngineParams::context_length`](super::EngineParams::context_length).
    #[must_use]
    pub fn context_length(mut self, tokens: u32) -> Self {
        self.context_length = Some(tokens);
        self
    }

    /// LoRA adapters and their scales. Requests with other adapters are computed in other steps.
    #[must_use]
    pub fn lora_adapters(mut self, adapters: Vec<(LoraAdapter, f32)>) -> Self {
        self.adapters = adapters;
        self
    }

    /// Whether this request may start from what is cached and leave its own. Default: on.
    #[must_use]
    pub fn reuse(mut self, on: bool) -> Self {
        self.reuse = on;
        self
    }

    /// Guess further tokens and check several in one step: from what the text repeats (prompt lookup
    /// decoding), else by the engine's [`draft`](super::EngineParams::draft) model. The law by which
    /// tokens are drawn stays the same. Each way of guessing stops where it costs more time than it
    /// saves. Default: off.
    #[must_use]
    pub fn speculate(mut self, on: bool) -> Self {
        self.speculate = on;
        self
    }
}
