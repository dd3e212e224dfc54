//! Our own kernels against plain loops: products of quantized weights, fused attention.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::path::Path;
use std::process::Command;

use llamakit_buildtests::{root, succeed, upstream};

/// Compiles `name.cpp` of the library with its test and runs that.
fn check(name: &str) {
    let own = root().join("src/sys/ggml").join(name);
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let ggml = upstream().unwrap().root.join("ggml");
    let mut cxx = Command::new("c++");
    cxx.args([
        "-std=gnu++17",
        "-O2",
        "-mavx2",
        "-mfma",
        "-mf16c",
        "-pthread",
    ])
    .args(["include", "src", "src/ggml-cpu"].map(|dir| format!("-I{}", ggml.join(dir).display())))
    .args([own, tests.join(name)])
    .arg("-o")
    .arg(&program);
    succeed(&mut cxx);
    succeed(&mut Command::new(&program));
}

#[test]
fn products_are_what_they_would_be_one_by_one() {
    check("matmul.cpp");
}

#[test]
fn attention_is_what_it_would_be_row_by_row() {
    check("attention.cpp");
}
