//! Many clients at once, with aborts, crashes and stops: every request ends, and nothing crosses.

use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

use super::*;

/// How long, in seconds; more by the environment.
fn length() -> Duration {
    let seconds = std::env::var("OLLAMA_SOAK_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(5))
}

#[derive(Default)]
struct Seen {
    whole: AtomicU64,
    refused: AtomicU64,
    broken: AtomicU64,
    aborted: AtomicU64,
    tokens: AtomicU64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_at_once() {
    let bench = Arc::new(Bench::with(&[
        ("OLLAMA_MAX_QUEUE", "12"),
        ("OLLAMA_NUM_PARALLEL", "4"),
    ]));
    let seen = Arc::new(Seen::default());
    let until = Instant::now() + length();
    let number = Arc::new(AtomicUsize::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..20_u64 {
        let (bench, seen, number) = (Arc::clone(&bench), Arc::clone(&seen), Arc::clone(&number));
        clients.spawn(async move {
            let mut state = client + 1;
            let mut roll = move |sides: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % sides
            };
            while Instant::now() < until {
                let mark = format!("canary-{}", number.fetch_add(1, Ordering::SeqCst));
                let model = ["m", "plain"][roll(2) as usize];
                let prompt = match roll(20) {
                    0 => "die".to_owned(),
                    1..4 => format!("slow:2 say:{mark}"),
                    _ => format!("say:{mark}"),
                };
                let stream = roll(2) == 0;
                let body = json!({"model": model, "messages": [{"role": "user", "content": prompt}], "stream": stream, "think": false});
                let sending = bench.post("/api/chat", body);
                let reply = if roll(8) == 0 {
                    let patience = Duration::from_millis(roll(10));
                    match tokio::time::timeout(patience, sending).await {
                        Ok(reply) => reply,
                        Err(_) => {
                            seen.aborted.fetch_add(1, Ordering::SeqCst);
                            continue;
                        }
                    }
                } else {
                    tokio::time::timeout(Duration::from_secs(60), sending).await.expect("no request hangs")
                };
                let canaries = reply.body.matches("canary-").count();
                assert!(canaries <= 1 || stream || reply.body.matches(&mark).count() == canaries, "another's text: {reply:?}");
                if reply.status == 503 {
                    assert!(reply.headers.contains_key("retry-after"));
                    seen.refused.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                if !reply.status.is_success() {
                    assert!(!reply.error().is_empty());
                    seen.broken.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                let lines = if stream { reply.lines() } else { vec![reply.json()] };
                let last = lines.last().expect("an end");
                if last.get("error").is_some() {
                    seen.broken.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                assert_eq!(last["done"], true, "{lines:?}");
                let text: String = lines.iter().filter_map(|line| line["message"]["content"].as_str()).collect();
                assert_eq!(text, mark, "another's text");
                seen.whole.fetch_add(1, Ordering::SeqCst);
                seen.tokens.fetch_add(last["eval_count"].as_u64().unwrap_or(0), Ordering::SeqCst);
            }
        });
    }
    let meddler = {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move {
            let mut round = 0;
            while Instant::now() < until {
                round += 1;
                tokio::time::sleep(Duration::from_millis(40)).await;
                match round % 4 {
                    0 => drop(
                        bench
                            .post("/api/generate", json!({"model": "m", "keep_alive": 0}))
                            .await
                            .ok(),
                    ),
                    1 => drop(bench.get("/api/ps").await.ok()),
                    2 => drop(bench.get("/api/tags").await.ok()),
                    _ => drop(bench.get("/metrics").await.ok()),
                }
            }
        })
    };
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    meddler.await.unwrap();
    let get = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
    assert!(
        get(&seen.whole) > 20,
        "{} whole, {} broken",
        get(&seen.whole),
        get(&seen.broken)
    );
    let scheduler = &bench.app.scheduler;
    assert_eq!(
        (scheduler.waiting(), scheduler.granted()),
        (0, 0),
        "nobody is left"
    );
    let metrics = bench.get("/metrics").await.ok().body;
    let number = |name: &str| -> u64 {
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.trim().parse().unwrap()
    };
    // Those who gave up may have missed the end of their answer.
    let (whole, aborted) = (get(&seen.whole), get(&seen.aborted));
    let answers = number("ollama_answers_total ");
    assert!(
        (whole..=whole + aborted).contains(&answers),
        "{answers} answers, {whole} seen, {aborted} given up"
    );
    assert!(number("ollama_generated_tokens_total ") >= get(&seen.tokens));
    bench
        .post(
            "/api/generate",
            json!({"model": "plain", "prompt": "say:x"}),
        )
        .await
        .ok();
}
