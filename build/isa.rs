//! Which instruction sets ggml's CPU backend is compiled for, and how that is
//! said to the compiler. The rest of the C++ stays at the target's baseline, so
//! that nothing can fault before the check of the CPU has run.

use crate::target::{Arch, Os, Target};

/// One instruction-set feature.
pub struct Feature {
    /// rustc's name, which is also the name that users see.
    pub name: &'static str,
    /// Flag of GCC and Clang that enables it ("" when only `-march` can).
    flag: &'static str,
    /// Macros of which at least one is defined in code compiled for it.
    pub macros: &'static [&'static str],
    /// The define that upstream's CMake gives beside the flag, if any.
    define: &'static str,
}

const fn feature(
    name: &'static str,
    flag: &'static str,
    macros: &'static [&'static str],
    define: &'static str,
) -> Feature {
    Feature {
        name,
        flag,
        macros,
        define,
    }
}

/// x86-64 beyond its baseline (SSE2).
pub const X86: &[Feature] = &[
    feature("sse3", "-msse3", &["__SSE3__"], ""),
    feature("ssse3", "-mssse3", &["__SSSE3__"], ""),
    feature("sse4.1", "-msse4.1", &["__SSE4_1__"], ""),
    feature(
        "sse4.2",
        "-msse4.2",
        &["__SSE4_2__", "GGML_SSE42"],
        "GGML_SSE42",
    ),
    feature("popcnt", "-mpopcnt", &["__POPCNT__"], ""),
    feature("lzcnt", "-mlzcnt", &["__LZCNT__"], ""),
    feature("movbe", "-mmovbe", &["__MOVBE__"], ""),
    feature("bmi1", "-mbmi", &["__BMI__"], ""),
    feature("bmi2", "-mbmi2", &["__BMI2__"], "GGML_BMI2"),
    feature("avx", "-mavx", &["__AVX__"], "GGML_AVX"),
    feature("avx2", "-mavx2", &["__AVX2__"], "GGML_AVX2"),
    feature("fma", "-mfma", &["__FMA__", "GGML_FMA"], "GGML_FMA"),
    feature("f16c", "-mf16c", &["__F16C__", "GGML_F16C"], "GGML_F16C"),
    feature("avxvnni", "-mavxvnni", &["__AVXVNNI__"], "GGML_AVX_VNNI"),
    feature("gfni", "-mgfni", &["__GFNI__"], ""),
    feature("vaes", "-mvaes", &["__VAES__"], ""),
    feature("vpclmulqdq", "-mvpclmulqdq", &["__VPCLMULQDQ__"], ""),
    feature("avx512f", "-mavx512f", &["__AVX512F__"], "GGML_AVX512"),
    feature("avx512cd", "-mavx512cd", &["__AVX512CD__"], ""),
    feature("avx512vl", "-mavx512vl", &["__AVX512VL__"], ""),
    feature("avx512dq", "-mavx512dq", &["__AVX512DQ__"], ""),
    feature("avx512bw", "-mavx512bw", &["__AVX512BW__"], ""),
    feature("avx512ifma", "-mavx512ifma", &["__AVX512IFMA__"], ""),
    feature(
        "avx512vbmi",
        "-mavx512vbmi",
        &["__AVX512VBMI__"],
        "GGML_AVX512_VBMI",
    ),
    feature("avx512vbmi2", "-mavx512vbmi2", &["__AVX512VBMI2__"], ""),
    feature(
        "avx512vnni",
        "-mavx512vnni",
        &["__AVX512VNNI__"],
        "GGML_AVX512_VNNI",
    ),
    feature("avx512bitalg", "-mavx512bitalg", &["__AVX512BITALG__"], ""),
    feature(
        "avx512vpopcntdq",
        "-mavx512vpopcntdq",
        &["__AVX512VPOPCNTDQ__"],
        "",
    ),
    feature(
        "avx512bf16",
        "-mavx512bf16",
        &["__AVX512BF16__"],
        "GGML_AVX512_BF16",
    ),
    feature("avx512fp16", "-mavx512fp16", &["__AVX512FP16__"], ""),
    feature("amx-tile", "-mamx-tile", &["__AMX_TILE__"], "GGML_AMX_TILE"),
    feature("amx-int8", "-mamx-int8", &["__AMX_INT8__"], "GGML_AMX_INT8"),
    feature("amx-bf16", "-mamx-bf16", &["__AMX_BF16__"], "GGML_AMX_BF16"),
];

