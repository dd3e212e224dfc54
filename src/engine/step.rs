//! One step: which tokens of which requests are computed together, and what becomes of them.

use std::time::{Duration, Instant};

use super::event::FinishReason;
use super::generator::Generator;
use super::running::{Drawn, Gaps, Running};
use super::schedule::{self, Ready};
use super::shared::lock;
use super::speculate::Cost;
use crate::batch::SeqId;
use crate::context::Decoded;
use crate::error::{Error, ErrorKind, Result};
use crate::kv_cache::MemoryKind;
use crate::token::Token;

/// How long a step of prompts alone may take.
const UNHURRIED: Duration = Duration::from_millis(500);
/// Aborting a step that takes less than this gains nothing.
const WORTH_ABORTING: Duration = Duration::from_millis(40);

/// The rows of one request in a batch.
struct Share {
    id: u64,
    seq: SeqId,
    /// Where its rows begin in the batch.
    start: usize,
    /// Tokens of the request itself.
    rows: usize,
    /// Tokens guessed to follow; a row each after the others.
    guesses: Vec<Token>,
    /// Whether its last token is among them, so that the next one can be drawn.
    complete: bool,
}

impl Generator {
    /// Computes one step. False: no request has anything to compute.
    pub(super) fn step(&mut self) -> Result<bool> {
        self.end_waits();
        self.shift_full_windows()?;
        let shares = self.plan()?;
        if shares.is_empty() {
            return Ok(false);
        }
        self.make_room(self.batch.len());
        let started = self.announce(&shares);
        let decoded = self.context.decode(&self.batch);
        let took = started.elapsed();
        self.conclude(decoded, &shares, took)?;
        self.follow_the_machine(took)?;
        Ok(true)
    }

    /// Computes the next step with as many threads as the machine has room for.
    fn follow_the_machine(&mut self, took: Duration) -> Result<()> {
        let threads = self.governor.after_step(took);
        if self.context.threads() != (threads, threads) {
            self.context.set_threads(threads, threads)?;
        }
        Ok(())
    }

    /// Chooses the rows of the next batch.
    fn plan(&mut self) -> Result<Vec<Share>> {
        self.batch.clear();
        let Some(chosen) = self.chosen()? else {
            return Ok(Vec::new());
        };
        let mut shares = Vec::new();
        let most_outputs = self.context.outputs_max();
        let mut outputs = 0;
        let answering: Vec<usize> = chosen
            .iter()
            .copied()
            .filter(|&index| self.running[index].is_answering())
            .collect();
        let spare = most_outputs.saturating_sub(chosen.len());
        let each = spare / answering.len().max(1);
        for &index in &answering {
            let guesses = self.guesses(index, each);
            outputs += 1 + guesses.len();
            shares.push(self.add(index, 1, guesses));
        }
        let room = self.prompt_rows(&answering, chosen.len());
        let wanted = chosen.iter().filter_map(|&index| {
            let running = &self.running[index];
            let rows = self.border(running) - running.done;
            (!running.is_answering()).then_some((index, rows))
        });
        let parts = most_outputs.saturating_sub(outputs);
        for (index, rows) in schedule::share_out(wanted, room, parts) {
            shares.push(self.add(index, rows, Vec::new()));
        }
        Ok(shares)
    }

    /// The requests that can compute together in the next step, after attaching their adapters.
    fn chosen(&mut self) -> Result<Option<Vec<usize>>> {
        let ready: Vec<Ready<&str>> = self
            .running
            .iter()
            .enumerate()
            .filter(|(_, running)| running.wait.is_none())
            .map(|(index, running)| (index, running.turn, running.key.adapters.as_str()))
            .collect();
        let chosen = schedule::together(&ready, self.shared.params.deterministic);
        let Some(&first) = chosen.first() else {
            return Ok(None);
        };
        self.turn += 1;
        for &index in &chosen {
            self.running[index].turn = self.turn;
        }
        let key = self.running[first].key.clone();
        let adapters = self.running[first].job.adapters.clone();
        self.attach(&key, &adapters)?;
        Ok(Some(chosen))
    }

