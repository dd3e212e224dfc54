//! Hands the build machine's triple on, which `cc` wants to know outside build scripts.

#![allow(
    clippy::print_stdout,
    reason = "a build script talks to cargo on stdout"
)]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!(
        "cargo::rustc-env=HOST={}",
        std::env::var("HOST").unwrap_or_default()
    );
}
