//! What a request's answer tells, in order.

use std::time::Duration;

use crate::error::Error;
use crate::token::Token;

/// One step of a request's way. The first is [`Queued`](Self::Queued), the last
/// [`Finished`](Self::Finished).
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The request waits behind this many others.
    Queued {
        /// Requests that were in the queue before it.
        ahead: usize,
    },
    /// It left the queue.
    Started {
        /// Tokens of its prompt that need not be computed: the KV cache has them.
        cached_tokens: usize,
        /// Tokens of its prompt that will be computed.
        to_evaluate: usize,
    },
    /// More of the prompt has been computed.
    Prompt {
        /// Tokens computed so far, cached ones not counted.
        evaluated: usize,
        /// Tokens to compute in total.
        total: usize,
    },
    /// A token was drawn.
    Token(TokenEvent),
    /// Text that was held back and turned out to be part of the answer after all; the tokens came
    /// before.
    Text(String),
    /// The end.
    Finished(Finished),
}

/// A token of an answer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TokenEvent {
    /// Its id.
    pub token: Token,
    /// The text that is certain with it: valid UTF-8; empty while a character is incomplete or a
    /// stop string may have begun.
    pub text: String,
    /// The natural logarithm of its probability by the raw logits, if asked for.
    pub logprob: Option<f32>,
    /// The most probable tokens with theirs, most probable first, if asked for.
    pub top: Vec<(Token, f32)>,
}

/// Why an answer ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum FinishReason {
    /// The model drew a token that ends its answer.
    EndOfGeneration(Token),
    /// The constraint's value is whole and can't go on.
    Complete,
    /// This stop string would have come next.
    Stop(String),
    /// The request's limit of tokens.
    MaxTokens,
    /// The request's window is full.
    ContextFull,
    /// The caller cancelled it, or dropped its [`Answer`](super::Answer).
    Cancelled,
    /// Its deadline passed.
    Deadline,
    /// The engine was shut down.
    Shutdown,
    /// It could not be computed.
    Failed(Error),
}

/// The end of an answer, with what it took.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished {
    /// Why it ended.
    pub reason: FinishReason,
    /// Whether the text is a whole value of the request's constraint; `None` without a constraint. A
    /// limit or a stop string may have cut it.
    pub complete: Option<bool>,
    /// Tokens of the prompt as computed, after anything was dropped from it.
    pub prompt_tokens: usize,
    /// Tokens of the prompt that was submitted.
    pub submitted_tokens: usize,
    /// Of the prompt's tokens, those that were not computed because they were cached.
    pub cached_tokens: usize,
    /// Tokens drawn, the one that ended the answer not counted.
    pub generated_tokens: usize,
    /// Groups of the prompt that were dropped, oldest first.
    pub dropped_groups: Vec<u32>,
    /// Tokens that were dropped from the prompt, or from the window while the answer ran.
    pub dropped_tokens: usize,
    /// The seed that tokens were drawn with.
    pub seed: u64,
    /// Tokens that were guessed ahead.
    pub drafted_tokens: usize,
    /// Of these, those that were right.
    pub accepted_tokens: usize,
    /// How long it took.
    pub timing: Timing,
}

/// How long the parts of a request took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// In the queue.
    pub queued: Duration,
    /// From leaving the queue to the first token.
    pub prompt: Duration,
    /// From the first token to the end.
    pub generation: Duration,
}
