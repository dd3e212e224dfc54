//! The plan against upstream's own CMake files: a new upstream must not bring a
//! source of a part we build that the plan forgets.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use llamakit_buildtests::plan::Features;
use llamakit_buildtests::{metal, planned, sources, upstream};

/// Words of a CMake file, without comments, with what nothing of ours needs left out:
/// `if` blocks whose condition is one of `off`, up to their `else` or `endif`.
fn words(text: &str, off: &[&str]) -> Vec<String> {
    let mut words = Vec::new();
    let mut skipping = 0_usize;
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let statement = line.trim().to_ascii_lowercase();
        let condition = statement
            .strip_prefix("if")
            .and_then(|rest| rest.trim().strip_prefix('('));
        let is_off = |c: &str| {
            off.iter()
                .any(|o| o.eq_ignore_ascii_case(c.trim_end_matches(')')))
        };
        if condition.is_some_and(|c| skipping > 0 || is_off(c)) {
            skipping += 1;
        }
        if skipping == 0 {
            words.extend(
                line.split([' ', '\t', '(', ')', '"', ';'])
                    .filter(|w| !w.is_empty())
                    .map(str::to_owned),
            );
        }
        if skipping > 0
            && (statement.starts_with("endif") || (skipping == 1 && statement.starts_with("else")))
        {
            skipping -= 1;
        }
    }
    words
}

/// Files that a CMake file of `dir` names with one of the endings of compiled sources.
fn named(root: &Path, dir: &str, off: &[&str]) -> BTreeSet<String> {
    let text = fs::read_to_string(root.join(dir).join("CMakeLists.txt")).unwrap();
    let source = |w: &String| {
        [".c", ".cpp", ".m"].iter().any(|end| w.ends_with(end)) && !w.contains(['$', '*'])
    };
    words(&text, off)
        .into_iter()
        .filter(source)
        .map(|w| format!("{dir}/{w}"))
        .collect()
}

fn planned_for(triples: &[&str]) -> BTreeSet<String> {
    let upstream = upstream().unwrap();
    let plan = |triple: &&str| {
        sources(&planned(
            triple,
            Features {
                rpc: true,
                openmp: true,
            },
            &upstream.tree,
        ))
    };
    triples.iter().flat_map(plan).collect()
}

#[test]
fn every_source_that_cmake_names_is_planned() {
    let root = upstream().unwrap().root;
    let planned = planned_for(&[
        "x86_64-unknown-linux-gnu",
        "aarch64-unknown-linux-gnu",
        "aarch64-apple-darwin",
        "x86_64-pc-windows-msvc",
        "riscv64gc-unknown-linux-gnu",
        "riscv64-unknown-linux-gnu",
        "powerpc64-unknown-linux-gnu",
        "s390x-unknown-linux-gnu",
        "loongarch64-unknown-linux-gnu",
        "wasm32-unknown-linux-gnu",
    ]);
    let mut expected = BTreeSet::new();
    for dir in [
        "src",
        "ggml/src",
        "ggml/src/ggml-metal",
        "ggml/src/ggml-blas",
    ] {
        expected.extend(named(&root, dir, &[]));
    }
    // Remote memory access over special network hardware is not offered.
    expected.extend(named(&root, "ggml/src/ggml-rpc", &["GGML_RPC_RDMA"]));
    // The CPU backend's file names its sources from the folder above; parts that need
    // downloads, special memory or one vendor's RISC-V cores are not offered.
    let cpu = fs::read_to_string(root.join("ggml/src/ggml-cpu/CMakeLists.txt")).unwrap();
    let off = ["GGML_CPU_KLEIDIAI", "GGML_CPU_RISCV64_SPACEMIT"];
    let source = |w: &String| w.ends_with(".c") || w.ends_with(".cpp");
    let named_cpu = words(&cpu, &off)
        .into_iter()
        .filter(source)
        .filter(|w| !w.contains("cpu-feats"));
    expected.extend(named_cpu.map(|w| format!("ggml/src/{w}")));

    assert!(
        expected.len() > 70,
        "the CMake files were not understood: {expected:?}"
    );
    let forgotten: Vec<_> = expected.difference(&planned).collect();
    assert!(
        forgotten.is_empty(),
        "upstream's CMake names what the plan lacks: {forgotten:?}"
    );
    // The other way round: nothing is planned that CMake does not name. Models are globbed there.
    let surplus: Vec<_> = planned
        .difference(&expected)
        .filter(|f| !f.starts_with("src/models/"))
        .collect();
    assert!(
        surplus.is_empty(),
        "the plan has what upstream's CMake does not name: {surplus:?}"
    );
}

#[test]
fn a_forgotten_source_would_be_noticed() {
    let text = "set(A\n  a.cpp # b.cpp\n  \"c.c\")\nif (X)\n  d.cpp\n  if (Y)\n e.cpp\n endif()\nelse()\n f.cpp\nendif()\n";
    let files: Vec<_> = words(text, &["x"])
        .into_iter()
        .filter(|w| w.contains('.'))
        .collect();
    assert_eq!(files, ["a.cpp", "c.c", "f.cpp"]);
}

#[test]
fn the_kernels_are_those_of_cmake() {
    let root = upstream().unwrap().root;
    let text = fs::read_to_string(root.join("ggml/src/ggml-metal/CMakeLists.txt")).unwrap();
    let list = text
        .split("set(METALLIB_KERNEL_SOURCES")
        .nth(1)
        .unwrap()
        .split(')')
        .next()
        .unwrap();
    let kernel = |w: &str| {
        Some(
            w.strip_prefix("kernels/")?
                .strip_suffix(".metal")?
                .to_owned(),
        )
    };
    let expected: BTreeSet<_> = list.split_whitespace().filter_map(kernel).collect();
    assert!(expected.len() > 30, "the CMake file was not understood");
    assert_eq!(
        metal::KERNELS
            .iter()
            .map(|k| (*k).to_owned())
            .collect::<BTreeSet<_>>(),
        expected
    );
}
