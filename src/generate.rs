//! The small loop: a prompt in, pieces of text out.

use crate::batch::{Batch, Outputs, SeqId};
#[cfg(feature = "constrain")]
use crate::constrain::Constraint;
use crate::context::{Context, Decoded};
use crate::error::{Error, ErrorKind, Result};
use crate::guide::Guide;
use crate::kv_cache::MemoryKind;
use crate::sampler::Sampler;
use crate::text::TextDecoder;
use crate::token::Token;

/// What to continue.
#[derive(Debug, Clone, Copy)]
pub enum Prompt<'a> {
    /// Text, tokenized with the special tokens the model adds. Names of control tokens in it become
    /// these tokens: for text of your own only.
    Text(&'a str),
    /// Tokens, taken as they are. [`Vocab::tokenize_segments`](crate::Vocab::tokenize_segments) makes
    /// them of a rendered chat template.
    Tokens(&'a [Token]),
}

impl<'a> From<&'a str> for Prompt<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Prompt<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [Token]> for Prompt<'a> {
    fn from(tokens: &'a [Token]) -> Self {
        Self::Tokens(tokens)
    }
}

impl<'a> From<&'a Vec<Token>> for Prompt<'a> {
    fn from(tokens: &'a Vec<Token>) -> Self {
        Self::Tokens(tokens)
    }
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// The model drew a token that ends its answer.
    EndOfGeneration(Token),
    /// The constraint's value is whole and can't go on.
    Complete,
    /// The caller's limit of tokens.
    MaxTokens,
    /// The context has no room for another token.
    ContextFull,
    /// An [`AbortHandle`](crate::AbortHandle) stopped it.
    Aborted,
}

/// What a generation took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Of these, how many were still in the KV cache.
    pub cached_tokens: usize,
    /// Tokens drawn, the one that ended the answer not counted.
    pub generated_tokens: usize,
}

/// A running generation: an iterator over pieces of valid UTF-8 text.
///
/// A piece is never empty; a character that spans tokens comes whole. The iterator ends when the
/// answer does, [`end_reason`](Self::end_reason) says why. The prompt and the answer stay in
/// sequence 0 of the context, so that a next prompt that starts with them goes on from there.
#[derive(Debug)]
pub struct Generation<'a> {
    context: &'a mut Context,
    sampler: &'a mut Sampler,
    batch: Batch,
    decoder: TextDecoder,
    piece: Vec<u8>,
    /// The batch entry whose logits give the next token.
    output: usize,
    /// A drawn token that is not decoded yet.
    pending: Option<Token>,
    max_tokens: usize,
    /// Control tokens that are written into the text.
    written: Vec<Token>,
    guide: Guide,
    /// Whether the value that is asked for is whole and can't go on.
    complete: bool,
    end: Option<EndReason>,
    failed: bool,
    usage: Usage,
    tokens: Vec<Token>,
}

const SEQUENCE: SeqId = SeqId(0);

impl Context {
    /// Continues a prompt in sequence 0, drawing tokens with `sampler`.
    ///
    /// What sequence 0 still holds of the prompt's beginning is not computed again; the rest is
    /// computed before this returns. `sampler` counts the prompt's tokens as used.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] when the prompt is empty or does not leave room for a token;
    /// [`ErrorKind::Unsupported`] when the model has no decoder; else as
    /// [`Vocab::tokenize`](crate::Vocab::tokenize) and [`decode`](Self::decode).
    pub fn generate<'a, 'p>(
        &'a mut self,
        prompt: impl Into<Prompt<'p>>,
        sampler: &'a mut Sampler,
    ) -> Result<Generation<'a>> {
        let remembers = self.kv_cache().kind() != MemoryKind::None;
        if !self.model().has_decoder() || self.model().is_diffusion() || !remembers {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "this model does not generate text token by token",
            ));
        }
        let tokens = match prompt.into() {
            Prompt::Text(text) => self.model().vocab().tokenize(text, true, true)?,
            Prompt::Tokens(tokens) => tokens.to_vec(),
        };
        if tokens.is_empty() {
            return Err(Error::argument("the prompt has no tokens"));
        }
        if tokens.len() >= self.context_length() {
            return Err(Error::argument(format!(
                "the prompt has {} tokens; the context holds {} with the answer",
                tokens.len(),
                self.context_length()
            )));
        }
        let mut generation = Generation {
            batch: Batch::new(),
            decoder: self.model().vocab().decoder(),
            piece: Vec::new(),
            output: 0,
            pending: None,
            max_tokens: usize::MAX,
            written: Vec::new(),
            guide: Guide::default(),
            complete: false,
            end: None,
            failed: false,
            usage: Usage {
                prompt_tokens: tokens.len(),
                cached_tokens: 0,
                generated_tokens: 0,
            },
            tokens: Vec::new(),
            context: self,
            sampler,
        };
        generation.prefill(&tokens)?;
        Ok(generation)
    }
}

