//! A smaller model with the same vocabulary that guesses what the engine's model will say
//! (speculative decoding; Leviathan et al. 2023, Chen et al. 2023).

use super::budget::{taken, within};
use super::metrics::Memory;
use super::shared::Shared;
use crate::batch::{Batch, Outputs, SeqId};
use crate::context::{Context, ContextParams, Decoded};
use crate::error::{Error, ErrorKind, Result};
use crate::kv_cache::MemoryKind;
use crate::model::Model;
use crate::token::Token;

/// Tokens of a text that the draft model reads at once, so that the answers of others go on.
const CATCH_UP: usize = 128;
/// Tokens that it reads and guesses from in one go: those of the last step.
const MOST_NEW: usize = 32;
/// The most that a context can have.
const SEQUENCES: u32 = 256;
/// A guess that the draft model thinks less likely than this is its last.
const SURE: f32 = 0.5;

/// The draft model's context. Sequences have the ids that they have in the engine's context.
pub(super) struct Draft {
    context: Context,
    batch: Batch,
}

/// Refuses a model that cannot guess for another one.
fn check(draft: &Model, model: &Model) -> Result<()> {
    let refuse = |why: String| Err(Error::argument(format!("draft: {why}")));
    if !draft.has_decoder() || draft.has_encoder() || draft.is_diffusion() {
        return refuse("the model does not generate".to_owned());
    }
    let (ours, theirs) = (model.vocab(), draft.vocab());
    if ours.n_tokens() != theirs.n_tokens() {
        return refuse(format!(
            "its vocabulary has {} tokens, the model's {}",
            theirs.n_tokens(),
            ours.n_tokens()
        ));
    }
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for id in 0..i32::try_from(ours.n_tokens()).unwrap_or(i32::MAX) {
        a.clear();
        b.clear();
        ours.append_piece(Token(id), true, &mut a)?;
        theirs.append_piece(Token(id), true, &mut b)?;
        if a != b {
            return refuse(format!("token {id} is another one than the model's"));
        }
    }
    Ok(())
}

impl Draft {
    /// A context for as many cells as all requests share.
    pub(super) fn new(model: &Model, shared: &Shared) -> Result<Self> {
        check(model, &shared.model)?;
        let params = &shared.params;
        let mut wanted = ContextParams::new()
            .context_length(shared.resolved.pool)
            .sequences(SEQUENCES)
            .unified(true)
            .batch_size(SEQUENCES)
            .micro_batch_size(CATCH_UP as u32)
            .flash_attention(params.flash_attention);
        if let Some(threads) = params.threads {
            wanted = wanted.threads(threads);
        }
        let context = within(
            Context::new(model, &wanted)?,
            shared.model.size(),
            shared.budget,
        )?;
        if context.kv_cache().kind() != MemoryKind::Plain {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "draft: a model whose memory cannot be cut back cannot guess",
            ));
        }
        Ok(Self {
            context,
            batch: Batch::new(),
        })
    }

    /// What it takes, weights included.
    pub(super) fn memory(&self) -> Memory {
        taken(&self.context).unwrap_or_default()
    }

    /// Forgets a sequence.
    pub(super) fn forget(&mut self, seq: SeqId) {
        // A context that cannot do this fails at its next guess.
        let _ = self.context.kv_cache_mut().remove_sequence(seq);
    }

    /// At most `most` tokens that `tokens` may go on with; none while it still reads these.
    pub(super) fn guess(
        &mut self,
        seq: SeqId,
        tokens: &[Token],
        most: usize,
        threads: u32,
    ) -> Result<Vec<Token>> {
        if self.context.threads() != (threads, threads) {
            self.context.set_threads(threads, threads)?;
        }
        let kv = self.context.kv_cache_mut();
        let known = kv.common_prefix(seq, tokens).min(tokens.len() - 1);
        kv.truncate(seq, known)?;
        let unread = &tokens[known..];
        if unread.len() > MOST_NEW {
            self.read(seq, known, &unread[..unread.len().min(CATCH_UP)])?;
            return Ok(Vec::new());
        }
        let mut next = self.read(seq, known, unread)?;
        let mut guesses = Vec::new();
        while let Some((token, likely)) = next {
            guesses.push(token);
            if guesses.len() >= most || likely < SURE {
                break;
            }
            next = self.read(seq, tokens.len() + guesses.len() - 1, &[token])?;
        }
        Ok(guesses)
    }

    /// Reads tokens and gives the likeliest next one with its probability; none when there is no
    /// room, for which other sequences then make way.
    fn read(&mut self, seq: SeqId, from: usize, tokens: &[Token]) -> Result<Option<(Token, f32)>> {
        self.batch.clear();
        let position = i32::try_from(from).unwrap_or(i32::MAX);
        self.batch.add_run(tokens, position, seq, Outputs::Last);
        if self.context.decode(&self.batch)? != Decoded::Done {
            self.context.kv_cache_mut().clear()?;
            return Ok(None);
        }
        Ok(likeliest(self.context.logits(tokens.len() - 1)?))
    }
}

fn likeliest(logits: &[f32]) -> Option<(Token, f32)> {
    let (id, most) = logits
        .iter()
        .copied()
        .enumerate()
        .reduce(|best, next| if next.1 > best.1 { next } else { best })?;
    let sum: f32 = logits.iter().map(|logit| (logit - most).exp()).sum();
    Some((Token(i32::try_from(id).ok()?), 1.0 / sum))
}