/// AArch64 beyond its baseline (Advanced SIMD). The "flag" is the extension name of `-march`.
pub const AARCH64: &[Feature] = &[
    feature("lse", "lse", &["__ARM_FEATURE_ATOMICS"], ""),
    feature("crc", "crc", &["__ARM_FEATURE_CRC32"], ""),
    feature("rdm", "rdma", &["__ARM_FEATURE_QRDMX"], ""),
    feature(
        "fp16",
        "fp16",
        &["__ARM_FEATURE_FP16_VECTOR_ARITHMETIC"],
        "",
    ),
    feature("dotprod", "dotprod", &["__ARM_FEATURE_DOTPROD"], ""),
    feature(
        "bf16",
        "bf16",
        &["__ARM_FEATURE_BF16_VECTOR_ARITHMETIC"],
        "",
    ),
    feature("i8mm", "i8mm", &["__ARM_FEATURE_MATMUL_INT8"], ""),
    feature("sve", "sve", &["__ARM_FEATURE_SVE"], ""),
    feature("sve2", "sve2", &["__ARM_FEATURE_SVE2"], ""),
    feature("sme", "sme", &["__ARM_FEATURE_SME"], ""),
];

/// The features known for `arch`; empty where only a baseline build is offered.
pub fn features(arch: Arch) -> &'static [Feature] {
    match arch {
        Arch::X86_64 => X86,
        Arch::Aarch64 => AARCH64,
        _ => &[],
    }
}

/// What upstream's own "haswell" CPU variant uses; x86-64-v3 implies the smaller rest.
const X86_V3: &[&str] = &["sse4.2", "avx", "avx2", "bmi2", "fma", "f16c"];
const X86_V4_EXTRA: &[&str] = &["avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw"];

/// A decision about instruction sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Exactly this machine.
    Native,
    /// Nothing beyond what every CPU of the target has.
    Baseline,
    /// These features of [`features`].
    Features(Vec<&'static str>),
    /// A CPU name for `-mcpu`.
    Cpu(&'static str),
}

/// What the decision depends on.
pub struct Wishes<'a> {
    /// `LLAMAKIT_CPU`, if set and not empty.
    pub over: Option<&'a str>,
    /// rustc's flags, one argument each (`CARGO_ENCODED_RUSTFLAGS`, split).
    pub rustflags: &'a [&'a str],
    /// `CARGO_CFG_TARGET_FEATURE`, split.
    pub target_features: &'a [&'a str],
    /// True when the build machine is the target machine.
    pub host_is_target: bool,
}

/// Decides which instruction sets to compile for.
///
/// `LLAMAKIT_CPU` comes first, then what rustc was told, then a default that is
/// fast on any machine of the last ten years.
pub fn choose(target: &Target, wishes: &Wishes) -> Result<Choice, String> {
    if let Some(over) = wishes.over {
        return overridden(target, over, wishes.host_is_target);
    }
    let told = told_to_rustc(target.arch, wishes.rustflags);
    if told.cpu == Some("native") && wishes.host_is_target && !target.is_msvc() {
        return Ok(Choice::Native);
    }
    // With MSVC, and when cross-compiling, rustc has already resolved "native" to features.
    if told.cpu.is_some() || told.feature {
        let known = features(target.arch).iter().map(|f| f.name);
        return Ok(Choice::Features(
            known
                .filter(|name| wishes.target_features.contains(name))
                .collect(),
        ));
    }
    Ok(default_for(target))
}

fn default_for(target: &Target) -> Choice {
    match (target.arch, target.os) {
        (Arch::X86_64, _) => Choice::Features(X86_V3.to_vec()),
        (Arch::Aarch64, Os::MacOs) => Choice::Cpu("apple-m1"),
        // The oldest chip that still gets current iOS; dot products came one later.
        (Arch::Aarch64, Os::AppleMobile) => Choice::Cpu("apple-a12"),
        (Arch::Aarch64, _) => Choice::Features(vec!["dotprod", "fp16"]),
        _ => Choice::Baseline,
    }
}

fn overridden(target: &Target, over: &str, host_is_target: bool) -> Result<Choice, String> {
    let x86_only = |choice: Choice| {
        if target.arch == Arch::X86_64 {
            Ok(choice)
        } else {
            Err(format!(
                "LLAMAKIT_CPU={over} names a level of x86-64, but the target is {}; use baseline or native",
                target.triple
            ))
        }
    };
    match over {
        "baseline" => Ok(Choice::Baseline),
        "native" if !host_is_target => Err(format!(
            "LLAMAKIT_CPU=native needs the build machine to be the target, but the target is {}",
            target.triple
        )),
        "native" if target.is_msvc() => Err(
            "LLAMAKIT_CPU=native is not known to MSVC; set rustc's `-C target-cpu=native` instead"
                .to_owned(),
        ),
        "native" => Ok(Choice::Native),
        "v3" => x86_only(Choice::Features(X86_V3.to_vec())),
        "v4" => x86_only(Choice::Features([X86_V3, X86_V4_EXTRA].concat())),
        _ => Err(format!(
            "LLAMAKIT_CPU={over} is not one of baseline, v3, v4, native"
        )),
    }
}

struct Told<'a> {
    cpu: Option<&'a str>,
    feature: bool,
}

