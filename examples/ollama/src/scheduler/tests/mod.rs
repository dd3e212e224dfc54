//! The scheduler with runners that do what they are told.

mod trouble;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;

use super::*;
use crate::runner::fake::{FakeLauncher, Nature};
use crate::runner::wire::{Completion, Event, FailureKind, Prompt};

fn config() -> Config {
    Config {
        max_models: 2,
        max_queue: 8,
        parallel: 2,
        budget: 10_000,
        load_timeout: Some(Duration::from_secs(20)),
        health_timeout: Duration::from_secs(5),
        hang_limit: Duration::from_secs(60),
    }
}

fn want(name: &str) -> Want {
    Want {
        spec: Spec {
            model: vec![name.into()],
            context_length: 4096,
            parallel: 2,
            queue: 100,
            ..Spec::default()
        },
        card: Arc::new(Card {
            name: name.to_owned(),
            ..Card::default()
        }),
    }
}

async fn acquire(scheduler: &Scheduler, name: &str, keep: KeepAlive) -> Result<Lease, Refused> {
    scheduler.acquire(name.into(), want(name), keep).await
}

async fn events(lease: &Lease, prompt: &str) -> Vec<Event> {
    let request = Completion {
        prompt: Prompt::Text(prompt.to_owned()),
        ..Completion::default()
    };
    lease
        .client
        .complete(&request)
        .await
        .unwrap()
        .collect()
        .await
}