    /// How many tokens of prompts go beside the running answers.
    fn prompt_rows(&mut self, answering: &[usize], chosen: usize) -> usize {
        let most = self.context.micro_batch_size();
        let target = lock(&self.shared.state).latency_target;
        let abortable = chosen == 1 || self.survives_abort();
        let target = match (answering.is_empty(), abortable) {
            // Nobody waits for a token; those who come now should not wait long for their place.
            (true, true) => target.max(UNHURRIED),
            (false, true) => target,
            // A step that cannot be aborted must be short, for those who cancel.
            (_, false) => target.min(WORTH_ABORTING),
        };
        self.pace.set_target(target);
        let taken = self.batch.len();
        self.pace
            .rows_within_target(taken, most)
            .saturating_sub(taken)
            .max(1)
    }

    /// Whether the sequences of a batch keep what they had when it is aborted.
    fn survives_abort(&self) -> bool {
        matches!(
            self.context.kv_cache().kind(),
            MemoryKind::Plain | MemoryKind::SlidingWindow
        )
    }

    /// Where the next chunk of a prompt ends at the latest.
    fn border(&self, running: &Running) -> usize {
        let (done, end) = (running.done, running.tokens.len());
        let next = |every: usize| (done / every + 1) * every;
        let params = &self.shared.params;
        if params.deterministic {
            return schedule::border(done, end, [next(self.context.micro_batch_size())]);
        }
        let waits = self.running.iter().filter_map(|follower| follower.wait);
        let waited_for = waits.filter(|wait| wait.leader == running.id());
        let mut stops: Vec<usize> = waited_for.map(|wait| wait.len).collect();
        if !self.shares_cells && running.job.reuse && !running.prompt_done {
            stops.push(next(params.checkpoint_gap as usize));
            stops.extend(running.branch);
            stops.push(end - 1);
        }
        schedule::border(done, end, stops)
    }

    fn add(&mut self, index: usize, rows: usize, guesses: Vec<Token>) -> Share {
        let running = &self.running[index];
        let complete = running.done + rows == running.tokens.len();
        let start = self.batch.len();
        let tokens = running.rest()[..rows].iter().chain(&guesses).copied();
        for (offset, token) in tokens.enumerate() {
            let position = i32::try_from(running.done + offset).unwrap_or(i32::MAX);
            let output = complete && offset + 1 >= rows;
            self.batch.add(token, position, &[running.seq], output);
        }
        Share {
            id: running.id(),
            seq: running.seq,
            start,
            rows,
            guesses,
            complete,
        }
    }

    /// Tokens that an answer may go on with, where its sequence can be cut back again.
    fn guesses(&mut self, index: usize, most: usize) -> Vec<Token> {
        let survives = self.survives_abort();
        let running = &mut self.running[index];
        let left = running
            .job
            .worst_case()
            .saturating_sub(running.tokens.len() + 1);
        let most = most.min(left);
        let Some(speculation) = running.speculation.as_mut().filter(|_| survives) else {
            return Vec::new();
        };
        // What may not be drawn need not be checked.
        let guide = &mut running.job.guide;
        let mut found = speculation.look_up(most).to_vec();
        found.truncate(guide.count_allowed(&found));
        let drafts = speculation.to_draft(most);
        let Some(draft) = self
            .draft
            .as_mut()
            .filter(|_| found.is_empty() && drafts > 0)
        else {
            return found;
        };
        let started = Instant::now();
        let threads = self.context.threads().0;
        match draft.guess(running.seq, &running.tokens, drafts, threads) {
            // It still reads, which is no fault of its guesses.
            Ok(guesses) if guesses.is_empty() => guesses,
            Ok(mut guesses) => {
                speculation.drafted(started.elapsed());
                guesses.truncate(guide.count_allowed(&guesses));
                guesses
            }
            Err(error) => {
                tracing::error!(%error, "the draft model failed; going on without it");
                self.draft = None;
                Vec::new()
            }
        }
    }

