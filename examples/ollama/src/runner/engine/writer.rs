//! The engine's events, as they travel.

use llamakit::engine::{Event as Step, FinishReason, TokenEvent};
use llamakit::{Token as Id, Vocab};

use super::failure::refused;
use crate::runner::wire::{Event, Failure, FailureKind, Finished, Reason, Scored, Token};

/// Turns the engine's events into those of the wire.
pub(super) struct Writer {
    pub(super) vocab: Vocab,
    pub(super) logprobs: bool,
    /// The tokens of prompt and answer, where they are wanted.
    pub(super) tokens: Option<Vec<Id>>,
}

impl Writer {
    pub(super) fn write(&mut self, step: Step) -> Option<Event> {
        match step {
            Step::Token(token) => {
                if let Some(tokens) = &mut self.tokens {
                    tokens.push(token.token);
                }
                match self.logprobs {
                    true => Some(Event::Token(Box::new(self.scored(token)))),
                    false => (!token.text.is_empty()).then_some(Event::Text(token.text)),
                }
            }
            Step::Text(text) => Some(Event::Text(text)),
            Step::Finished(finished) => Some(self.finished(finished)),
            _ => None,
        }
    }

    fn scored(&self, token: TokenEvent) -> Token {
        // A token without text in this vocabulary has none here either.
        let bytes = |id| self.vocab.piece(id, true).unwrap_or_default();
        let scored = |(id, logprob): (Id, f32)| Scored {
            bytes: bytes(id),
            logprob,
        };
        Token {
            text: token.text,
            this: scored((token.token, token.logprob.unwrap_or(f32::MIN))),
            top: token.top.into_iter().map(scored).collect(),
        }
    }

    fn finished(&mut self, finished: llamakit::engine::Finished) -> Event {
        let reason = match finished.reason {
            FinishReason::EndOfGeneration(_) => Reason::End,
            FinishReason::Stop(text) => Reason::Stop(text),
            FinishReason::MaxTokens => Reason::Limit,
            FinishReason::ContextFull => Reason::Full,
            FinishReason::Failed(error) => return Event::Failed(refused(error)),
            FinishReason::Complete => Reason::Complete,
            _ => {
                let message = "the request was stopped";
                return Event::Failed(Failure::new(FailureKind::Stopped, message));
            }
        };
        let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let tokens = self.tokens.take().unwrap_or_default();
        Event::Finished(Box::new(Finished {
            reason,
            complete: finished.complete,
            prompt_tokens: finished.prompt_tokens as u64,
            submitted_tokens: finished.submitted_tokens as u64,
            cached_tokens: finished.cached_tokens as u64,
            generated_tokens: finished.generated_tokens as u64,
            dropped_groups: finished.dropped_groups,
            dropped_tokens: finished.dropped_tokens as u64,
            seed: finished.seed,
            drafted_tokens: finished.drafted_tokens as u64,
            accepted_tokens: finished.accepted_tokens as u64,
            queued: nanos(finished.timing.queued),
            prompt: nanos(finished.timing.prompt),
            generation: nanos(finished.timing.generation),
            tokens: tokens.iter().map(|token| token.0).collect(),
        }))
    }
}
