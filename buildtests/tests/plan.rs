//! The plan of every supported target: what is compiled, how, and what is linked.

use llamakit_buildtests::isa::{self, Choice, Wishes};
use llamakit_buildtests::plan::{Features, Lang, Link, Place, Unit};
use llamakit_buildtests::{plan_for, planned, sources, target, upstream};

const TARGETS: [&str; 8] = [
    "x86_64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-gnu",
    "aarch64-unknown-linux-musl",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "aarch64-linux-android",
    "aarch64-apple-ios",
];

fn none() -> Features {
    Features::default()
}

fn has(list: &[String], item: &str) -> bool {
    list.iter().any(|i| i == item)
}

fn linked(triple: &str, features: Features) -> Vec<String> {
    plan_for(triple, features)
        .link
        .iter()
        .map(|link| format!("{link:?}"))
        .collect()
}

#[test]
fn every_planned_file_exists_and_is_compiled_once() {
    let upstream = upstream().unwrap();
    for triple in TARGETS {
        let plan = planned(
            triple,
            Features {
                rpc: true,
                openmp: true,
            },
            &upstream.tree,
        );
        let mut files = sources(&plan);
        for file in &files {
            assert!(upstream.root.join(file).is_file(), "{triple}: {file}");
        }
        let count = files.len();
        files.sort();
        files.dedup();
        assert_eq!(count, files.len(), "{triple}: a file is compiled twice");
        for dir in plan.units.iter().flat_map(|unit| &unit.includes) {
            if let Place::Upstream(dir) = dir {
                assert!(upstream.root.join(dir).is_dir(), "{triple}: {dir}");
            }
        }
    }
}

#[test]
fn what_computes_is_optimised_in_full() {
    for triple in TARGETS {
        let plan = plan_for(triple, none());
        for unit in &plan.units {
            let sources = format!("{:?}", unit.sources);
            let computes = [
                "vocab",
                "sampler",
                "ggml.c",
                "ggml-quants",
                "ggml-cpu",
                "metal",
            ];
            if unit.name != "ggml" && computes.iter().any(|part| sources.contains(part)) {
                assert_eq!(unit.level, 3, "{triple}: {sources}");
            }
        }
        // A unit has a folder of its own.
        let mut folders: Vec<String> = plan
            .units
            .iter()
            .map(|unit| format!("{}-{:?}-{}", unit.name, unit.lang, unit.level))
            .collect();
        folders.sort();
        folders.dedup();
        assert_eq!(folders.len(), plan.units.len(), "{triple}");
    }
}

#[test]
fn kernels_of_ours_are_called_first_on_x86_only() {
    for (file, call) in [
        ("matmul", "=lk_mul_mat"),
        ("attention", "=lk_flash_attn_ext"),
    ] {
        for triple in TARGETS {
            let plan = plan_for(triple, none());
            let own = Place::Own(format!("src/sys/ggml/{file}.cpp"));
            let compiled = plan.units.iter().any(|unit| unit.sources.contains(&own));
            let called = plan.units.iter().any(|unit| {
                let mut defines = unit.defines.iter();
                unit.lang == Lang::C && defines.any(|define| define.ends_with(call))
            });
            let x86 = triple.starts_with("x86_64");
            assert_eq!((compiled, called), (x86, x86), "{triple}: {file}");
        }
    }
}

#[test]
fn products_on_amx_are_compiled_by_way_of_ours() {
    let ours = Place::Own("src/sys/ggml/amx.cpp".to_owned());
    let upstreams = Place::Upstream("ggml/src/ggml-cpu/amx/mmq.cpp".to_owned());
    for triple in TARGETS {
        let plan = plan_for(triple, none());
        let compiled = |source| plan.units.iter().any(|unit| unit.sources.contains(source));
        let x86 = triple.starts_with("x86_64");
        assert_eq!(
            (compiled(&ours), compiled(&upstreams)),
            (x86, !x86),
            "{triple}"
        );
    }
}

