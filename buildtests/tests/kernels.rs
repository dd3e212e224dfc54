//! Our own kernels against plain loops: products of quantized weights, fused attention.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::path::Path;
use std::process::Command;

use llamakit_buildtests::{root, succeed, upstream};

/// Levels of x86-64, from the oldest that runs our kernels, and whether this machine has them.
const LEVELS: [(&str, bool); 3] = [("x86-64", false), ("x86-64-v3", true), ("x86-64-v4", true)];

fn runs_here(level: &str) -> bool {
    match level {
        "x86-64-v4" => is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl"),
        _ => is_x86_feature_detected!("avx2"),
    }
}

/// Compiles `name.cpp` of the library for every level, and where that has our kernel and this
/// machine can, with its test, which it runs.
fn check(name: &str) {
    let own = root().join("src/sys/ggml").join(name);
    let test = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name);
    let ggml = upstream().unwrap().root.join("ggml");
    for (level, is_ours) in LEVELS {
        let mut cxx = Command::new("c++");
        cxx.args(["-std=gnu++17", "-O2", "-pthread"])
            .arg(format!("-march={level}"))
            .args(
                ["include", "src", "src/ggml-cpu"]
                    .map(|dir| format!("-I{}", ggml.join(dir).display())),
            )
            .arg(&own);
        if is_ours && runs_here(level) {
            let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{level}"));
            succeed(cxx.arg(&test).arg("-o").arg(&program));
            succeed(&mut Command::new(&program));
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
