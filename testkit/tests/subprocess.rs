//! The subprocess helper tells apart every way in which a child can end.

use std::io::Write;
use std::time::Duration;

use llamakit_testkit::subprocess::{self, Case};

#[test]
fn a_body_that_returns_succeeds_and_its_output_is_kept_apart() {
    let outcome = subprocess::run("prints", || {
        write(std::io::stdout(), b"to stdout");
        write(std::io::stderr(), b"to stderr");
    })
    .expect_success();
    assert_eq!(outcome.stdout, b"to stdout");
    assert_eq!(outcome.stderr, b"to stderr");
}

#[test]
fn a_silent_body_gives_no_bytes() {
    let outcome = subprocess::run("silent", || {}).expect_success();
    assert!(
        outcome.stdout.is_empty() && outcome.stderr.is_empty(),
        "{outcome}"
    );
}

#[test]
fn a_panic_is_not_success() {
    let outcome = subprocess::run("panics", || panic!("on purpose"));
    assert!(!outcome.succeeded() && !outcome.completed);
    assert_eq!(outcome.status.code(), Some(101));
    assert!(outcome.to_string().contains("on purpose"), "{outcome}");
}

#[test]
fn an_early_exit_is_not_success() {
    let outcome = subprocess::run("exits", || std::process::exit(0));
    assert!(
        outcome.status.success() && !outcome.succeeded(),
        "{outcome}"
    );
}

#[cfg(unix)]
#[test]
fn an_abort_is_a_signal() {
    const SIGABRT: i32 = 6;
    let outcome = subprocess::run("aborts", || std::process::abort());
    assert_eq!(outcome.signal(), Some(SIGABRT), "{outcome}");
    assert!(!outcome.succeeded());
}

#[test]
fn a_body_that_hangs_is_killed() {
    let outcome = Case::new("hangs")
        .time_limit(Duration::from_millis(500))
        .run(|| {
            loop {
                std::thread::sleep(Duration::from_secs(60));
            }
        });
    assert!(outcome.timed_out && !outcome.succeeded(), "{outcome}");
}

#[test]
fn each_case_of_a_test_runs_its_own_body() {
    let cases = ["one", "two", "three"];
    let outcomes = cases.map(|case| {
        subprocess::run(case, || write(std::io::stdout(), case.as_bytes()))
            .expect_success()
            .stdout
    });
    assert_eq!(outcomes, cases.map(|case| case.as_bytes().to_vec()));
}

#[test]
fn more_output_than_a_pipe_holds_does_not_block() {
    let outcome = subprocess::run("floods", || {
        let block = vec![b'x'; 1 << 20];
        write(std::io::stdout(), &block);
        write(std::io::stderr(), &block);
    })
    .expect_success();
    assert_eq!(
        (outcome.stdout.len(), outcome.stderr.len()),
        (1 << 20, 1 << 20)
    );
}

#[test]
fn variables_reach_the_child() {
    let outcome = Case::new("env")
        .env("LLAMAKIT_TEST_VALUE", "seven")
        .run(|| {
            let value = std::env::var("LLAMAKIT_TEST_VALUE").unwrap();
            write(std::io::stdout(), value.as_bytes());
        });
    assert_eq!(outcome.expect_success().stdout, b"seven");
}

fn write(mut out: impl Write, bytes: &[u8]) {
    out.write_all(bytes).unwrap();
    out.flush().unwrap();
}
