//! Products of quantized weights: every format, every number of rows, against products one by one.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::path::Path;
use std::process::Command;

use llamakit_buildtests::{root, succeed, upstream};

#[test]
fn products_are_what_they_would_be_one_by_one() {
    let own = root().join("src/sys/ggml/matmul.cpp");
    let test = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matmul.cpp");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("matmul");
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
    .args([own, test])
    .arg("-o")
    .arg(&program);
    succeed(&mut cxx);
    succeed(&mut Command::new(&program));
}
