//! A runner without a model, for tests: it speaks the real protocol and does what prompts tell it.
//!
//! A token is a byte. What a prompt's last line says is done: `say:TEXT` answers the text (`\n` in it is a line
//! break), `count:N` answers N words, `slow:MS` before it waits so long before each piece, `hang` answers
//! nothing, `die` ends the runner after the first piece, `bad:MESSAGE` fails. Else the answer is `Hello!`, or
//! `{"a": 1}` where a constraint asks for JSON.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::http::{Backend, Events, Later, serve};
use super::launch::{Control, Launched, Launcher, Order, new_token};
use super::process::Loader;
use super::wire::*;
use crate::api::MemoryByKind;

/// What a fake runner is like.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nature {
    pub memory: u64,
    pub load_time: Duration,
    /// It can't load.
    pub fail: Option<Failure>,
    /// It never becomes ready, and reports nothing.
    pub stands_still: bool,
}

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

/// What a prompt wants.
#[derive(Debug, Default)]
struct Will {
    pieces: Vec<String>,
    slow: Duration,
    hang: bool,
    die: bool,
    bad: Option<String>,
}

/// The last thing that a prompt wants: from its word to the end of the message or line.
fn last_wish(prompt: &str) -> &str {
    let words = ["say:", "count:", "slow:", "hang", "die", "bad:"];
    let starts = words
        .iter()
        .flat_map(|word| prompt.match_indices(word).map(|(at, _)| at));
    let begins = |at: &usize| {
        let before = prompt
            .get(..*at)
            .and_then(|before| before.chars().next_back());
        before.is_none_or(|c| matches!(c, '\n' | '>' | ']'))
    };
    let Some(at) = starts.filter(begins).max() else {
        return "";
    };
    let wish = prompt.get(at..).unwrap_or("");
    let end = wish.find("<|end|>").or_else(|| wish.find('\n'));
    wish.get(..end.unwrap_or(wish.len())).unwrap_or("")
}

fn will(prompt: &str, request: &Completion) -> Will {
    let mut will = Will::default();
    let mut rest = last_wish(prompt);
    if let Some(slow) = rest.strip_prefix("slow:") {
        let (time, after) = slow.split_once(' ').unwrap_or((slow, ""));
        will.slow = Duration::from_millis(time.parse().unwrap_or(10));
        rest = after;
    }
    if let Some(said) = rest.strip_prefix("say:") {
        let said: Vec<char> = said.replace("\\n", "\n").chars().collect();
        will.pieces = said.chunks(4).map(|piece| piece.iter().collect()).collect();
    } else if let Some(count) = rest.strip_prefix("count:") {
        will.pieces = (0..count.parse().unwrap_or(3))
            .map(|i: u32| format!("w{i} "))
            .collect();
    } else if rest.starts_with("hang") {
        will.hang = true;
    } else if rest.starts_with("die") {
        will.die = true;
        will.pieces = vec!["last ".to_owned()];
    } else if let Some(bad) = rest.strip_prefix("bad:") {
        will.bad = Some(bad.to_owned());
    } else if request.constraint.is_some() {
        will.pieces = vec!["{\"a\":".to_owned(), " 1}".to_owned()];
    } else {
        will.pieces = vec!["Hel".to_owned(), "lo!".to_owned()];
    }
    will
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

fn info(spec: &Spec, memory: u64) -> Info {
    Info {
        memory: MemoryByKind {
            weights: memory,
            ..MemoryByKind::default()
        },
        context_length: spec.context_length,
        trained_context: 8192,
        threads: 1,
        cpu_reason: "it is a fake".to_owned(),
        ..Info::default()
    }
}

/// Loads a fake in a process of its own.
#[derive(Debug, Default)]
pub(crate) struct FakeLoader;

impl Loader for FakeLoader {
    fn measure(&mut self, _: &Spec) -> Result<MemoryByKind, Failure> {
        Ok(MemoryByKind {
            weights: 1000,
            ..MemoryByKind::default()
        })
    }

    fn load(
        &mut self,
        spec: &Spec,
        _: &Go,
        progress: &mut dyn FnMut(f32),
    ) -> Result<(Arc<dyn Backend>, Info), Failure> {
        progress(0.5);
        let (die, mut dying) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            if dying.blocking_recv().is_some() {
                std::process::abort();
            }
        });
        let backend = FakeBackend {
            parallel: spec.parallel as usize,
            queue: spec.queue,
            memory: 1000,
            die: Some(die),
            ..FakeBackend::default()
        };
        Ok((Arc::new(backend), info(spec, 1000)))
    }
}

/// Runs fakes in this process, each in a runtime of its own, so that it can die.
#[derive(Clone)]
pub(crate) struct FakeLauncher {
    pub nature: Arc<dyn Fn(&Spec) -> Nature + Send + Sync>,
    pub launches: Arc<AtomicUsize>,
    pub seen: Arc<Mutex<Vec<Completion>>>,
    pub specs: Arc<Mutex<Vec<Spec>>>,
}

impl Default for FakeLauncher {
    fn default() -> Self {
        Self {
            nature: Arc::new(|_| Nature {
                memory: 1000,
                ..Nature::default()
            }),
            launches: Arc::default(),
            seen: Arc::default(),
            specs: Arc::default(),
        }
    }
}

impl Launcher for FakeLauncher {
    fn launch(&self, spec: Spec) -> BoxFuture<'static, Result<Launched, Failure>> {
        self.launches.fetch_add(1, Ordering::SeqCst);
        self.specs.lock().unwrap().push(spec.clone());
        let nature = (self.nature)(&spec);
        let seen = Arc::clone(&self.seen);
        Box::pin(async move {
            let token = new_token()?;
            let (control, orders) = Control::new();
            let (reports_in, reports) = mpsc::unbounded_channel();
            let of_thread = token.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(1)
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(live(spec, nature, seen, of_thread, orders, &reports_in));
                runtime.shutdown_background();
                drop(reports_in);
            });
            Ok(Launched {
                reports,
                control,
                token: token.into(),
                pid: None,
            })
        })
    }
}

async fn live(
    spec: Spec,
    nature: Nature,
    seen: Arc<Mutex<Vec<Completion>>>,
    token: String,
    mut orders: mpsc::UnboundedReceiver<Order>,
    reports: &mpsc::UnboundedSender<Report>,
) {
    let send = |report| drop(reports.send(report));
    if nature.stands_still {
        while !matches!(orders.recv().await, Some(Order::End) | None) {}
        return;
    }
    let memory = MemoryByKind {
        weights: nature.memory,
        ..MemoryByKind::default()
    };
    send(Report::Measured(memory));
    if !matches!(orders.recv().await, Some(Order::Go(_))) {
        return;
    }
    tokio::select! {
        () = tokio::time::sleep(nature.load_time) => {}
        _ = orders.recv() => return,
    }
    if let Some(failure) = nature.fail {
        send(Report::Failed(failure));
        return;
    }
    let (die, mut dying) = mpsc::unbounded_channel();
    let backend = FakeBackend {
        parallel: spec.parallel as usize,
        queue: spec.queue,
        memory: nature.memory,
        die: Some(die),
        seen,
        ..FakeBackend::default()
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let mut info = info(&spec, nature.memory);
    info.port = listener.local_addr().expect("its address").port();
    send(Report::Ready(Box::new(info)));
    tokio::select! {
        () = serve(listener, Arc::new(backend), &token) => {}
        _ = orders.recv() => {}
        _ = dying.recv() => {}
    }
}
