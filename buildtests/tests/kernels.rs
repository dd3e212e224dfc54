//! Our own kernels against plain loops: products of quantized weights, fused attention. And what
//! ggml's kernels get from us.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::path::{Path, PathBuf};
use std::process::Command;

use llamakit_buildtests::{root, succeed, upstream};

/// Levels of x86-64, and whether this machine can run what our kernels are there. The first has none of them.
fn levels() -> [(&'static str, bool); 3] {
    let avx512 = is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl");
    [
        ("x86-64", false),
        ("x86-64-v3", is_x86_feature_detected!("avx2")),
        ("x86-64-v4", avx512),
    ]
}

/// A compiler of ggml's CPU backend for machines of `march`.
fn compiler(march: &str) -> Command {
    let ggml = upstream().unwrap().root.join("ggml");
    let mut cxx = Command::new("c++");
    cxx.args(["-std=gnu++17", "-O3", "-pthread"])
        .arg(format!("-march={march}"))
        .args(
            ["include", "src", "src/ggml-cpu"].map(|dir| format!("-I{}", ggml.join(dir).display())),
        );
    cxx
}

fn own(name: &str) -> PathBuf {
    root().join("src/sys/ggml").join(name)
}

/// Makes a program of the test `name` and what was added to the command, and runs it.
fn run(cxx: &mut Command, name: &str) {
    let test = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    succeed(cxx.arg(test.join(name)).arg("-o").arg(&program));
    succeed(&mut Command::new(&program));
}

/// Compiles a kernel of the library for every level, and where this machine can run it, with its
/// test, which it runs.
fn check(name: &str) {
    for (level, runs) in levels() {
        let mut cxx = compiler(level);
        cxx.arg(own(name));
        if runs {
            run(&mut cxx, name);
        } else {
            succeed(cxx.arg("-fsyntax-only"));
        }
    }
}

#[test]
fn products_are_what_they_would_be_one_by_one() {
    check("matmul.cpp");
}

#[test]
fn attention_is_what_it_would_be_row_by_row() {
    check("attention.cpp");
}

#[test]
fn products_on_tiles_compile() {
    succeed(
        compiler("sapphirerapids")
            .arg(own("amx.cpp"))
            .arg("-fsyntax-only"),
    );
}

#[test]
fn the_layout_of_tiles_is_written_before_it_is_loaded() {
    let mut cxx = compiler("x86-64-v3");
    cxx.arg("-I").arg(root().join("src/sys/ggml"));
    run(&mut cxx, "amx.cpp");
}