#[test]
fn only_the_cpu_backend_is_compiled_for_more_than_the_baseline() {
    for triple in TARGETS {
        let plan = plan_for(triple, none());
        assert!(!plan.isa.flags.is_empty(), "{triple}");
        for unit in &plan.units {
            assert_eq!(unit.isa, unit.name == "ggml-cpu", "{triple}: {}", unit.name);
            let isa_flag = |f: &&String| {
                let f = f.as_str();
                f.starts_with("-march")
                    || f.starts_with("-mcpu")
                    || f.starts_with("/arch")
                    || f.starts_with("-mavx")
            };
            assert_eq!(
                unit.flags.iter().find(isa_flag),
                None,
                "{triple}: {}",
                unit.name
            );
        }
    }
}

#[test]
fn arch_files_follow_the_target() {
    for (triple, dir) in [
        ("x86_64-unknown-linux-gnu", "x86"),
        ("aarch64-unknown-linux-musl", "arm"),
    ] {
        let files = sources(&plan_for(triple, none()));
        let arch: Vec<_> = files.iter().filter(|f| f.contains("/arch/")).collect();
        assert_eq!(arch.len(), 2, "{triple}: {arch:?}");
        assert!(
            arch.iter().all(|f| f.contains(&format!("/arch/{dir}/"))),
            "{triple}: {arch:?}"
        );
    }
}

#[test]
fn metal_and_accelerate_are_compiled_on_apple_only() {
    for triple in TARGETS {
        let plan = plan_for(triple, none());
        let apple = triple.contains("apple");
        assert_eq!(
            sources(&plan).iter().any(|f| f.contains("ggml-metal")),
            apple,
            "{triple}"
        );
        let registry = plan.units.iter().find(|u| u.name == "ggml").unwrap();
        for define in ["GGML_USE_METAL", "GGML_USE_BLAS"] {
            assert_eq!(has(&registry.defines, define), apple, "{triple}: {define}");
        }
        assert!(has(&registry.defines, "GGML_USE_CPU"), "{triple}");
        let expected: &[&str] = if apple {
            &["Metal", "BLAS", "CPU"]
        } else {
            &["CPU"]
        };
        assert_eq!(plan.backends, expected, "{triple}");
        for framework in ["Accelerate", "Foundation", "Metal", "MetalKit"] {
            assert_eq!(
                plan.link
                    .iter()
                    .any(|l| matches!(l, Link::Framework(f) if *f == framework)),
                apple,
                "{triple}"
            );
        }
    }
}

#[test]
fn objective_c_is_not_reference_counted_by_the_compiler() {
    let plan = plan_for("aarch64-apple-darwin", none());
    let objc: Vec<&Unit> = plan.units.iter().filter(|u| u.lang == Lang::ObjC).collect();
    assert_eq!(objc.len(), 1);
    assert!(!has(&objc[0].flags, "-fobjc-arc"));
}

