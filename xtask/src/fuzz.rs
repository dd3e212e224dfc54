//! `cargo xtask fuzz`: a hundred thousand damaged models, then all targets of `fuzz/` under libFuzzer, or
//! these alone for as long as is asked.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;
use std::{fs, io};

use crate::cargo::{cargo, run};

const MUTATIONS: &str = "100000";

/// For each target.
const SECONDS: &str = "600";

/// What is read is small; larger inputs would only slow the search down.
const MAX_LEN: u32 = 4096;

/// No input may take more: seconds, MiB at once, MiB of all with what the sanitizer keeps back.
const LIMITS: [&str; 3] = ["-timeout=10", "-malloc_limit_mb=256", "-rss_limit_mb=1024"];

/// Freed memory that the sanitizer keeps aside counts as used.
const ASAN: &str = "quarantine_size_mb=8";

/// Lines of a log's end that are told: the statistics, or the failure.
const STATISTICS: usize = 5;
const FAILURE: usize = 60;

/// The targets, besides the GGUF reader, which begins with seeds of its own.
const TARGETS: [&str; 6] = ["jinja", "go", "parse", "constrain", "name", "modelfile"];

/// What `cargo fuzz` passes, for a stable compiler.
const RUSTFLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Cdebug-assertions=on \
    --cfg=fuzzing";

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

/// Each target for `seconds`, as many at once as there are processors.
pub fn targets(root: &Path, target: &Path, seconds: &str) -> Result<(), String> {
    let target = target.join("fuzz");
    build(root, &target)?;
    let programs = target.join(env!("HOST")).join("release");
    run(Command::new(programs.join("seeds")).arg(corpus(&target, "gguf")?))?;
    let names = Mutex::new(["gguf"].into_iter().chain(TARGETS));
    let next = || names.lock().unwrap_or_else(PoisonError::into_inner).next();
    let failed = Mutex::new(Vec::new());
    let at_once = available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(name) = next() {
                    if let Err(error) = fuzz(&programs, &target, name, seconds) {
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        failed.push(error);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    match failed.is_empty() {
        true => Ok(()),
        false => Err(failed.join("\n")),
    }
}

/// Runs one target; what it prints goes to a file, whose end is told.
fn fuzz(programs: &Path, target: &Path, name: &str, seconds: &str) -> Result<(), String> {
    let log = target.join(format!("{name}.log"));
    let unwritable = |e: io::Error| format!("{}: {e}", log.display());
    let out = fs::File::create(&log).map_err(unwritable)?;
    let result = run(Command::new(programs.join(name))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={MAX_LEN}"))
        .args(LIMITS)
        .arg("-print_final_stats=1")
        .arg(format!("-artifact_prefix={}/{name}-", target.display()))
        .arg(corpus(target, name)?)
        .env("ASAN_OPTIONS", ASAN)
        .stderr(out.try_clone().map_err(unwritable)?)
        .stdout(out));
    let text = fs::read_to_string(&log).map_err(unwritable)?;
    let lines: Vec<&str> = text.lines().collect();
    let (end, what) = match result {
        Ok(()) => (STATISTICS, "done"),
        Err(_) => (FAILURE, "FAILED"),
    };
    println!("== {name}: {what}");
    for line in &lines[lines.len().saturating_sub(end)..] {
        println!("{line}");
    }
    result
}

fn corpus(target: &Path, name: &str) -> Result<PathBuf, String> {
    let corpus = target.join("corpus").join(name);
    fs::create_dir_all(&corpus).map_err(|e| format!("{}: {e}", corpus.display()))?;
    Ok(corpus)
}

fn build(root: &Path, target: &Path) -> Result<(), String> {
    run(cargo()
        .current_dir(root)
        .args(["build", "--release", "--bins"])
        .args(["--manifest-path", "fuzz/Cargo.toml"])
        .args(["--target", env!("HOST"), "--target-dir"])
        .arg(target)
        .env("RUSTFLAGS", RUSTFLAGS)
        // Sanitizers are unstable options.
        .env("RUSTC_BOOTSTRAP", "1"))
}
