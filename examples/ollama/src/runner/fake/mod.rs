//! A runner without a model, for tests: it speaks the real protocol and does what prompts tell it.
//!
//! A token is a byte. What a prompt's last line says is done: `say:TEXT` answers the text (`\n` in it is a line
//! break), `count:N` answers N words, `slow:MS` before it waits so long before each piece, `hang` answers
//! nothing, `die` ends the runner after the first piece, `bad:MESSAGE` fails. Else the answer is `Hello!`, or
//! `{"a": 1}` where a constraint asks for JSON.

mod launch;
mod will;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::http::{Backend, Events, Later};
use super::wire::*;
use crate::api::MemoryByKind;
use will::will;

pub(crate) use launch::{FakeLauncher, FakeLoader, Nature};

#[derive(Debug, Default)]
pub(crate) struct FakeBackend {
    running: Arc<AtomicUsize>,
    steps: Arc<AtomicU64>,
    parallel: usize,
    queue: usize,
    memory: u64,
    /// Ends the runner.
    die: Option<mpsc::UnboundedSender<()>>,
    /// What was asked, for tests to look at.
    pub seen: Arc<Mutex<Vec<Completion>>>,
}

fn text(prompt: &Prompt) -> String {
    match prompt {
        Prompt::Text(text) => text.clone(),
        Prompt::Segments(pieces) => pieces.iter().map(|piece| piece.t.as_str()).collect(),
    }
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl FakeBackend {
    /// Drops groups as the engine does.
    fn fit(request: &Completion, window: u64) -> Result<(String, Vec<u32>, u64), Failure> {
        let whole = text(&request.prompt);
        let before = (request.before.len() + whole.len()) as u64;
        let mut kept = whole;
        let mut dropped = Vec::new();
        if before >= window
            && request.overflow != Overflow::Refuse
            && let Prompt::Segments(pieces) = &request.prompt
        {
            let mut groups: Vec<u32> = pieces.iter().filter_map(|piece| piece.g).collect();
            groups.dedup();
            groups.pop();
            for group in groups {
                if (kept.len() as u64) < window {
                    break;
                }
                dropped.push(group);
                let stays = pieces
                    .iter()
                    .filter(|piece| piece.g.is_none_or(|g| !dropped.contains(&g)));
                kept = stays.map(|piece| piece.t.as_str()).collect();
            }
        }
        if kept.len() as u64 >= window {
            return Err(Failure::new(
                FailureKind::TooLong {
                    prompt_tokens: before,
                    window,
                },
                format!(
                    "the prompt has {before} tokens; the window holds {window} with the answer"
                ),
            ));
        }
        Ok((kept, dropped, before))
    }
}

impl Backend for FakeBackend {
    fn complete(&self, request: Completion) -> Result<Events, Failure> {
        self.seen.lock().unwrap().push(request.clone());
        let window = u64::from(request.num_ctx.unwrap_or(4096));
        if let Some(Constraint {
            kind: ConstraintKind::JsonSchema(schema),
            ..
        }) = &request.constraint
            && schema.get("uniqueItems").is_some()
        {
            let message = "schema: /uniqueItems is not supported";
            return Err(Failure::new(FailureKind::Unsupported, message));
        }
        let (prompt, dropped_groups, submitted) = Self::fit(&request, window)?;
        if self.running.load(Ordering::SeqCst) >= self.parallel.saturating_add(self.queue) {
            return Err(Failure::new(
                FailureKind::Busy {
                    retry_after_ms: 1500,
                },
                "the queue is full",
            ));
        }
        self.running.fetch_add(1, Ordering::SeqCst);
        let running = Running(Arc::clone(&self.running));
        let will = will(&prompt, &request);
        if let Some(bad) = &will.bad {
            let failure = Failure::new(FailureKind::Internal, bad.clone());
            return Ok(futures_util::stream::iter([Event::Failed(failure)]).boxed());
        }
        let mut events = Vec::new();
        let mut reason = Reason::End;
        let mut generated = 0;
        let mut answer = String::new();
        for piece in will.pieces {
            answer.push_str(&piece);
            if let Some(stop) = request.stop.iter().find(|stop| answer.contains(*stop)) {
                reason = Reason::Stop(stop.clone());
                break;
            }
            generated += 1;
            events.push(match request.logprobs {
                None => Event::Text(piece),
                Some(top) => {
                    let scored = Scored {
                        bytes: piece.clone().into_bytes(),
                        logprob: -0.5,
                    };
                    let top = vec![scored.clone(); top as usize];
                    Event::Token(Box::new(Token {
                        text: piece,
                        this: scored,
                        top,
                    }))
                }
            });
            if request.max_tokens == Some(generated) {
                reason = Reason::Limit;
                break;
            }
        }
        let mut tokens = Vec::new();
        if request.want_tokens {
            tokens = request.before.clone();
            tokens.extend(prompt.bytes().chain(answer.bytes()).map(i32::from));
        }
        let complete = request
            .constraint
            .is_some()
            .then_some(reason == Reason::End);
        let finished = Event::Finished(Box::new(Finished {
            reason,
            complete,
            prompt_tokens: prompt.len() as u64,
            submitted_tokens: submitted,
            generated_tokens: generated,
            cached_tokens: (prompt.len() / 2) as u64,
            dropped_groups,
            seed: request.sampling.seed.unwrap_or(42),
            prompt: 1_000_000,
            generation: 2_000_000,
            tokens,
            ..Finished::default()
        }));
        let steps = Arc::clone(&self.steps);
        let die = will.die.then(|| self.die.clone()).flatten();
        let (slow, hang) = (will.slow, will.hang);
        let events = futures_util::stream::iter(events)
            .then(move |event| {
                let steps = Arc::clone(&steps);
                async move {
                    tokio::time::sleep(slow).await;
                    steps.fetch_add(1, Ordering::SeqCst);
                    event
                }
            })
            .chain(futures_util::stream::once(async move {
                let _running = running;
                if let Some(die) = die {
                    let _ = die.send(());
                    std::future::pending::<()>().await;
                }
                if hang {
                    std::future::pending::<()>().await;
                }
                finished
            }));
        Ok(events.boxed())
    }

    fn embed(&self, request: Embed) -> Later<Embedded> {
        Box::pin(async move {
            let tokens: Vec<u64> = request
                .inputs
                .iter()
                .map(|text| text.len() as u64)
                .collect();
            let long = |&(_, tokens): &(usize, &u64)| *tokens > 4096;
            let truncated: Vec<usize> = tokens
                .iter()
                .enumerate()
                .filter(long)
                .map(|(at, _)| at)
                .collect();
            if let Some(at) = truncated.first().filter(|_| !request.truncate) {
                return Err(Failure::new(
                    FailureKind::TooLong {
                        prompt_tokens: tokens[*at],
                        window: 4096,
                    },
                    format!(
                        "input {at} has {} tokens; the window holds 4096",
                        tokens[*at]
                    ),
                ));
            }
            let vectors = request.inputs.iter().map(|text| {
                let first = text.bytes().next().map_or(0.0, f32::from);
                vec![first, 1.0, 0.0, 0.0]
            });
            Ok(Embedded {
                vectors: vectors.collect(),
                tokens,
                truncated,
            })
        })
    }

    fn rerank(&self, request: Rerank) -> Later<Reranked> {
        Box::pin(async move {
            let scores = request.documents.iter().map(|text| text.len() as f32);
            let tokens = request.documents.iter().map(|text| text.len() as u64);
            Ok(Reranked {
                scores: scores.collect(),
                tokens: tokens.collect(),
            })
        })
    }

    fn tokenize(&self, request: Tokenize) -> Result<Tokenized, Failure> {
        let mut tokens: Vec<i32> = text(&request.prompt).bytes().map(i32::from).collect();
        if request.add_special {
            tokens.insert(0, 1);
        }
        Ok(Tokenized { tokens })
    }

    fn detokenize(&self, request: Detokenize) -> Result<Detokenized, Failure> {
        let bytes = request.tokens.iter().map(|&token| u8::try_from(token));
        let bytes: Result<Vec<u8>, _> = bytes.collect();
        let wrong = |_| Failure::new(FailureKind::Invalid, "tokens: there is no such token");
        let text = String::from_utf8_lossy(&bytes.map_err(wrong)?).into_owned();
        Ok(Detokenized { text })
    }

    fn health(&self) -> Health {
        Health {
            running: self.running.load(Ordering::SeqCst),
            steps: self.steps.load(Ordering::SeqCst),
            memory: MemoryByKind {
                weights: self.memory,
                ..MemoryByKind::default()
            },
            ..Health::default()
        }
    }
}
