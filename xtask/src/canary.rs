//! `cargo xtask canary`: sixteen clients of the engine with words of their own, at length.

use std::path::Path;

use crate::cargo::{cargo, run};

const REQUESTS: &str = "10000";

/// Runs the engine's canary tests on every kind of memory.
pub fn check(root: &Path) -> Result<(), String> {
    let mut command = cargo();
    command
        .current_dir(root)
        .args(["test", "--release", "--package", "llamakit"])
        .args(["--test", "engine", "canary"])
        .env("LLAMAKIT_CANARY_REQUESTS", REQUESTS);
    run(&mut command)
}
