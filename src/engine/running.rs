//! One running request: what it has computed, what it has said, and when it is done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cache::CacheKey;
use super::event::{Event, FinishReason, Finished, Timing, TokenEvent};
use super::request::Overflow;
use super::schedule::{Peer, Wait};
use super::shared::{Job, Shared};
use super::speculate::Speculation;
use super::stop::StopStrings;
use crate::batch::SeqId;
use crate::error::Result;
use crate::sampler::LogProbs;
use crate::text::TextDecoder;
use crate::token::Token;

pub(super) struct Running {
    pub(super) job: Box<Job>,
    pub(super) key: CacheKey,
    pub(super) seq: SeqId,
    pub(super) wait: Option<Wait>,
    /// The step that it took part in last, or came before.
    pub(super) turn: u64,
    /// The prompt and the tokens drawn, those that left the window removed.
    pub(super) tokens: Vec<Token>,
    /// How many of these the KV cache holds in `seq`.
    pub(super) done: usize,
    /// Whether its caller knows that it has started.
    pub(super) announced: bool,
    /// Whether its whole prompt has been computed once.
    pub(super) prompt_done: bool,
    /// Whether tokens have left its window, so that its state is no prefix of anything.
    pub(super) shifted: bool,
    /// A length at which a snapshot shall be taken.
    pub(super) branch: Option<usize>,
    pub(super) speculation: Option<Speculation>,
    pub(super) cached_tokens: usize,
    pub(super) evaluated: usize,
    dropped_tokens: usize,
    pub(super) drafted: usize,
    pub(super) accepted: usize,
    generated: usize,
    decoder: TextDecoder,
    stop: StopStrings,
    piece: Vec<u8>,
    started_at: Instant,
    first_token_at: Option<Instant>,
    last_token_at: Option<Instant>,
}

/// What drawing a token led to.
pub(super) enum Drawn {
    /// The token goes on the sequence.
    Token(Token),
    /// The answer has ended.
    End(FinishReason),
}

/// Durations that a drawn token adds to the engine's metrics.
#[derive(Default)]
pub(super) struct Gaps {
    pub(super) first_token: Option<Duration>,
    pub(super) gap: Option<Duration>,
}

impl Running {
    pub(super) fn new(mut job: Box<Job>, key: CacheKey, seq: SeqId, shared: &Shared) -> Self {
        for &token in &job.prompt {
            job.sampler.accept(token);
        }
        let speculation = job.speculate.then(|| Speculation::new(&job.prompt));
        Self {
            key,
            seq,
            wait: None,
            turn: 0,
            tokens: job.prompt.clone(),
            done: 0,
            announced: false,
            prompt_done: false,
            shifted: false,
            branch: None,
            speculation,
            cached_tokens: 0,
            evaluated: 0,
            dropped_tokens: job.submitted_tokens - job.prompt.len(),
            drafted: 0,
            accepted: 0,
            generated: 0,
            decoder: shared.model.vocab().decoder(),
            stop: StopStrings::new(job.stop.clone()),
            piece: Vec::new(),
            started_at: Instant::now(),
            first_token_at: None,
            last_token_at: None,
            job,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.job.control.id
    }

    /// How long it has been running.
    pub(super) fn age(&self) -> Duration {
        self.started_at.elapsed()
    }

    /// Says that the request has left the queue, with what it starts from.
    pub(super) fn announce(&mut self, cached: usize) {
        self.announced = true;
        self.cached_tokens = cached;
        self.job.events.send(Event::Started {
            cached_tokens: cached,
            to_evaluate: self.tokens.len() - cached,
        });
    }

    /// Tokens that the KV cache does not hold yet.
    pub(super) fn rest(&self) -> &[Token] {
        &self.tokens[self.done..]
    }

    /// Whether its next row continues an answer, as opposed to computing a prompt.
    pub(super) fn is_answering(&self) -> bool {
        self.prompt_done && self.rest().len() == 1
    }

    /// This request as others see it.
    pub(super) fn peer(&self) -> Peer<'_> {
        Peer {
            id: self.id(),
            done: self.done,
            wait: self.wait,
            reuse: self.job.reuse && !self.shifted,
            ..self.job.peer(&self.key)
        }
    }

    /// Notes that `count` further tokens are in the KV cache.
    pub(super) fn computed(&mut self, count: usize) {
        self.done += count;
        if !self.prompt_done {
            self.evaluated += count;
            self.job.events.send(Event::Prompt {
                evaluated: self.evaluated,
                total: self.job.prompt.len() - self.cached_tokens,
            });
            self.prompt_done = self.done == self.tokens.len();
        }
    }

