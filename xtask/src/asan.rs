//! `cargo xtask asan`: all of it under AddressSanitizer, and upstream under the sanitizer of undefined behaviour,
//! driven by the tests of the core, its hazards and damaged models.
//!
//! gcc and rustc instrument their own code; rustc brings the runtime of both.

use std::path::Path;

use crate::cargo::{cargo, run};

/// The runtime that rustc brings lacks the C++ part, which `vptr` needs. Upstream's code for a CPU
/// loads words wherever they lie, as that CPU allows.
const SANITIZE: &str = "-fsanitize=address,undefined -fno-sanitize=vptr,alignment \
    -fno-omit-frame-pointer -O1 -g1";

/// Instrumented code is several times slower.
const MUTATIONS: &str = "2000";

/// Builds and runs the tests in a target folder of their own; a report fails the test that caused it.
pub fn check(root: &Path, target: &Path) -> Result<(), String> {
    let mut command = cargo();
    command
        .current_dir(root)
        .args(["test", "--package", "llamakit", "--no-fail-fast"])
        .args(["--test", "core", "--test", "hazards", "--test", "mutations"])
        // With a target named, build scripts and macros are not instrumented.
        .args(["--target", env!("HOST"), "--target-dir"])
        .arg(target.join("asan"))
        // Instrumented frames need several times the stack that tokenizing reckons with.
        .args(["--", "--skip", "small_stack"])
        .env("CFLAGS", SANITIZE)
        .env("CXXFLAGS", SANITIZE)
        .env("RUSTFLAGS", "-Ctarget-cpu=native -Zsanitizer=address")
        // Sanitizers are unstable options.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("LLAMAKIT_MUTATIONS", MUTATIONS);
    run(&mut command)
}
