//! The maintainer commands of this repository.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to its user"
)]
#![allow(
    unreachable_pub,
    reason = "the parts of the build script are shared by path"
)]
#![allow(dead_code, reason = "not every command uses every part")]

mod api;
mod asan;
#[path = "../../build/bindings.rs"]
mod bindings;
mod bindings_cmd;
mod canary;
mod cargo;
#[path = "../../build/compile.rs"]
mod compile;
mod conformance;
mod cross;
#[path = "../../build/edit.rs"]
mod edit;
mod fuzz;
#[path = "../../build/isa.rs"]
mod isa;
#[path = "../../build/metal.rs"]
mod metal;
mod miri;
mod package;
#[path = "../../build/plan.rs"]
mod plan;
mod soak;
#[path = "../../build/source.rs"]
mod source;
#[path = "../../build/target.rs"]
mod target;
mod vendor;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "cargo xtask COMMAND

  bindings      make src/sys/bindings.rs from the shim's and upstream's headers (needs libclang)
  vendor [DIR]  copy what the build needs of upstream into vendor/llama.cpp (or DIR)
  package       make the .crate, with the sources in it, and check its size
  api [--write] compare the public API with xtask/api.txt, or record it
  asan          run the core and hazard tests with upstream under AddressSanitizer (needs gcc)
  miri          run the tests of the parts in Rust alone under Miri (needs nightly)
  fuzz          run 100,000 damaged models, then libFuzzer on everything that reads text or files (an hour)
  fuzz SECONDS  run libFuzzer alone, so long for each target
  canary        run 10,000 requests of clients that must not read each other's words (minutes)
  conformance [CHECK...]
                run examples/ollama beside other programs: registries, clients in Python and JavaScript,
                frameworks, a tutorial, a terminal; and check its packaging
  soak MINUTES [SEED]
                run the server under clients that leave while runners are killed and models come and go
  cross TRIPLE  compile the C and C++ for another target, outside cargo's own target
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["bindings"] => bindings_cmd::make(&root(), &target_dir()),
        ["vendor"] => vendor::run(&root().join("vendor/llama.cpp")),
        ["vendor", dir] => vendor::run(Path::new(dir)),
        ["package"] => package::make(&root(), &target_dir()).map(|(file, size)| {
            println!("{}: {size} bytes", file.display());
        }),
        ["api"] => api::check(&root(), &target_dir(), false),
        ["api", "--write"] => api::check(&root(), &target_dir(), true),
        ["asan"] => asan::check(&root(), &target_dir()),
        ["miri"] => miri::check(&root(), &target_dir()),
        ["fuzz"] => fuzz::check(&root(), &target_dir()),
        ["fuzz", seconds] => fuzz::targets(&root(), &target_dir(), seconds),
        ["canary"] => canary::check(&root()),
        ["conformance", ref wanted @ ..] => conformance::check(&root(), &target_dir(), wanted),
        ["soak", minutes] => soak(minutes, None),
        ["soak", minutes, seed] => soak(minutes, Some(seed)),
        ["cross", triple] => cross::run(triple),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The soak test with the program that `conformance` would check.
fn soak(minutes: &str, seed: Option<&str>) -> Result<(), String> {
    let program = conformance::program(&root(), &target_dir())?;
    soak::check(&program, &target_dir().join("soak"), minutes, seed)
}

/// The repository's root.
fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// Where cargo and these commands put what they make.
fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Upstream's tree: the pinned crate, or `LLAMA_CPP_DIR`.
fn upstream() -> Result<source::Upstream, String> {
    source::find(&root(), &root())
}
