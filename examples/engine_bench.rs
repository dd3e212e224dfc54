//! Many clients on one engine: tokens per second, time to first token, gaps, prompt tokens computed.
//!
//! `cargo run --release --example engine_bench -- --model F --clients 4 --tokens 48`. Prompts are
//! words in a seeded order, different for each request; `--prefix-words` puts the same words before
//! all of them. `--print-prompts` prints them as JSON instead, for another server. Memory is what
//! Linux calls RssAnon, after a tenth of the requests and at the end.

use std::error::Error;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use llamakit::engine::{Engine, EngineParams, Event, Request};
use llamakit::{Model, ModelParams, Sampler};

const WORDS: &[&str] = &[
    "river", "stone", "light", "market", "winter", "garden", "letter", "music", "train", "window",
    "paper", "ocean", "mountain", "story", "bread", "silver", "morning", "bridge", "forest",
    "engine", "village", "summer", "harbour", "ticket", "shadow", "candle", "orange", "teacher",
    "island", "clock", "valley", "ferry", "copper", "school", "pepper", "rocket", "saddle",
    "thunder", "umbrella", "violin", "whistle", "yellow", "zebra", "anchor", "basket", "carpet",
    "desert", "eagle", "feather", "glacier", "hammer", "insect", "jacket", "kettle", "ladder",
    "meadow", "needle", "oyster", "pencil", "quarry", "ribbon", "spider", "tunnel", "walnut",
];

struct Args {
    model: PathBuf,
    clients: usize,
    requests: usize,
    prompt_words: usize,
    prefix_words: usize,
    tokens: usize,
    parallel: u32,
    ctx: u32,
    threads: Option<u32>,
    latency_ms: u64,
    budget_mib: Option<u64>,
    seed: u64,
    speculate: bool,
    no_reuse: bool,
    print_prompts: bool,
}

/// What one client saw of one request.
struct Seen {
    first: Duration,
    gaps: Vec<Duration>,
    tokens: usize,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let args = parse()?;
    let prompts = prompts(&args);
    if args.print_prompts {
        return Ok(writeln!(stdout(), "{prompts:?}")?);
    }
    let model = Model::load(&args.model, &ModelParams::new())?;
    let mut params = EngineParams::new()
        .context_length(args.ctx / args.parallel)
        .pool(args.ctx)
        .parallel(args.parallel)
        .reuse(!args.no_reuse)
        .latency_target(Duration::from_millis(args.latency_ms));
    if let Some(threads) = args.threads {
        params = params.threads(threads);
    }
    if let Some(mib) = args.budget_mib {
        params = params.memory_budget(mib << 20);
    }
    let engine = Engine::new(&model, &params)?;
    let warm = AtomicU64::new(0);
    let next = AtomicUsize::new(0);
    let seen = Mutex::new(Vec::new());
    let start = Instant::now();
    std::thread::scope(|scope| -> Result<(), Box<dyn Error + Send + Sync>> {
        let client = || -> Result<(), Box<dyn Error + Send + Sync>> {
            while let Some(prompt) = prompts.get(next.fetch_add(1, Ordering::Relaxed)) {
                let one = ask(&engine, prompt, &args)?;
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.push(one);
                if seen.len() == prompts.len().div_ceil(10) {
                    warm.store(rss_anon_kib().unwrap_or(0), Ordering::Relaxed);
                }
            }
            Ok(())
        };
        let clients: Vec<_> = (0..args.clients).map(|_| scope.spawn(client)).collect();
        for client in clients {
            client.join().map_err(|_| "a client panicked")??;
        }
        Ok(())
    })
    .map_err(|error| error.to_string())?;
    let took = start.elapsed();
    let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(report(&engine, &seen, took, warm.into_inner())?)
}

/// Memory of this process that no file stands behind.
fn rss_anon_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn ask(engine: &Engine, prompt: &str, args: &Args) -> Result<Seen, Box<dyn Error + Send + Sync>> {
    let request = Request::new(prompt)
        .sampler(Sampler::greedy())
        .ignore_eos(true)
        .speculate(args.speculate)
        .max_tokens(args.tokens);
    let start = Instant::now();
    let mut times = Vec::new();
    for event in engine.submit(request)? {
        match event {
            Event::Token(_) => times.push(start.elapsed()),
            Event::Finished(end) if times.len() != args.tokens => {
                return Err(format!(
                    "{} of {} tokens: {:?}",
                    times.len(),
                    args.tokens,
                    end.reason
                )
                .into());
            }
            _ => {}
        }
    }
    Ok(Seen {
        first: times.first().copied().unwrap_or_default(),
        gaps: times.windows(2).map(|pair| pair[1] - pair[0]).collect(),
        tokens: times.len(),
    })
}