#[test]
fn msvc_keeps_handlers_around_c_functions() {
    let plan = plan_for("x86_64-pc-windows-msvc", none());
    for unit in &plan.units {
        for flag in ["/EHs", "/utf-8", "/bigobj"] {
            assert!(has(&unit.flags, flag), "{}: {flag}", unit.name);
        }
        assert!(
            !unit
                .flags
                .iter()
                .any(|f| f == "/EHsc" || f.starts_with('-')),
            "{}: {:?}",
            unit.name,
            unit.flags
        );
        assert!(
            has(&unit.defines, "_CRT_SECURE_NO_WARNINGS"),
            "{}",
            unit.name
        );
    }
    assert_eq!(plan.isa.flags, ["/arch:AVX2"]);
    for define in [
        "GGML_AVX2",
        "GGML_FMA",
        "GGML_F16C",
        "GGML_BMI2",
        "__BMI2__",
    ] {
        assert!(has(&plan.isa.defines, define), "{define}");
    }
    assert_eq!(
        linked("x86_64-pc-windows-msvc", none()),
        [r#"Lib("advapi32")"#]
    );
}

#[test]
fn c_files_can_be_thrown_through() {
    for triple in TARGETS.iter().filter(|t| !t.contains("msvc")) {
        for unit in plan_for(triple, none()).units {
            let c = matches!(unit.lang, Lang::C | Lang::ObjC);
            assert_eq!(
                has(&unit.flags, "-fexceptions"),
                c,
                "{triple}: {}",
                unit.name
            );
        }
    }
}

#[test]
fn assertions_that_upstream_turns_off_in_releases_are_off() {
    for triple in TARGETS {
        for unit in plan_for(triple, none()).units {
            assert!(has(&unit.defines, "NDEBUG"), "{triple}: {}", unit.name);
        }
    }
}

#[test]
fn linux_and_android_link_what_they_need() {
    for triple in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-musl"] {
        let link = linked(triple, none());
        assert_eq!(
            link,
            [
                r#"CxxStd("stdc++")"#,
                r#"Lib("m")"#,
                r#"Lib("dl")"#,
                r#"Lib("pthread")"#
            ],
            "{triple}"
        );
    }
    let link = linked("aarch64-linux-android", none());
    assert_eq!(
        link,
        [
            r#"CxxStd("c++_static")"#,
            r#"Lib("c++abi")"#,
            r#"Lib("m")"#,
            r#"Lib("dl")"#
        ]
    );
}