fn text(events: &[Event]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        Event::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// Waits until something is so. A test that waits for ever fails by its harness.
async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const FOREVER: KeepAlive = KeepAlive::Forever;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_is_loaded_once_and_answers() {
    let launcher = FakeLauncher::default();
    let scheduler = Scheduler::new(Arc::new(launcher.clone()), config());
    let (a, b) = tokio::join!(
        acquire(&scheduler, "m", FOREVER),
        acquire(&scheduler, "m", FOREVER)
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(launcher.launches.load(Ordering::SeqCst), 1);
    let answer = events(&a, "say:hello there").await;
    assert_eq!(text(&answer), "hello there");
    assert!(matches!(answer.last(), Some(Event::Finished(_))));
    assert_eq!(scheduler.granted(), 2);
    drop((a, b));
    assert_eq!(scheduler.granted(), 0);
    let loaded = scheduler.loaded();
    assert_eq!(loaded.len(), 1);
    assert_eq!((loaded[0].state, loaded[0].memory.total()), ("ready", 1000));
    assert!(scheduler.moves());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keep_alive_unloads_and_zero_does_so_at_once() {
    let launcher = FakeLauncher::default();
    let scheduler = Scheduler::new(Arc::new(launcher.clone()), config());
    for keep in [Duration::ZERO, Duration::from_millis(50)] {
        let lease = acquire(&scheduler, "m", KeepAlive::For(keep))
            .await
            .unwrap();
        assert_eq!(scheduler.loaded().len(), 1);
        drop(lease);
        until(|| scheduler.loaded().is_empty()).await;
    }
    assert_eq!(launcher.launches.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_least_recently_used_leaves_for_another() {
    let launcher = FakeLauncher::default();
    let scheduler = Scheduler::new(Arc::new(launcher), config());
    for name in ["a", "b", "a", "c"] {
        acquire(&scheduler, name, FOREVER).await.unwrap();
    }
    let mut names: Vec<String> = scheduler
        .loaded()
        .iter()
        .map(|m| m.card.name.clone())
        .collect();
    names.sort();
    assert_eq!(names, ["a", "c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_kept_within_the_budget() {
    let launcher = FakeLauncher {
        nature: Arc::new(|spec| Nature {
            memory: if spec.model[0].ends_with("huge") {
                20_000
            } else {
                6_000
            },
            ..Nature::default()
        }),
        ..FakeLauncher::default()
    };
    let scheduler = Scheduler::new(Arc::new(launcher), config());
    acquire(&scheduler, "a", FOREVER).await.unwrap();
    acquire(&scheduler, "b", FOREVER).await.unwrap();
    assert_eq!(scheduler.loaded().len(), 1, "both do not fit");
    match acquire(&scheduler, "huge", FOREVER).await {
        Err(Refused::Failed(failure)) => {
            assert_eq!(failure.kind, FailureKind::Memory);
            assert!(
                failure.message.contains("requires more memory"),
                "{failure}"
            );
        }
        other => panic!("{other:?}"),
    }
    // What can't be served costs nobody his model.
    assert!(acquire(&scheduler, "b", FOREVER).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_although_the_model_is_loaded_again_at_once() {
    let launcher = FakeLauncher::default();
    let scheduler = Scheduler::new(Arc::new(launcher.clone()), config());
    drop(acquire(&scheduler, "m", FOREVER).await.unwrap());
    let key = "m".into();
    let (stopped, again) = tokio::join!(scheduler.stop(&key), acquire(&scheduler, "m", FOREVER));
    assert!(stopped && again.is_ok());
    assert_eq!(launcher.launches.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_ends_an_answer_and_frees_the_memory() {
    let scheduler = Scheduler::new(Arc::new(FakeLauncher::default()), config());
    let lease = acquire(&scheduler, "m", FOREVER).await.unwrap();
    let request = Completion {
        prompt: Prompt::Text("hang".to_owned()),
        ..Completion::default()
    };
    let mut answer = Box::pin(lease.client.complete(&request).await.unwrap());
    let key: Key = "m".into();
    assert!(scheduler.stop(&key).await);
    assert!(scheduler.loaded().is_empty());
    match answer.next().await {
        Some(Event::Failed(failure)) => assert_eq!(failure.kind, FailureKind::Stopped),
        other => panic!("{other:?}"),
    }
    assert!(answer.next().await.is_none());
    assert!(!scheduler.stop(&key).await, "it is not loaded any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_context_lengths_load_nothing_again() {
    let launcher = FakeLauncher::default();
    let scheduler = Scheduler::new(Arc::new(launcher.clone()), config());
    for context in [2048, 8192, 4096, 2048, 8192] {
        let mut want = want("m");
        want.spec.context_length = context;
        scheduler.acquire("m".into(), want, FOREVER).await.unwrap();
    }
    assert_eq!(launcher.launches.load(Ordering::SeqCst), 1);
    // Another number of threads is another runner.
    let mut other = want("m");
    other.spec.load.num_thread = Some(3);
    scheduler.acquire("m".into(), other, FOREVER).await.unwrap();
    assert_eq!(launcher.launches.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_answers_need_equal_options_of_loading() {
    let launcher = FakeLauncher::default();
    let scheduler = Scheduler::new(Arc::new(launcher.clone()), config());
    for batch in [Some(64), None, None, Some(64)] {
        let mut want = want("m");
        want.spec.deterministic = true;
        want.spec.load.num_batch = batch;
        scheduler.acquire("m".into(), want, FOREVER).await.unwrap();
    }
    assert_eq!(launcher.launches.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_lets_answers_end_and_takes_no_more() {
    let scheduler = Scheduler::new(Arc::new(FakeLauncher::default()), config());
    let lease = acquire(&scheduler, "m", FOREVER).await.unwrap();
    let closing = {
        let scheduler = scheduler.clone();
        tokio::spawn(async move { scheduler.close(Duration::from_secs(60)).await })
    };
    until(|| !scheduler.moves()).await;
    assert!(matches!(
        acquire(&scheduler, "m", FOREVER).await,
        Err(Refused::Closing)
    ));
    assert_eq!(
        text(&events(&lease, "slow:20 say:still here").await),
        "still here"
    );
    drop(lease);
    closing.await.unwrap();
    assert!(scheduler.loaded().is_empty());
}
