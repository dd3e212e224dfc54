//! `cargo xtask asan`: upstream under AddressSanitizer, driven by the tests of the core and its hazards.
//!
//! gcc instruments the C and C++ and brings the runtime, which sees Rust's allocations too.

use std::path::Path;

use crate::cargo::{cargo, run};

const SANITIZE: &str = "-fsanitize=address -fno-omit-frame-pointer";

/// Instrumented code is several times slower.
const MUTATIONS: &str = "2000";

/// Builds and runs the tests in a target folder of their own; fails at the first report.
pub fn check(root: &Path, target: &Path) -> Result<(), String> {
    let mut command = cargo();
    command
        .current_dir(root)
        .args(["test", "--package", "llamakit", "--no-fail-fast"])
        .args(["--test", "core", "--test", "hazards", "--test", "mutations"])
        // With a target named, build scripts and macros are not instrumented.
        .args(["--target", env!("HOST"), "--target-dir"])
        .arg(target.join("asan"))
        .env("CFLAGS", SANITIZE)
        .env("CXXFLAGS", SANITIZE)
        .env(
            "RUSTFLAGS",
            "-Ctarget-cpu=native -Clink-arg=-fsanitize=address",
        )
        .env("LLAMAKIT_MUTATIONS", MUTATIONS);
    run(&mut command)
}