#[test]
fn rpc_is_compiled_only_when_asked_for() {
    for triple in TARGETS {
        for rpc in [false, true] {
            let plan = plan_for(triple, Features { rpc, openmp: false });
            assert_eq!(
                sources(&plan).iter().any(|f| f.contains("ggml-rpc")),
                rpc,
                "{triple}"
            );
            let registry = plan.units.iter().find(|u| u.name == "ggml").unwrap();
            assert_eq!(has(&registry.defines, "GGML_USE_RPC"), rpc, "{triple}");
            assert_eq!(plan.backends.contains(&"RPC"), rpc, "{triple}");
        }
    }
    assert!(
        linked(
            "x86_64-pc-windows-msvc",
            Features {
                rpc: true,
                openmp: false
            }
        )
        .contains(&r#"Lib("ws2_32")"#.to_owned())
    );
}

#[test]
fn openmp_reaches_ggml_and_is_refused_aloud_on_apple() {
    let openmp = Features {
        rpc: false,
        openmp: true,
    };
    let plan = plan_for("x86_64-unknown-linux-gnu", openmp);
    for unit in &plan.units {
        let uses = matches!(unit.name, "ggml-base" | "ggml-cpu");
        assert_eq!(unit.openmp, uses, "{}", unit.name);
        assert_eq!(has(&unit.defines, "GGML_USE_OPENMP"), uses, "{}", unit.name);
    }
    assert!(plan.warnings.is_empty());
    let plan = plan_for("aarch64-apple-darwin", openmp);
    assert!(plan.units.iter().all(|unit| !unit.openmp));
    assert!(plan.warnings[0].contains("openmp"), "{:?}", plan.warnings);
}

fn choose(
    triple: &str,
    over: Option<&str>,
    rustflags: &[&str],
    features: &[&str],
    host: bool,
) -> Result<Choice, String> {
    isa::choose(
        &target(triple),
        &Wishes {
            over,
            rustflags,
            target_features: features,
            host_is_target: host,
        },
    )
}

const X86: &str = "x86_64-unknown-linux-gnu";
const ARM: &str = "aarch64-unknown-linux-gnu";

fn v3() -> Choice {
    Choice::Features(vec!["sse4.2", "avx", "avx2", "bmi2", "fma", "f16c"])
}

#[test]
fn a_plain_build_is_fast_on_machines_of_the_last_ten_years() {
    assert_eq!(
        choose(X86, None, &[], &["fxsr", "sse", "sse2"], true),
        Ok(v3())
    );
    assert_eq!(
        choose(ARM, None, &[], &["neon"], true),
        Ok(Choice::Features(vec!["dotprod", "fp16"]))
    );
    assert_eq!(
        choose(
            "aarch64-apple-darwin",
            None,
            &[],
            &["neon", "dotprod"],
            true
        ),
        Ok(Choice::Cpu("apple-m1"))
    );
    let isa = isa::isa(&target(ARM), &Choice::Features(vec!["dotprod", "fp16"]));
    assert_eq!(isa.flags, ["-march=armv8.2-a+fp16+dotprod"]);
    let isa = isa::isa(&target(X86), &v3());
    for flag in ["-msse4.2", "-mavx", "-mavx2", "-mbmi2", "-mfma", "-mf16c"] {
        assert!(has(&isa.flags, flag), "{flag}");
    }
}

#[test]
fn rustc_flags_that_name_instruction_sets_are_followed() {
    let native = ["-Ctarget-cpu=native"];
    assert_eq!(
        choose(X86, None, &native, &["avx2"], true),
        Ok(Choice::Native)
    );
    assert_eq!(
        choose(X86, None, &["-C", "target-cpu=native"], &[], true),
        Ok(Choice::Native)
    );
    assert_eq!(
        isa::isa(&target(X86), &Choice::Native).flags,
        ["-march=native"]
    );
    assert_eq!(
        isa::isa(&target(ARM), &Choice::Native).flags,
        ["-mcpu=native"]
    );
    // Cross-compiling, rustc means the build machine; its features say what that came to.
    assert_eq!(
        choose(X86, None, &native, &["avx2", "sse2"], false),
        Ok(Choice::Features(vec!["avx2"]))
    );
    let msvc = "x86_64-pc-windows-msvc";
    assert_eq!(
        choose(msvc, None, &native, &["avx2"], true),
        Ok(Choice::Features(vec!["avx2"]))
    );
    let explicit = choose(
        X86,
        None,
        &["-Ctarget-cpu=nehalem"],
        &["sse3", "sse4.2", "popcnt"],
        true,
    );
    assert_eq!(
        explicit,
        Ok(Choice::Features(vec!["sse3", "sse4.2", "popcnt"]))
    );
    assert_eq!(
        choose(X86, None, &["-Ctarget-feature=+avx"], &["avx"], true),
        Ok(Choice::Features(vec!["avx"]))
    );
    assert_eq!(
        choose(X86, None, &["-Ctarget-cpu=x86-64"], &["sse2"], true),
        Ok(Choice::Features(vec![]))
    );
    // Nothing about instruction sets.
    assert_eq!(
        choose(
            X86,
            None,
            &["-Ctarget-feature=+crt-static", "-Copt-level=3"],
            &[],
            true
        ),
        Ok(v3())
    );
}

#[test]
fn llamakit_cpu_overrides_and_names_what_it_does_not_know() {
    let native = ["-Ctarget-cpu=native"];
    assert_eq!(
        choose(X86, Some("baseline"), &native, &["avx2"], true),
        Ok(Choice::Baseline)
    );
    assert!(isa::isa(&target(X86), &Choice::Baseline).flags.is_empty());
    assert_eq!(
        choose(X86, Some("v3"), &native, &["avx512f"], true),
        Ok(v3())
    );
    assert_eq!(
        choose(X86, Some("native"), &[], &[], true),
        Ok(Choice::Native)
    );
    let Ok(v4) = choose(X86, Some("v4"), &[], &[], true) else {
        panic!("v4")
    };
    let flags = isa::isa(&target(X86), &v4).flags;
    assert!(
        has(&flags, "-mavx512bw") && has(&flags, "-mavx2"),
        "{flags:?}"
    );
    assert_eq!(
        isa::isa(&target("x86_64-pc-windows-msvc"), &v4).flags,
        ["/arch:AVX512"]
    );
    let refused = |triple, over, host| choose(triple, Some(over), &[], &[], host).unwrap_err();
    assert!(
        refused(X86, "v5", true).contains("v5")
            && refused(X86, "v5", true).contains("baseline, v3, v4, native")
    );
    assert!(refused(ARM, "v3", true).contains("x86-64"));
    assert!(refused(ARM, "native", false).contains(ARM));
}