    /// What checking so many guesses cost the requests that run.
    fn cost_of_guesses(&self, guesses: usize) -> Cost {
        let rows = self.batch.len();
        let without = self.pace.estimate(rows - guesses);
        Cost {
            step: without,
            added: self.pace.estimate(rows).saturating_sub(without),
            waiting: self.running.len(),
        }
    }

    /// Tells the other threads what is computed from now on.
    fn announce(&self, shares: &[Share]) -> Instant {
        let started = Instant::now();
        let mut step = lock(&self.shared.step);
        step.started = Some(started);
        step.requests.clear();
        step.requests.extend(shares.iter().map(|share| share.id));
        let alone = shares.len() == 1;
        step.abortable = (alone || self.survives_abort())
            && self.pace.estimate(self.batch.len()) > WORTH_ABORTING;
        step.abort = Some(self.context.abort_handle());
        started
    }

    fn conclude(
        &mut self,
        decoded: Result<Decoded>,
        shares: &[Share],
        took: Duration,
    ) -> Result<()> {
        let stalled = {
            let mut step = lock(&self.shared.step);
            step.started = None;
            step.requests.clear();
            step.stalled
        };
        let affected: Vec<u64> = shares.iter().map(|share| share.id).collect();
        match decoded {
            _ if stalled => {
                let error = Error::new(ErrorKind::Decode, "the step took longer than the limit");
                self.recover(&affected, error)
            }
            Ok(Decoded::Done) => {
                self.pace.observe(self.batch.len(), took);
                self.count(shares);
                self.draw_all(shares)
            }
            Ok(Decoded::Aborted { .. }) => {
                lock(&self.shared.stats).now.aborted_steps += 1;
                self.follow_the_cache()
            }
            Ok(Decoded::NoSlot) => match self.cache.oldest(None).filter(|_| self.shares_cells) {
                Some(oldest) => {
                    self.evict(oldest);
                    Ok(())
                }
                None => {
                    let error = Error::new(ErrorKind::Decode, "the KV cache has no room");
                    self.recover(&affected, error)
                }
            },
            Err(error) => self.recover(&affected, error),
        }
    }

    fn count(&self, shares: &[Share]) {
        let mut prompt = 0;
        for share in shares {
            if let Some(running) = self.find(share.id)
                && !running.prompt_done
            {
                prompt += share.rows as u64;
            }
        }
        let mut stats = lock(&self.shared.stats);
        stats.now.steps += 1;
        stats.now.evaluated_tokens += prompt;
        stats.now.threads = self.context.threads().0;
    }

    fn find(&self, id: u64) -> Option<&Running> {
        self.running.iter().find(|running| running.id() == id)
    }

    /// After a step that was stopped half way: what the cache's own record says counts. Its outputs
    /// are lost, so that a request's last token is computed again, and guesses are forgotten.
    pub(super) fn follow_the_cache(&mut self) -> Result<()> {
        let kv = self.context.kv_cache_mut();
        for running in self
            .running
            .iter_mut()
            .filter(|running| running.wait.is_none())
        {
            let stored = kv.len(running.seq);
            let mut kept = stored.min(running.tokens.len() - 1);
            if kept < stored && kv.truncate(running.seq, kept).is_err() {
                kv.remove_sequence(running.seq)?;
                kept = 0;
            }
            if kept > running.done {
                running.computed(kept - running.done);
            }
            running.done = kept;
        }
        Ok(())
    }

    /// Takes over what was computed, and draws the next tokens.
    fn draw_all(&mut self, shares: &[Share]) -> Result<()> {
        for share in shares {
            let Some(index) = self.running.iter().position(|r| r.id() == share.id) else {
                continue;
            };
            self.running[index].computed(share.rows);
            self.take_snapshot(index);
            if !share.complete || self.running[index].job.control.ended().is_some() {
                self.cut_back(index, share)?;
                continue;
            }
            let drawn = self.draw(index, share);
            self.cut_back(index, share)?;
            match drawn {
                Ok(None) => {}
                Ok(Some(reason)) => self.finish(index, reason),
                Err(error) => self.finish(index, FinishReason::Failed(error)),
            }
        }
        Ok(())
    }

