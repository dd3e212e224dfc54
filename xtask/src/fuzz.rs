//! `cargo xtask fuzz`: a hundred thousand damaged models, then all targets of `fuzz/` under libFuzzer, or
//! these alone for as long as is asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cargo::{cargo, run};

const MUTATIONS: &str = "100000";

/// For each target.
const SECONDS: &str = "600";

/// What is read is small; larger inputs would only slow the search down.
const MAX_LEN: u32 = 4096;

/// No input may take more: seconds, MiB at once, MiB of all with what the sanitizer keeps back.
const LIMITS: [&str; 3] = ["-timeout=10", "-malloc_limit_mb=256", "-rss_limit_mb=1024"];

/// The targets, besides the GGUF reader, which begins with seeds of its own.
const TARGETS: [&str; 4] = ["jinja", "go", "parse", "name"];

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
    targets(root, target, SECONDS)
}

/// Each target for `seconds`.
pub fn targets(root: &Path, target: &Path, seconds: &str) -> Result<(), String> {
    let target = target.join("fuzz");
    let seeds = corpus(&target, "gguf")?;
    run(program(root, &target, "seeds").arg(&seeds))?;
    for name in ["gguf"].into_iter().chain(TARGETS) {
        let corpus = corpus(&target, name)?;
        run(program(root, &target, name)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={MAX_LEN}"))
            .args(LIMITS)
            .arg("-print_final_stats=1")
            .arg(format!("-artifact_prefix={}/", target.display()))
            .arg(&corpus))?;
    }
    Ok(())
}

fn corpus(target: &Path, name: &str) -> Result<PathBuf, String> {
    let corpus = target.join("corpus").join(name);
    fs::create_dir_all(&corpus).map_err(|e| format!("{}: {e}", corpus.display()))?;
    Ok(corpus)
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
