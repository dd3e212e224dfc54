//! `cargo xtask fuzz`: a hundred thousand damaged models, then the GGUF reader under libFuzzer.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::cargo::{cargo, run};

const MUTATIONS: &str = "100000";

const SECONDS: u32 = 300;

/// Headers are small; larger files would only slow the search down.
const MAX_LEN: u32 = 4096;

/// What `cargo fuzz` passes, for a stable compiler.
const RUSTFLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Cdebug-assertions=on \
    -Ccodegen-units=1 --cfg=fuzzing";

/// What the fuzzer found and where it goes on the next time stay below `target/fuzz`.
pub fn check(root: &Path, target: &Path) -> Result<(), String> {
    let mut mutations = cargo();
    mutations
        .current_dir(root)
        .args([
            "test",
            "--release",
            "--package",
            "llamakit",
            "--test",
            "mutations",
        ])
        .env("LLAMAKIT_MUTATIONS", MUTATIONS);
    run(&mut mutations)?;
    reader(root, &target.join("fuzz"))
}

fn reader(root: &Path, target: &Path) -> Result<(), String> {
    let corpus = target.join("corpus");
    fs::create_dir_all(&corpus).map_err(|e| format!("{}: {e}", corpus.display()))?;
    run(program(root, target, "seeds").arg(&corpus))?;
    run(program(root, target, "gguf")
        .arg(format!("-max_total_time={SECONDS}"))
        .arg(format!("-max_len={MAX_LEN}"))
        .arg(format!("-artifact_prefix={}/", target.display()))
        .arg(&corpus))
}

/// A program of `fuzz/`, run with what is added as its arguments.
fn program(root: &Path, target: &Path, name: &str) -> Command {
    let mut command = cargo();
    command
        .current_dir(root)
        .args([
            "run",
            "--release",
            "--manifest-path",
            "fuzz/Cargo.toml",
            "--bin",
            name,
        ])
        .args(["--target", env!("HOST"), "--target-dir"])
        .arg(target)
        .arg("--")
        .env("RUSTFLAGS", RUSTFLAGS)
        // Sanitizers are unstable options.
        .env("RUSTC_BOOTSTRAP", "1");
    command
}