    /// Draws from the last row, and from the rows of guesses as long as these were right.
    fn draw(&mut self, index: usize, share: &Share) -> Result<Option<FinishReason>> {
        let cost = self.cost_of_guesses(share.guesses.len());
        let running = &mut self.running[index];
        if running.job.max_tokens == 0 {
            return Ok(Some(FinishReason::MaxTokens));
        }
        let mut right = 0;
        let mut all = Vec::new();
        let mut reason = None;
        let mut drawn = 0_u64;
        for offset in 0..=share.guesses.len() {
            let logits = self.context.logits(share.start + share.rows - 1 + offset)?;
            let (next, gaps) = running.draw(logits, &self.shared)?;
            all.push(gaps);
            match next {
                Drawn::End(why) => {
                    drawn += u64::from(!matches!(why, FinishReason::EndOfGeneration(_)));
                    reason = Some(why);
                    break;
                }
                Drawn::Token(token) => {
                    drawn += 1;
                    if share.guesses.get(offset) != Some(&token) {
                        break;
                    }
                    right += 1;
                }
            }
        }
        running.done += right;
        running.drafted += share.guesses.len();
        running.accepted += right;
        if let Some(speculation) = &mut running.speculation {
            speculation.learn(share.guesses.len(), right, right + 1, cost);
        }
        let mut stats = lock(&self.shared.stats);
        stats.now.generated_tokens += drawn;
        for Gaps { first_token, gap } in all {
            if let Some(first) = first_token {
                stats.first_token.add(first);
            }
            if let Some(gap) = gap {
                stats.gap.add(gap);
            }
        }
        Ok(reason)
    }

    /// Removes the rows of wrong guesses from the cache.
    fn cut_back(&mut self, index: usize, share: &Share) -> Result<()> {
        let running = &mut self.running[index];
        if share.guesses.is_empty() || self.context.kv_cache().len(share.seq) == running.done {
            return Ok(());
        }
        let kv = self.context.kv_cache_mut();
        if kv.truncate(share.seq, running.done).is_err() {
            kv.remove_sequence(share.seq)?;
            running.done = 0;
        }
        Ok(())
    }

    /// Keeps a copy of the state at the borders where others may start from it.
    fn take_snapshot(&mut self, index: usize) {
        let running = &self.running[index];
        if self.shares_cells || !running.job.reuse || running.shifted {
            return;
        }
        let done = running.done;
        let prompt = running.job.prompt.len();
        if done > prompt {
            return;
        }
        let params = &self.shared.params;
        let at_border = if params.deterministic {
            done.is_multiple_of(self.context.micro_batch_size())
        } else {
            let waited_for = self.running.iter().any(|other| {
                other
                    .wait
                    .is_some_and(|wait| wait.leader == running.id() && wait.len == done)
            });
            waited_for
                || running.branch == Some(done)
                || done.is_multiple_of(params.checkpoint_gap as usize)
                || done + 1 == prompt
        };
        if at_border && done >= super::generator::WORTH_CACHING {
            let (key, seq) = (running.key.clone(), running.seq);
            let tokens = running.tokens[..done].to_vec();
            self.snapshot(&key, seq, done, &tokens);
        }
    }

    /// Moves the windows on of requests that asked for it.
    fn shift_full_windows(&mut self) -> Result<()> {
        for running in &mut self.running {
            let Some((keep, count)) = running.overflows() else {
                continue;
            };
            let kv = self.context.kv_cache_mut();
            let place = |tokens: usize| i32::try_from(tokens).unwrap_or(i32::MAX);
            let (from, to) = (place(keep), place(keep + count));
            let in_cache = running.done >= keep + count
                && kv.can_shift()
                && kv.remove(running.seq, from..to).is_ok()
                && kv.shift(running.seq, to.., from - to).is_ok();
            running.drop_tokens(keep, count);
            if in_cache {
                running.done -= count;
            } else {
                // What is left is computed again.
                kv.remove_sequence(running.seq)?;
                running.done = 0;
            }
        }
        Ok(())
    }
}
