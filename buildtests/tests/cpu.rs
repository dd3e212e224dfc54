//! The check of the CPU: it knows every feature that code may be compiled for, agrees with
//! rustc on this machine, and tells the truth on older and newer CPUs under qemu.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use llamakit_buildtests::{isa, root, succeed, target};

/// Compiles `src/sys/cpu.c` for the baseline, with a main function that prints what the CPU has.
fn harness(name: &str, compiler: &str, features: &[isa::Feature]) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&dir).unwrap();
    let asks: String = features
        .iter()
        .map(|f| format!("if (lk_cpu_has(\"{0}\") == 1) puts(\"{0}\");\n", f.name))
        .collect();
    let main = format!(
        "#include <stdio.h>\nint lk_cpu_has(const char *);\nint main(void) {{\n{asks}return 0;\n}}\n"
    );
    let (file, program) = (dir.join("main.c"), dir.join("harness"));
    fs::write(&file, main).unwrap();
    let mut cc = Command::new(compiler);
    // Static, so that qemu needs no C library of the other architecture.
    cc.args([
        "-std=gnu11",
        "-O3",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-static",
    ])
    .arg(&file);
    succeed(cc.arg(root().join("src/sys/cpu.c")).arg("-o").arg(&program));
    program
}

fn lines(command: &mut Command) -> BTreeSet<String> {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e} (Debian package qemu-user)"));
    assert!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn has(found: &BTreeSet<String>, names: &[&str]) -> bool {
    names.iter().all(|name| found.contains(*name))
}

#[test]
fn every_feature_that_may_be_compiled_for_can_be_asked_for() {
    let text = fs::read_to_string(root().join("src/sys/cpu.c")).unwrap();
    let (x86, rest) = text.split_once("__aarch64__").unwrap();
    for (features, part) in [(isa::X86, x86), (isa::AARCH64, rest)] {
        for feature in features {
            assert!(
                part.contains(&format!("{{ \"{}\",", feature.name)),
                "{}",
                feature.name
            );
        }
    }
}

#[test]
fn the_probe_says_what_a_compiler_was_told() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("probe");
    fs::create_dir_all(&dir).unwrap();
    let machine = target("x86_64-unknown-linux-gnu");
    let file = dir.join("probe.c");
    fs::write(&file, isa::probe(machine.arch)).unwrap();
    let probed = |flags: &[&str]| {
        let output = Command::new("cc")
            .args(["-E"])
            .args(flags)
            .arg(&file)
            .output()
            .unwrap();
        isa::probed(machine.arch, &String::from_utf8_lossy(&output.stdout))
    };
    if cfg!(target_arch = "x86_64") {
        assert!(probed(&["-march=x86-64"]).is_empty());
        let haswell = probed(&["-march=haswell"]);
        assert!(
            ["avx2", "fma", "f16c", "bmi2", "movbe"]
                .iter()
                .all(|f| haswell.contains(f)),
            "{haswell:?}"
        );
        assert!(!haswell.contains(&"avx512f"));
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn this_cpu_is_seen_as_rustc_sees_it() {
    let found = lines(&mut Command::new(harness("cpu-native", "cc", isa::X86)));
    macro_rules! compare {
        ($($name:tt)*) => {
            $(assert_eq!(found.contains($name), std::arch::is_x86_feature_detected!($name), $name);)*
        };
    }
    compare!("sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "lzcnt" "movbe" "bmi1" "bmi2" "avx" "avx2" "fma" "f16c"
        "gfni" "vaes" "vpclmulqdq" "avx512f" "avx512cd" "avx512vl" "avx512dq" "avx512bw" "avx512ifma"
        "avx512vbmi" "avx512vbmi2" "avx512vnni" "avx512bitalg" "avx512vpopcntdq");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn old_and_new_x86_cpus_are_told_apart() {
    let program = harness("cpu-x86", "cc", isa::X86);
    let on = |cpu: &str| {
        lines(
            Command::new("qemu-x86_64")
                .args(["-cpu", cpu])
                .arg(&program),
        )
    };
    let nehalem = on("Nehalem");
    assert!(
        has(&nehalem, &["sse4.2", "popcnt"])
            && !nehalem.contains("avx")
            && !nehalem.contains("avx2"),
        "{nehalem:?}"
    );
    let haswell = on("Haswell");
    assert!(
        has(&haswell, &["sse4.2", "avx", "avx2", "fma", "f16c", "bmi2"]),
        "{haswell:?}"
    );
    assert!(!haswell.contains("avx512f"), "{haswell:?}");
}

#[test]
fn old_and_new_arm_cpus_are_told_apart() {
    let program = harness("cpu-arm", "aarch64-linux-gnu-gcc", isa::AARCH64);
    let on = |cpu: &str| {
        lines(
            Command::new("qemu-aarch64")
                .args(["-cpu", cpu])
                .arg(&program),
        )
    };
    let old = on("cortex-a53");
    assert!(
        has(&old, &["crc"]) && !old.contains("dotprod") && !old.contains("fp16"),
        "{old:?}"
    );
    let new = on("max");
    assert!(
        has(
            &new,
            &[
                "crc", "lse", "rdm", "fp16", "dotprod", "i8mm", "bf16", "sve", "sve2"
            ]
        ),
        "{new:?}"
    );
}
