//! Waiting threads: they sleep where the wait is long, and no wake-up is lost.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::Command;

use llamakit_buildtests::{root, succeed};

/// Compiles `barrier.c` against our header.
fn harness(name: &str, define: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"])
        .args(["-pthread", define, "-I"])
        .arg(root().join("src/sys/ggml"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/barrier.c"))
        .arg("-o")
        .arg(&program);
    succeed(&mut cc);
    program
}

/// The program ends itself by an alarm where threads wait forever.
fn run(program: &Path, mode: &str) {
    succeed(Command::new(program).arg(mode));
}

#[test]
fn a_long_wait_is_slept_through() {
    run(&harness("barrier-sleep", "-DUSUAL"), "sleep");
}

#[test]
fn threads_that_all_sleep_at_every_barrier_pass_it_together() {
    run(&harness("barrier-asleep", "-DLK_BARRIER_SPIN_NS=0"), "pass");
}

#[test]
fn threads_that_spin_and_sometimes_sleep_pass_it_together() {
    run(
        &harness("barrier-mixed", "-DLK_BARRIER_SPIN_NS=2000"),
        "pass",
    );
}
