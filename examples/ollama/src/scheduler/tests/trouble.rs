//! Crashes, hangs, loads that fail, too many who wait, and those who give up.

use tokio::task::JoinHandle;

use super::*;
use crate::scheduler::plan::Stage;

/// Small models that take longer to load than anybody waits.
fn loads_for_long() -> FakeLauncher {
    FakeLauncher {
        nature: Arc::new(|_| Nature {
            memory: 1,
            load_time: Duration::from_secs(3600),
            ..Nature::default()
        }),
        ..FakeLauncher::default()
    }
}

/// Somebody who asks, and is done as soon as the model is there.
fn ask(scheduler: &Scheduler, name: &'static str) -> JoinHandle<Result<(), Refused>> {
    let scheduler = scheduler.clone();
    tokio::spawn(async move { acquire(&scheduler, name, FOREVER).await.map(drop) })
}

#[track_caller]
fn stood_still(result: Result<(), Refused>) {
    match result {
        Err(Refused::Failed(failure)) => {
            assert!(failure.message.contains("stood still"), "{failure}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_ends_its_answers_and_the_next_request_gets_a_new_runner() {
    let launcher = FakeLauncher::default();
    let scheduler = Scheduler::new(Arc::new(launcher.clone()), config());
    let other = acquire(&scheduler, "other", FOREVER).await.unwrap();
    let lease = acquire(&scheduler, "m", FOREVER).await.unwrap();
    let answer = events(&lease, "die").await;
    assert_eq!(text(&answer), "last ");
    assert!(
        matches!(answer.last(), Some(Event::Failed(_))),
        "{answer:?}"
    );
    drop(lease);
    until(|| scheduler.counters().crashes.load(Ordering::SeqCst) == 1).await;
    let again = acquire(&scheduler, "m", FOREVER).await.unwrap();
    assert_eq!(text(&events(&again, "say:back").await), "back");
    assert_eq!(text(&events(&other, "say:here").await), "here");
    assert_eq!(launcher.launches.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_requests_are_refused_also_while_the_model_is_loaded() {
    let config = Config {
        parallel: 1,
        max_queue: 1,
        ..config()
    };
    let scheduler = Scheduler::new(Arc::new(FakeLauncher::default()), config);
    let mut leases = Vec::new();
    let mut refused = 0;
    for _ in 0..6 {
        match acquire(&scheduler, "m", FOREVER).await {
            Ok(lease) => leases.push(lease),
            Err(Refused::Full { retry_after }) => {
                assert!(retry_after >= Duration::from_secs(1));
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((leases.len(), refused), (2, 4));
    leases.pop();
    assert!(acquire(&scheduler, "m", FOREVER).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_up_while_loading_ends_the_load() {
    let scheduler = Scheduler::new(Arc::new(loads_for_long()), config());
    let waiting = ask(&scheduler, "m");
    until(|| scheduler.loaded().len() == 1).await;
    waiting.abort();
    until(|| scheduler.loaded().is_empty()).await;
    assert_eq!((scheduler.waiting(), scheduler.granted()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_load_tells_all_who_wait() {
    let launcher = FakeLauncher {
        nature: Arc::new(|_| Nature {
            fail: Some(Failure::new(FailureKind::Load, "the file is no model")),
            ..Nature::default()
        }),
        ..FakeLauncher::default()
    };
    let scheduler = Scheduler::new(Arc::new(launcher), config());
    let (a, b) = tokio::join!(
        acquire(&scheduler, "m", FOREVER),
        acquire(&scheduler, "m", FOREVER)
    );
    for result in [a, b] {
        match result {
            Err(Refused::Failed(failure)) => assert_eq!(failure.message, "the file is no model"),
            other => panic!("{other:?}"),
        }
    }
    until(|| scheduler.loaded().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_stands_still_is_given_up() {
    let config = Config {
        load_timeout: Some(Duration::from_millis(100)),
        ..config()
    };
    let scheduler = Scheduler::new(Arc::new(loads_for_long()), config);
    stood_still(acquire(&scheduler, "m", FOREVER).await.map(drop));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_hangs_is_replaced() {
    let launcher = FakeLauncher::default();
    let config = Config {
        health_timeout: Duration::from_millis(100),
        hang_limit: Duration::from_millis(200),
        ..config()
    };
    let scheduler = Scheduler::new(Arc::new(launcher.clone()), config);
    let lease = acquire(&scheduler, "m", FOREVER).await.unwrap();
    let answer = events(&lease, "hang").await;
    assert!(matches!(answer[..], [Event::Failed(_)]), "{answer:?}");
    assert_eq!(scheduler.counters().hangs.load(Ordering::SeqCst), 1);
    drop(lease);
    let again = acquire(&scheduler, "m", FOREVER).await.unwrap();
    assert_eq!(text(&events(&again, "say:new").await), "new");
    assert_eq!(launcher.launches.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_had_to_wait_for_memory_is_given_up_like_others() {
    let launcher = FakeLauncher {
        nature: Arc::new(|spec| Nature {
            memory: 6_000,
            load_time: match spec.model[0].ends_with("slow") {
                true => Duration::from_secs(3600),
                false => Duration::ZERO,
            },
            ..Nature::default()
        }),
        ..FakeLauncher::default()
    };
    let config = Config {
        load_timeout: Some(Duration::from_millis(100)),
        ..config()
    };
    let scheduler = Scheduler::new(Arc::new(launcher), config);
    let first = acquire(&scheduler, "first", FOREVER).await.unwrap();
    let slow = ask(&scheduler, "slow");
    let waits_for_memory = || {
        let state = scheduler.shared.lock();
        let slow = state.plan.model(&"slow".into());
        slow.is_some_and(|model| model.stage == Stage::Measured)
    };
    until(waits_for_memory).await;
    drop(first);
    stood_still(slow.await.unwrap());
    until(|| scheduler.loaded().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_ready_also_while_a_large_model_loads() {
    let config = Config {
        hang_limit: Duration::from_millis(10),
        ..config()
    };
    let scheduler = Scheduler::new(Arc::new(loads_for_long()), config);
    let loading = ask(&scheduler, "m");
    until(|| scheduler.loaded().len() == 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(scheduler.moves());
    loading.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_before_it_reads_its_refusal_takes_no_place_of_another() {
    let launcher = FakeLauncher {
        nature: Arc::new(|spec| Nature {
            memory: 1,
            fail: spec.model[0]
                .ends_with("broken")
                .then(|| Failure::new(FailureKind::Load, "the file is no model")),
            ..Nature::default()
        }),
        ..FakeLauncher::default()
    };
    let scheduler = Scheduler::new(Arc::new(launcher), config());
    let lease = acquire(&scheduler, "m", FOREVER).await.unwrap();
    let mut leaves = Box::pin(acquire(&scheduler, "broken", FOREVER));
    assert!(
        futures_util::future::poll_immediate(&mut leaves)
            .await
            .is_none()
    );
    until(|| scheduler.counters().load_failures.load(Ordering::SeqCst) == 1).await;
    drop(leaves);
    assert_eq!(scheduler.granted(), 1, "the other request still runs");
    drop(lease);
    assert_eq!(scheduler.granted(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_before_it_reads_its_grant_gives_it_back() {
    let scheduler = Scheduler::new(Arc::new(FakeLauncher::default()), config());
    let mut leaves = Box::pin(acquire(&scheduler, "m", KeepAlive::For(Duration::ZERO)));
    assert!(
        futures_util::future::poll_immediate(&mut leaves)
            .await
            .is_none()
    );
    until(|| scheduler.granted() == 1).await;
    drop(leaves);
    assert_eq!(scheduler.granted(), 0);
    until(|| scheduler.loaded().is_empty()).await;
}