/// What rustc's flags say about instruction sets. `+crt-static` and the like say nothing.
fn told_to_rustc<'a>(arch: Arch, rustflags: &[&'a str]) -> Told<'a> {
    let mut told = Told {
        cpu: None,
        feature: false,
    };
    let mut flags = rustflags.iter().copied();
    while let Some(flag) = flags.next() {
        let option = match flag {
            "-C" | "--codegen" => flags.next().unwrap_or_default(),
            _ => flag
                .strip_prefix("-C")
                .or_else(|| flag.strip_prefix("--codegen="))
                .unwrap_or_default(),
        };
        if let Some(cpu) = option.strip_prefix("target-cpu=") {
            told.cpu = Some(cpu);
        } else if let Some(list) = option.strip_prefix("target-feature=") {
            told.feature |= list.split(',').any(|item| {
                let name = item.trim_start_matches(['+', '-']);
                features(arch).iter().any(|f| f.name == name)
            });
        }
    }
    told
}

/// How a choice is said to the compiler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Isa {
    pub flags: Vec<String>,
    pub defines: Vec<String>,
    pub native: bool,
    /// Features that the choice names itself; the compiler may imply more.
    pub features: Vec<&'static str>,
}

/// Flags and defines for ggml's CPU backend.
pub fn isa(target: &Target, choice: &Choice) -> Isa {
    let mut isa = Isa::default();
    match choice {
        Choice::Baseline => {}
        Choice::Native => {
            isa.native = true;
            // GCC and Clang resolve -march=native on x86 only; elsewhere -mcpu is the one that does.
            isa.flags.push(
                if target.arch == Arch::X86_64 {
                    "-march=native"
                } else {
                    "-mcpu=native"
                }
                .to_owned(),
            );
        }
        Choice::Cpu(name) => isa.flags.push(format!("-mcpu={name}")),
        Choice::Features(names) => {
            isa.features.clone_from(names);
            let chosen = || {
                features(target.arch)
                    .iter()
                    .filter(|f| names.contains(&f.name))
            };
            match target.arch {
                Arch::X86_64 if target.is_msvc() => msvc_x86(&mut isa, names),
                Arch::X86_64 => isa.flags.extend(chosen().map(|f| f.flag.to_owned())),
                Arch::Aarch64 if !names.is_empty() => isa.flags.push(aarch64_march(names)),
                _ => {}
            }
            isa.defines.extend(
                chosen()
                    .map(|f| f.define.to_owned())
                    .filter(|d| !d.is_empty()),
            );
        }
    }
    isa
}

/// MSVC knows three levels; what lies between is told to the sources by macro.
fn msvc_x86(isa: &mut Isa, names: &[&str]) {
    let has = |name| names.contains(&name);
    let level = if has("avx512f") && has("avx512bw") && has("avx512vl") && has("avx512dq") {
        "/arch:AVX512"
    } else if has("avx2") {
        "/arch:AVX2"
    } else if has("avx") {
        "/arch:AVX"
    } else {
        return;
    };
    isa.flags.push(level.to_owned());
    // Only what MSVC itself never defines; __AVX2__ and the AVX-512 base come with /arch.
    for (name, macro_) in [
        ("bmi2", "__BMI2__"),
        ("avxvnni", "__AVXVNNI__"),
        ("avx512vbmi", "__AVX512VBMI__"),
        ("avx512vnni", "__AVX512VNNI__"),
        ("avx512bf16", "__AVX512BF16__"),
    ] {
        if has(name) {
            isa.defines.push(macro_.to_owned());
        }
    }
}

/// An architecture version and the extensions.
fn aarch64_march(names: &[&str]) -> String {
    let has = |name: &str| names.contains(&name);
    // No base above 8.2: later ones would imply features that were not asked for.
    let beyond_8_1 = AARCH64
        .iter()
        .any(|f| has(f.name) && !["lse", "crc", "rdm"].contains(&f.name));
    let mut march = if beyond_8_1 {
        "-march=armv8.2-a"
    } else {
        "-march=armv8-a"
    }
    .to_owned();
    for f in AARCH64.iter().filter(|f| has(f.name)) {
        march.push('+');
        march.push_str(f.flag);
    }
    march
}

/// A source text that, preprocessed with the flags of ggml's CPU backend, names each
/// feature compiled in on a line of its own, after [`PROBE_MARK`].
pub fn probe(arch: Arch) -> String {
    let mut text = String::new();
    for f in features(arch) {
        let condition: Vec<_> = f.macros.iter().map(|m| format!("defined({m})")).collect();
        text.push_str(&format!(
            "#if {}\n{PROBE_MARK}\"{}\"\n#endif\n",
            condition.join(" || "),
            f.name
        ));
    }
    text
}

/// What each answer of [`probe`] begins with.
pub const PROBE_MARK: &str = "llamakit_has ";

/// Reads the answers to [`probe`].
pub fn probed(arch: Arch, expanded: &str) -> Vec<&'static str> {
    let said = |f: &&Feature| {
        expanded
            .lines()
            .any(|l| l.trim() == format!("{PROBE_MARK}\"{}\"", f.name))
    };
    features(arch).iter().filter(said).map(|f| f.name).collect()
}
