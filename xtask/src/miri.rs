//! `cargo xtask miri`: the parts written in Rust alone under Miri, which finds undefined behaviour.

use std::path::Path;
use std::process::Command;

use crate::cargo::run;

/// Modules whose tests call no C and open no file.
const MODULES: [&str; 5] = [
    "gguf::",
    "sampler::",
    "tensor::",
    "text::",
    "kv_cache::ledger::",
];

const INSTALL: &str = "Miri is not installed; it comes with the nightly toolchain:

  rustup toolchain install nightly --component miri --component rust-src
";

/// Fails when Miri is not there, so that nobody takes silence for a result.
pub fn check(root: &Path, target: &Path) -> Result<(), String> {
    let asked = miri().arg("--version").output();
    if !asked.is_ok_and(|output| output.status.success()) {
        return Err(INSTALL.to_owned());
    }
    let mut command = miri();
    command
        .current_dir(root)
        .args(["test", "--package", "llamakit", "--lib", "--target-dir"])
        .arg(target.join("miri"))
        .arg("--")
        .args(MODULES)
        // As for documentation, no C++ is compiled: nothing here calls it.
        .env("DOCS_RS", "1")
        .env_remove("RUSTFLAGS");
    run(&mut command)
}

/// `cargo miri` of the nightly toolchain, whatever toolchain runs this.
fn miri() -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo", "miri"]);
    command
}