    /// Draws the next token from the logits of its last one.
    pub(super) fn draw(&mut self, logits: &[f32], shared: &Shared) -> Result<(Drawn, Gaps)> {
        let mut gaps = Gaps::default();
        let ends = |token| shared.ends(token);
        let barred: Option<&dyn Fn(Token) -> bool> = match self.job.ignore_eos {
            true => Some(&ends),
            false => None,
        };
        let job = &mut *self.job;
        let token = job.guide.sample(&mut job.sampler, logits, barred)?;
        job.sampler.accept(token);
        let now = Instant::now();
        match self.last_token_at.replace(now) {
            None => {
                self.first_token_at = Some(now);
                gaps.first_token = Some(now - self.job.queued_at);
            }
            Some(last) => gaps.gap = Some(now - last),
        }
        if shared.ends(token) {
            return Ok((Drawn::End(FinishReason::EndOfGeneration(token)), gaps));
        }
        let complete = self.job.guide.accept(token)?;
        self.generated += 1;
        let (logprob, top) = match self.job.logprobs {
            None => (None, Vec::new()),
            Some(n) => {
                let all = LogProbs::new(logits)?;
                (all.get(token), all.top(n))
            }
        };
        self.piece.clear();
        let written = self.job.written.contains(&token);
        shared
            .model
            .vocab()
            .append_piece(token, written, &mut self.piece)?;
        let text = self.decoder.push(&self.piece);
        let found = self.stop.push(&text);
        self.job.events.send(Event::Token(TokenEvent {
            token,
            text: found.text,
            logprob,
            top,
        }));
        if let Some(index) = found.stop {
            return Ok((Drawn::End(self.stopped_by(index)), gaps));
        }
        if let Some(speculation) = &mut self.speculation {
            speculation.push(token);
        }
        self.tokens.push(token);
        if complete {
            return Ok((Drawn::End(FinishReason::Complete), gaps));
        }
        if self.generated >= self.job.max_tokens {
            let reason = if self.job.bounded_by_window {
                FinishReason::ContextFull
            } else {
                FinishReason::MaxTokens
            };
            return Ok((Drawn::End(reason), gaps));
        }
        Ok((Drawn::Token(token), gaps))
    }

    fn stopped_by(&self, index: usize) -> FinishReason {
        FinishReason::Stop(self.job.stop.get(index).cloned().unwrap_or_default())
    }

    /// For a request that asked for it: how many tokens stay at the start and how many after them
    /// leave now that the window is full.
    pub(super) fn overflows(&self) -> Option<(usize, usize)> {
        let Overflow::Shift { keep } = self.job.overflow else {
            return None;
        };
        if self.tokens.len() < self.job.window {
            return None;
        }
        super::overflow::shift(self.tokens.len(), self.job.window, keep)
    }

    /// Removes tokens from the window; the caller has done so in the KV cache, or emptied it there.
    pub(super) fn drop_tokens(&mut self, keep: usize, count: usize) {
        self.tokens.drain(keep..keep + count);
        self.dropped_tokens += count;
        self.shifted = true;
        if let Some(speculation) = &mut self.speculation {
            speculation.restart(&self.tokens);
        }
    }

    /// Tells the caller that it is over.
    pub(super) fn finish(&mut self, mut reason: FinishReason) {
        if !matches!(reason, FinishReason::Stop(_)) {
            let held = self.decoder.finish();
            let mut text = self.stop.push(&held).text;
            let last = self.stop.finish();
            text += &last.text;
            if let Some(index) = last.stop {
                reason = self.stopped_by(index);
            }
            if !text.is_empty() {
                self.job.events.send(Event::Text(text));
            }
        }
        let now = Instant::now();
        let first = self.first_token_at.unwrap_or(now);
        let whole = self.job.guide.is_whole();
        let stopped = matches!(reason, FinishReason::Stop(_));
        self.job.events.send(Event::Finished(Finished {
            reason,
            complete: whole.map(|whole| whole && !stopped),
            prompt_tokens: self.job.prompt.len(),
            submitted_tokens: self.job.submitted_tokens,
            cached_tokens: self.cached_tokens,
            generated_tokens: self.generated,
            dropped_groups: std::mem::take(&mut self.job.dropped_groups),
            dropped_tokens: self.dropped_tokens,
            seed: self.job.sampler.seed(),
            drafted_tokens: self.drafted,
            accepted_tokens: self.accepted,
            timing: Timing {
                queued: self.started_at - self.job.queued_at,
                prompt: first - self.started_at,
                generation: now - first,
            },
        }));
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("id", &self.id())
            .field("seq", &self.seq)
            .field("tokens", &self.tokens.len())
            .field("done", &self.done)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}

/// The key under which a request's prefixes are cached.
pub(super) fn key_of(job: &Job) -> CacheKey {
    let mut adapters = String::new();
    for (adapter, scale) in &job.adapters {
        adapters.push_str(&format!("{:?}*{scale} ", adapter.fingerprint()));
    }
    CacheKey {
        namespace: Arc::clone(&job.namespace),
        adapters,
    }
}
