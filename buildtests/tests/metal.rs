//! The embedded Metal sources: complete in themselves, under the symbols that upstream
//! looks for, in an assembler file that an assembler takes.

use std::fs;
use std::process::Command;

use llamakit_buildtests::{metal, succeed, upstream};

fn read(path: &str) -> Option<String> {
    fs::read_to_string(upstream().unwrap().root.join(path)).ok()
}

#[test]
fn embedded_texts_include_nothing_local() {
    let root = upstream().unwrap().root;
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    for kernel in metal::KERNELS {
        let text = metal::embedded(kernel, &read).unwrap();
        let left: Vec<_> = text.lines().filter_map(metal::local_include).collect();
        assert!(left.is_empty(), "{kernel}: {left:?}");
        assert!(
            !text.contains("__embed_") && !text.contains("#pragma once"),
            "{kernel}"
        );
        // The kernel's own last line, and what it needs from the shared headers just once.
        let own = read(&format!("ggml/src/ggml-metal/kernels/{kernel}.metal")).unwrap();
        assert_eq!(text.lines().last(), own.lines().last(), "{kernel}");
        assert_eq!(
            text.matches("using namespace metal;").count(),
            1,
            "{kernel}: common.h"
        );
        let quantized = text.matches("block_q4_0;").count();
        assert!(
            quantized <= 1,
            "{kernel}: ggml-common.h stands {quantized} times"
        );
    }
}

#[test]
fn a_missing_include_is_an_error_that_names_it() {
    let read = |path: &str| {
        path.ends_with("kernels/a.metal")
            .then(|| "#include \"gone.h\"\n".to_owned())
    };
    assert!(metal::embedded("a", &read).unwrap_err().contains("gone.h"));
}

#[test]
fn the_symbols_are_those_that_the_backend_looks_for() {
    let device = read("ggml/src/ggml-metal/ggml-metal-device.m").unwrap();
    // The table of libraries: X(NAME, symbol) lines.
    let symbols: Vec<String> = device
        .lines()
        .filter_map(|l| {
            l.trim()
                .trim_end_matches('\\')
                .trim()
                .strip_prefix("X(")?
                .strip_suffix(')')?
                .split(',')
                .nth(1)
        })
        .map(|s| s.trim().to_owned())
        .collect();
    assert_eq!(symbols.len(), metal::KERNELS.len(), "{symbols:?}");
    for kernel in metal::KERNELS {
        let symbol = kernel.replace('-', "_");
        assert!(symbols.contains(&symbol), "{kernel}");
        let text = metal::assembler(kernel, "/x/y.metal");
        for end in ["start", "end"] {
            assert!(
                text.contains(&format!("\n.globl _ggml_metallib_{symbol}_{end}\n")),
                "{text}"
            );
            assert!(
                text.contains(&format!("\n_ggml_metallib_{symbol}_{end}:\n")),
                "{text}"
            );
        }
    }
}

#[test]
fn the_assembler_file_is_assembled_with_the_text_between_the_symbols() {
    let dir = std::env::temp_dir().join(format!("llamakit-metal-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let embedded = dir.join("a b\"c.metal");
    fs::write(&embedded, "kernel void k() {}\n").unwrap();
    let source = metal::assembler("fa-x", &embedded.to_string_lossy());
    // Clang knows Apple's sections; GNU's assembler takes the same lines with an ELF section name.
    let clang = Command::new("clang")
        .arg("--version")
        .output()
        .is_ok_and(|o| o.status.success());
    let (tool, source) = if clang {
        ("clang", source)
    } else {
        ("cc", source.replace("__DATA,__ggml_metallib", ".data"))
    };
    let file = dir.join("a.s");
    fs::write(&file, source).unwrap();
    let mut command = Command::new(tool);
    if clang {
        command.args(["-target", "arm64-apple-macos11"]);
    }
    succeed(command.arg("-c").arg(&file).arg("-o").arg(dir.join("a.o")));
    let object = fs::read(dir.join("a.o")).unwrap();
    let holds = |text: &[u8]| object.windows(text.len()).any(|w| w == text);
    assert!(holds(b"kernel void k() {}\n"));
    assert!(holds(b"_ggml_metallib_fa_x_start") && holds(b"_ggml_metallib_fa_x_end"));
    fs::remove_dir_all(&dir).unwrap();
}
