//! `cargo xtask fuzz`: a hundred thousand damaged models, then the GGUF reader and constraints under
//! libFuzzer.

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
    let target = target.join("fuzz");
    reader(root, &target)?;
    constraints(root, &target)
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

/// Schemas and grammars are text of strangers: what they may take is part of what is checked.
fn constraints(root: &Path, target: &Path) -> Result<(), String> {
    let corpus = target.join("corpus-constrain");
    fs::create_dir_all(&corpus).map_err(|e| format!("{}: {e}", corpus.display()))?;
    run(program(root, target, "constrain")
        .arg(format!("-max_total_time={SECONDS}"))
        .arg(format!("-max_len={MAX_LEN}"))
        .args(["-timeout=10", "-malloc_limit_mb=256", "-rss_limit_mb=1024"])
        .arg(format!("-artifact_prefix={}/", target.display()))
        .arg(&corpus)
        // Freed memory kept aside counts as used.
        .env("ASAN_OPTIONS", "quarantine_size_mb=8"))
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