impl Generation<'_> {
    /// Ends the answer after `count` tokens. Default: when the context is full.
    #[must_use]
    pub fn max_tokens(mut self, count: usize) -> Self {
        self.max_tokens = count;
        self
    }

    /// Writes the control tokens of these names into the text, so that a reader of tool calls and
    /// thoughts finds them. Texts that are no control token are ignored. Default: none.
    ///
    /// # Errors
    ///
    /// As [`Vocab::control_token`](crate::Vocab::control_token).
    pub fn special_texts<S: AsRef<str>>(
        mut self,
        texts: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        self.written = self.context.model().vocab().control_tokens(texts)?;
        Ok(self)
    }

    /// Lets the answer be only what a constraint allows; the answer ends where its value is whole and
    /// can't go on.
    ///
    /// # Errors
    ///
    /// As [`Vocab::token_table`](crate::Vocab::token_table) and [`Constraint::matcher`].
    #[cfg(feature = "constrain")]
    pub fn constraint(mut self, constraint: &Constraint) -> Result<Self> {
        self.guide = Guide::new(Some(constraint), self.context.model().vocab())?;
        Ok(self)
    }

    /// Whether the constraint's value is whole so far; `None` without a constraint. An answer that ended
    /// by a limit may hold a part of a value only.
    pub fn is_complete(&mut self) -> Option<bool> {
        self.guide.is_whole()
    }

    /// Why the generation ended; `None` while it runs or after an error.
    #[must_use]
    pub fn end_reason(&self) -> Option<EndReason> {
        self.end
    }

    /// What the generation took so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// The tokens drawn so far, the one that ended the answer not included.
    #[must_use]
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Computes the prompt in chunks of the batch size.
    fn prefill(&mut self, tokens: &[Token]) -> Result<()> {
        let cached = self.context.kv_cache_mut().reuse_prefix(SEQUENCE, tokens)?;
        self.usage.cached_tokens = cached;
        for &token in tokens {
            self.sampler.accept(token);
        }
        let mut rest = &tokens[cached..];
        while !rest.is_empty() && self.end.is_none() {
            let (chunk, later) = rest.split_at(rest.len().min(self.context.batch_size()));
            let outputs = if later.is_empty() {
                Outputs::Last
            } else {
                Outputs::None
            };
            self.decode(chunk, outputs)?;
            rest = later;
        }
        Ok(())
    }

    fn decode(&mut self, tokens: &[Token], outputs: Outputs) -> Result<()> {
        let position = self.context.kv_cache().next_position(SEQUENCE);
        self.batch.clear();
        self.batch.add_run(tokens, position, SEQUENCE, outputs);
        match self.context.decode(&self.batch)? {
            Decoded::Done => self.output = self.batch.len() - 1,
            Decoded::NoSlot => self.end = Some(EndReason::ContextFull),
            Decoded::Aborted { .. } => self.end = Some(EndReason::Aborted),
        }
        Ok(())
    }

    /// Draws one token; false when the answer has ended.
    fn step(&mut self) -> Result<bool> {
        if let Some(token) = self.pending.take() {
            // The answer's last token needs no logits of its own, but belongs into the cache.
            self.decode(&[token], Outputs::Last)?;
        }
        if self.end.is_none() && self.complete {
            self.end = Some(EndReason::Complete);
        }
        if self.end.is_none() && self.usage.generated_tokens >= self.max_tokens {
            self.end = Some(EndReason::MaxTokens);
        }
        if self.end.is_some() {
            return Ok(false);
        }
        let logits = self.context.logits(self.output)?;
        let token = self.guide.sample(self.sampler, logits, None)?;
        self.sampler.accept(token);
        if self.context.model().vocab().is_end_of_generation(token)? {
            self.end = Some(EndReason::EndOfGeneration(token));
            return Ok(false);
        }
        self.complete = self.guide.accept(token)?;
        self.usage.generated_tokens += 1;
        self.tokens.push(token);
        self.piece.clear();
        let written = self.written.contains(&token);
        self.context
            .model()
            .vocab()
            .append_piece(token, written, &mut self.piece)?;
        if self.context.kv_cache().len(SEQUENCE) >= self.context.context_length() {
            self.end = Some(match self.complete {
                true => EndReason::Complete,
                false => EndReason::ContextFull,
            });
        } else {
            self.pending = Some(token);
        }
        Ok(true)
    }

    fn advance(&mut self) -> Result<Option<String>> {
        while self.end.is_none() {
            if !self.step()? {
                break;
            }
            let text = self.decoder.push(&self.piece);
            if !text.is_empty() {
                return Ok(Some(text));
            }
        }
        let rest = self.decoder.finish();
        Ok((!rest.is_empty()).then_some(rest))
    }
}

impl Iterator for Generation<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.advance().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}
