//! Compiles llama.cpp for the target and links it. The parts are in `build/`.

#![allow(
    clippy::print_stdout,
    reason = "a build script talks to cargo on stdout"
)]
#![allow(
    unreachable_pub,
    reason = "the parts are shared with the tests of the build by path"
)]

#[cfg(feature = "inference")]
#[path = "build/bindings.rs"]
mod bindings;
#[cfg(feature = "inference")]
#[path = "build/compile.rs"]
mod compile;
#[cfg(feature = "inference")]
#[path = "build/edit.rs"]
mod edit;
#[cfg(feature = "inference")]
#[path = "build/isa.rs"]
mod isa;
#[cfg(feature = "inference")]
#[path = "build/metal.rs"]
mod metal;
#[cfg(feature = "inference")]
#[path = "build/plan.rs"]
mod plan;
#[cfg(feature = "inference")]
#[path = "build/run.rs"]
mod run;
#[cfg(feature = "inference")]
#[path = "build/source.rs"]
mod source;
#[cfg(feature = "inference")]
#[path = "build/target.rs"]
mod target;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    // Without the feature there is nothing to compile, and no C++ compiler is asked for.
    #[cfg(feature = "inference")]
    if let Err(message) = run::run() {
        for line in message.lines() {
            println!("cargo::error={line}");
        }
        std::process::exit(1);
    }
}
