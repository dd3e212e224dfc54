//! Crashes, hangs, loads that fail, too many who wait, and those who give up.

use super::*;

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
    let launcher = FakeLauncher {
        nature: Arc::new(|_| Nature {
            memory: 1,
            load_time: Duration::from_secs(3600),
            ..Nature::default()
        }),
        ..FakeLauncher::default()
    };
    let scheduler = Scheduler::new(Arc::new(launcher), config());
    let waiting = {
        let scheduler = scheduler.clone();
        tokio::spawn(async move { acquire(&scheduler, "m", FOREVER).await.map(drop) })
    };
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
    let launcher = FakeLauncher {
        nature: Arc::new(|_| Nature {
            memory: 1,
            load_time: Duration::from_secs(3600),
            ..Nature::default()
        }),
        ..FakeLauncher::default()
    };
    let config = Config {
        load_timeout: Some(Duration::from_millis(100)),
        ..config()
    };
    let scheduler = Scheduler::new(Arc::new(launcher), config);
    match acquire(&scheduler, "m", FOREVER).await {
        Err(Refused::Failed(failure)) => {
            assert!(failure.message.contains("stood still"), "{failure}")
        }
        other => panic!("{other:?}"),
    }
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
