//! A prompt as the engine takes it.

use llamakit::engine::{EnginePrompt, Overflow as Rule};
use llamakit::{Segment, Token as Id};

use super::EngineBackend;
use super::failure::refused;
use crate::runner::wire::{Completion, Failure, FailureKind, Overflow, Prompt};

/// Texts of a prompt or an embedding at most, in bytes: beyond it tokenizing takes too much memory.
const TEXT: usize = 64 << 20;

impl EngineBackend {
    /// The tokens of a prompt.
    pub(super) fn tokens(&self, prompt: &Prompt, add_special: bool) -> Result<Vec<Id>, Failure> {
        match prompt {
            Prompt::Text(text) => {
                within(text.len())?;
                self.vocab()
                    .tokenize(text, add_special, true)
                    .map_err(refused)
            }
            Prompt::Segments(_) => {
                let segments = segments(prompt)?;
                let done = self.vocab().tokenize_segments(&segments, add_special);
                Ok(done.map_err(refused)?.tokens)
            }
        }
    }

    /// The prompt, and its tokens where they are wanted or must be known.
    pub(super) fn prompt(
        &self,
        request: &Completion,
    ) -> Result<(EnginePrompt, Vec<Id>, Rule), Failure> {
        let rule = match request.overflow {
            Overflow::Refuse => Rule::Error,
            Overflow::DropGroups | Overflow::Shift { .. } => Rule::DropGroups,
        };
        let shifts = matches!(request.overflow, Overflow::Shift { .. });
        if request.before.is_empty() && !request.want_tokens && !shifts {
            let prompt = match &request.prompt {
                Prompt::Text(text) => {
                    within(text.len())?;
                    EnginePrompt::Text(text.clone())
                }
                prompt => EnginePrompt::Segments(segments(prompt)?),
            };
            return Ok((prompt, Vec::new(), rule));
        }
        let mut tokens: Vec<Id> = request.before.iter().map(|&id| Id(id)).collect();
        let first = tokens.is_empty();
        tokens.extend(self.tokens(&request.prompt, first)?);
        let window = request.num_ctx.unwrap_or(self.window) as usize;
        if tokens.len() >= window && first && matches!(request.prompt, Prompt::Segments(_)) {
            // Whole messages are dropped where it is known what belongs to them.
            let prompt = EnginePrompt::Segments(segments(&request.prompt)?);
            return Ok((prompt, Vec::new(), rule));
        }
        let rule = match request.overflow {
            // The prompt fits, so that only the answer makes the window move on.
            Overflow::Shift { keep } if tokens.len() < window => Rule::Shift {
                keep: keep as usize,
            },
            _ => Rule::Error,
        };
        Ok((EnginePrompt::Tokens(tokens.clone()), tokens, rule))
    }
}

pub(super) fn within(bytes: usize) -> Result<(), Failure> {
    match bytes <= TEXT {
        true => Ok(()),
        false => Err(Failure::new(
            FailureKind::Invalid,
            format!("the text has {bytes} bytes; there may be {TEXT} at most"),
        )),
    }
}

fn segments(prompt: &Prompt) -> Result<Vec<Segment>, Failure> {
    let pieces = match prompt {
        Prompt::Text(text) => {
            within(text.len())?;
            return Ok(vec![Segment::template(text.clone())]);
        }
        Prompt::Segments(pieces) => pieces,
    };
    within(pieces.iter().map(|piece| piece.t.len()).sum())?;
    let segments = pieces.iter().map(|piece| {
        let segment = match piece.m {
            true => Segment::message(piece.t.clone()),
            false => Segment::template(piece.t.clone()),
        };
        match piece.g {
            Some(group) => segment.in_group(group),
            None => segment,
        }
    });
    Ok(segments.collect())
}