fn report(engine: &Engine, seen: &[Seen], took: Duration, warm: u64) -> std::io::Result<()> {
    let tokens: usize = seen.iter().map(|one| one.tokens).sum();
    let mut first: Vec<Duration> = seen.iter().map(|one| one.first).collect();
    let mut gaps: Vec<Duration> = seen
        .iter()
        .flat_map(|one| one.gaps.iter().copied())
        .collect();
    let metrics = engine.metrics();
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    writeln!(
        stdout(),
        "{{\"requests\": {}, \"tokens\": {tokens}, \"seconds\": {:.3}, \"tokens_per_second\": {:.2}, \
         \"first_token_ms\": {{\"p50\": {:.1}, \"p95\": {:.1}}}, \
         \"gap_ms\": {{\"p50\": {:.1}, \"p95\": {:.1}, \"p99\": {:.1}}}, \
         \"prompt_tokens_evaluated\": {}, \"prompt_tokens_cached\": {}, \
         \"drafted\": {}, \"accepted\": {}, \
         \"rss_anon_mib\": {{\"warm\": {:.1}, \"end\": {:.1}}}}}",
        seen.len(),
        took.as_secs_f64(),
        tokens as f64 / took.as_secs_f64(),
        ms(percentile(&mut first, 50)),
        ms(percentile(&mut first, 95)),
        ms(percentile(&mut gaps, 50)),
        ms(percentile(&mut gaps, 95)),
        ms(percentile(&mut gaps, 99)),
        metrics.evaluated_tokens,
        metrics.cached_tokens,
        metrics.drafted_tokens,
        metrics.accepted_tokens,
        warm as f64 / 1024.0,
        rss_anon_kib().unwrap_or(0) as f64 / 1024.0,
    )
}

fn percentile(durations: &mut [Duration], hundredths: usize) -> Duration {
    durations.sort_unstable();
    let rank = (durations.len() * hundredths).div_ceil(100);
    durations
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

fn prompts(args: &Args) -> Vec<String> {
    let mut state = args.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut words = |count: usize| -> String {
        let words: Vec<&str> = (0..count)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                WORDS[(state >> 20) as usize % WORDS.len()]
            })
            .collect();
        words.join(" ")
    };
    let prefix = words(args.prefix_words);
    (0..args.requests)
        .map(|_| {
            format!("{prefix} {}", words(args.prompt_words))
                .trim()
                .to_owned()
        })
        .collect()
}

fn parse() -> Result<Args, Box<dyn Error>> {
    use lexopt::prelude::*;
    let mut args = Args {
        model: PathBuf::new(),
        clients: 4,
        requests: 0,
        prompt_words: 100,
        prefix_words: 0,
        tokens: 48,
        parallel: 4,
        ctx: 4096,
        threads: None,
        latency_ms: 100,
        budget_mib: None,
        seed: 1,
        speculate: false,
        no_reuse: false,
        print_prompts: false,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("model") => args.model = parser.value()?.into(),
            Long("clients") => args.clients = parser.value()?.parse()?,
            Long("requests") => args.requests = parser.value()?.parse()?,
            Long("prompt-words") => args.prompt_words = parser.value()?.parse()?,
            Long("prefix-words") => args.prefix_words = parser.value()?.parse()?,
            Long("tokens") => args.tokens = parser.value()?.parse()?,
            Long("parallel") => args.parallel = parser.value()?.parse()?,
            Long("ctx") => args.ctx = parser.value()?.parse()?,
            Long("threads") => args.threads = Some(parser.value()?.parse()?),
            Long("latency-ms") => args.latency_ms = parser.value()?.parse()?,
            Long("budget-mib") => args.budget_mib = Some(parser.value()?.parse()?),
            Long("seed") => args.seed = parser.value()?.parse()?,
            Long("speculate") => args.speculate = true,
            Long("no-reuse") => args.no_reuse = true,
            Long("print-prompts") => args.print_prompts = true,
            _ => return Err(arg.unexpected().into()),
        }
    }
    if args.requests == 0 {
        args.requests = 3 * args.clients;
    }
    if args.parallel == 0 {
        return Err("--parallel must be at least 1".into());
    }
    Ok(args)
}
