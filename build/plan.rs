//! What is compiled and linked for a target and a set of features: plain data,
//! made by pure functions, so that every target can be checked on any machine.

use crate::edit;
use crate::isa::{self, Choice};
use crate::metal;
use crate::target::{Arch, Os, Target};

/// Compiler a unit needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lang {
    C,
    Cpp,
    ObjC,
    Asm,
}

/// A file or folder, by the tree that it lies in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In upstream's tree.
    Upstream(String),
    /// In upstream's tree, with the edits of [`crate::edit`]: a copy under `OUT_DIR`.
    Edited(String),
    /// In this package.
    Own(String),
    /// Written by the build script under `OUT_DIR`.
    Generated(String),
}

/// Sources that are compiled in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The library of upstream's that it belongs to, or ours.
    pub name: &'static str,
    pub lang: Lang,
    /// The slowest first, so that they do not end up alone at the end.
    pub sources: Vec<Place>,
    pub includes: Vec<Place>,
    /// `NAME` or `NAME=VALUE`.
    pub defines: Vec<String>,
    pub flags: Vec<String>,
    /// Compiled with the instruction sets of [`Plan::isa`]; the others stay at the baseline.
    pub isa: bool,
    /// Uses OpenMP.
    pub openmp: bool,
    /// How far the compiler optimises, whatever the profile: a model at a tenth of its speed is of no use in debug
    /// builds either.
    pub level: u32,
}

/// Something that the final program links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    Lib(&'static str),
    Framework(&'static str),
    /// The C++ standard library, by the name that the target's default has.
    CxxStd(&'static str),
}

/// Everything that the build does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub units: Vec<Unit>,
    /// Files to write under `OUT_DIR` first: path and text.
    pub generated: Vec<(String, String)>,
    pub link: Vec<Link>,
    pub isa: isa::Isa,
    /// Backends as upstream names them, the preferred first.
    pub backends: Vec<&'static str>,
    /// Wishes that have no effect on this target.
    pub warnings: Vec<String>,
}

/// Cargo features that change the plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    pub rpc: bool,
    pub openmp: bool,
}

/// What upstream's tree says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// File names in `src/` that end in `.cpp`.
    pub llama: Vec<String>,
    /// File names in `src/models/` that end in `.cpp`.
    pub models: Vec<String>,
    pub llama_version: String,
    pub ggml_version: String,
    pub commit: String,
}

/// Models per unity file, as upstream's build does with fewer: the headers cost as much as the code of ten.
const UNITY: usize = 40;

/// Level of what computes: kernels, texts to tokens, samplers.
const OFTEN: u32 = 3;
/// Level of the rest: more would take half as long again to compile it, and nothing of it shows beside the kernels.
const SELDOM: u32 = 1;

/// Makes the plan.
pub fn plan(target: &Target, features: Features, choice: &Choice, tree: &Tree) -> Plan {
    let mut plan = Plan {
        units: Vec::new(),
        generated: generated(tree),
        link: link(target, features),
        isa: isa::isa(target, choice),
        backends: Vec::new(),
        warnings: Vec::new(),
    };
    let mut openmp = features.openmp;
    if openmp && target.is_apple() {
        plan.warnings.push(
            "feature `openmp` has no effect on Apple targets: their compiler has no OpenMP"
                .to_owned(),
        );
        openmp = false;
    }

    let mut used = Vec::new();
    if target.is_apple() {
        used.push("GGML_USE_METAL");
        plan.backends.push("Metal");
        metal_units(&mut plan, target);
        used.push("GGML_USE_BLAS");
        plan.backends.push("BLAS");
        plan.units.push(blas(target));
    }
    if features.rpc {
        used.push("GGML_USE_RPC");
        plan.backends.push("RPC");
        plan.units.push(unit(
            target,
            "ggml-rpc",
            Lang::Cpp,
            ggml(&["ggml-rpc/ggml-rpc.cpp", "ggml-rpc/transport.cpp"]),
        ));
    }
    used.push("GGML_USE_CPU");
    plan.backends.push("CPU");

    for mut cpu in cpu_units(target) {
        cpu.openmp = openmp;
        if !openmp && matches!(target.os, Os::Linux | Os::Android) {
            edit_threads(&mut cpu);
        }
        if target.arch == Arch::X86_64 {
            add_kernels(&mut cpu);
        }
        plan.units.push(cpu);
    }
    for mut base in [
        unit(target, "ggml-base", Lang::Cpp, ggml(&BASE_CPP)),
        unit(target, "ggml-base", Lang::C, ggml(&BASE_C)),
        seldom(unit(target, "ggml-base", Lang::Cpp, ggml(&BASE_SELDOM))),
    ] {
        base.openmp = openmp;
        plan.units.push(base);
    }
    let mut reg = unit(
        target,
        "ggml",
        Lang::Cpp,
        ggml(&["ggml-backend-reg.cpp", "ggml-backend-dl.cpp"]),
    );
    reg.defines.extend(used.iter().map(|u| (*u).to_owned()));
    plan.units.push(seldom(reg));
    plan.units.extend(llama(target, tree));
    plan.units.extend(own_units(target));
    for unit in plan.units.iter_mut().filter(|u| u.openmp) {
        unit.defines.push("GGML_USE_OPENMP".to_owned());
    }
    plan
}

const BASE_CPP: [&str; 3] = ["ggml-backend.cpp", "ggml.cpp", "ggml-threading.cpp"];
const BASE_SELDOM: [&str; 3] = ["gguf.cpp", "ggml-backend-meta.cpp", "ggml-opt.cpp"];
const BASE_C: [&str; 3] = ["ggml-quants.c", "ggml.c", "ggml-alloc.c"];

fn up(path: &str) -> Place {
    Place::Upstream(path.to_owned())
}

fn ggml(files: &[&str]) -> Vec<Place> {
    files.iter().map(|f| up(&format!("ggml/src/{f}"))).collect()
}

/// Where the headers with upstream's versions are generated.
fn versions() -> Place {
    Place::Generated("include".to_owned())
}

/// A unit with what all of upstream's code is compiled with.
fn unit(target: &Target, name: &'static str, lang: Lang, sources: Vec<Place>) -> Unit {
    Unit {
        name,
        lang,
        sources,
        includes: vec![up("ggml/include"), up("ggml/src"), versions()],
        defines: defines(target),
        flags: flags(target, lang),
        isa: false,
        openmp: false,
        level: OFTEN,
    }
}

fn seldom(unit: Unit) -> Unit {
    Unit {
        level: SELDOM,
        ..unit
    }
}

fn defines(target: &Target) -> Vec<String> {
    let mut defines = vec!["NDEBUG", "GGML_SCHED_MAX_COPIES=4"];
    defines.push(if target.os == Os::OpenBsd {
        "_XOPEN_SOURCE=700"
    } else {
        "_XOPEN_SOURCE=600"
    });
    match target.os {
        Os::Linux | Os::Android => defines.push("_GNU_SOURCE"),
        Os::MacOs | Os::AppleMobile => defines.push("_DARWIN_C_SOURCE"),
        Os::FreeBsd => defines.push("__BSD_VISIBLE"),
        Os::NetBsd => defines.push("_NETBSD_SOURCE"),
        Os::OpenBsd => defines.push("_BSD_SOURCE"),
        Os::Windows => defines.push("_CRT_SECURE_NO_WARNINGS"),
        Os::Other => {}
    }
    defines.into_iter().map(str::to_owned).collect()
}

fn flags(target: &Target, lang: Lang) -> Vec<String> {
    let flags: &[&str] = match (lang, target.is_msvc()) {
        (Lang::Asm, _) => &[],
        // Not /EHsc: its "c" lets the compiler drop handlers around extern "C" calls,
        // and ours catch what the abort callback throws through them.
        (Lang::Cpp, true) => &["/EHs", "/utf-8", "/bigobj", "/std:c++17"],
        (_, true) => &["/EHs", "/utf-8", "/bigobj", "/std:c11"],
        // The GNU dialects, as upstream's CMake chooses: strict ones turn off
        // contraction to fused multiply-add in C.
        (Lang::Cpp, false) => &["-std=gnu++17", "-pthread"],
        // Exceptions pass through the frames of C files when an assertion fails.
        (_, false) => &["-std=gnu11", "-fexceptions", "-pthread"],
    };
    flags.iter().map(|f| (*f).to_owned()).collect()
}

/// ggml's CPU backend: the only part compiled for more than the baseline.
fn cpu_units(target: &Target) -> [Unit; 2] {
    let (arch_dir, arch_repack) = match target.arch {
        Arch::X86_64 => (Some("x86"), true),
        Arch::Aarch64 => (Some("arm"), true),
        Arch::Riscv64 => (Some("riscv"), true),
        Arch::S390x => (Some("s390"), true),
        Arch::Powerpc64 => (Some("powerpc"), false),
        Arch::Loongarch64 => (Some("loongarch"), false),
        Arch::Wasm32 => (Some("wasm"), false),
        Arch::Other => (None, false),
    };
    let mut cpp = vec![
        "ops.cpp",
        "llamafile/sgemm.cpp",
        "binary-ops.cpp",
        "unary-ops.cpp",
        "repack.cpp",
        "tiled/tiled-kernel.cpp",
        "tiled/tiled.cpp",
        "vec.cpp",
        "amx/mmq.cpp",
        "amx/amx.cpp",
        "ggml-cpu.cpp",
        "traits.cpp",
        "hbm.cpp",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect::<Vec<_>>();
    let mut c = vec!["ggml-cpu.c".to_owned(), "quants.c".to_owned()];
    if let Some(dir) = arch_dir {
        c.insert(0, format!("arch/{dir}/quants.c"));
        if arch_repack {
            cpp.insert(1, format!("arch/{dir}/repack.cpp"));
        }
    }
    [(Lang::Cpp, cpp), (Lang::C, c)].map(|(lang, files)| {
        let sources = files
            .iter()
            .map(|f| up(&format!("ggml/src/ggml-cpu/{f}")))
            .collect();
        let mut unit = unit(target, "ggml-cpu", lang, sources);
        unit.includes.push(up("ggml/src/ggml-cpu"));
        unit.defines
            .extend(["GGML_USE_LLAMAFILE", "GGML_USE_CPU_REPACK"].map(str::to_owned));
        if target.is_apple() {
            unit.defines.push("GGML_USE_ACCELERATE".to_owned());
            unit.defines.extend(ACCELERATE.map(str::to_owned));
        }
        if arch_dir.is_none() {
            unit.defines.push("GGML_CPU_GENERIC".to_owned());
        }
        unit.isa = true;
        unit
    })
}

/// Operations that upstream computes more slowly in some cases: its C file calls ours, which know when
/// to call upstream's. And its products on AMX, which some compilers get wrong, by way of ours.
fn add_kernels(unit: &mut Unit) {
    match unit.lang {
        Lang::C => unit.defines.extend(
            [
                "ggml_compute_forward_mul_mat_tiled=lk_mul_mat",
                "ggml_tiled_wdata_size=lk_mul_mat_wdata_size",
                "ggml_compute_forward_flash_attn_ext=lk_flash_attn_ext",
            ]
            .map(str::to_owned),
        ),
        _ => {
            let own = |name| Place::Own(format!("src/sys/ggml/{name}"));
            replace(unit, "ggml/src/ggml-cpu/amx/mmq.cpp", own("amx.cpp"));
            unit.sources
                .extend(["matmul.cpp", "attention.cpp"].map(own));
        }
    }
}

/// OpenMP waits by itself, and other systems have other ways to sleep.
fn edit_threads(unit: &mut Unit) {
    let edited = Place::Edited(edit::CPU_THREADS.to_owned());
    if replace(unit, edit::CPU_THREADS, edited) {
        unit.includes.push(Place::Own("src/sys/ggml".to_owned()));
    }
}

/// Compiles another file in place of one of upstream's; tells whether the unit has that.
fn replace(unit: &mut Unit, upstream: &str, by: Place) -> bool {
    let upstream = up(upstream);
    let source = unit.sources.iter_mut().find(|source| **source == upstream);
    source.map(|source| *source = by).is_some()
}

const ACCELERATE: [&str; 2] = ["ACCELERATE_NEW_LAPACK", "ACCELERATE_LAPACK_ILP64"];

fn blas(target: &Target) -> Unit {
    let mut unit = unit(
        target,
        "ggml-blas",
        Lang::Cpp,
        ggml(&["ggml-blas/ggml-blas.cpp"]),
    );
    unit.defines.push("GGML_BLAS_USE_ACCELERATE".to_owned());
    unit.defines.extend(ACCELERATE.map(str::to_owned));
    unit
}

fn metal_units(plan: &mut Plan, target: &Target) {
    let files = |names: &[&str]| {
        names
            .iter()
            .map(|n| up(&format!("ggml/src/ggml-metal/{n}")))
            .collect()
    };
    for (lang, sources) in [
        (Lang::Cpp, files(metal::CPP_SOURCES)),
        (Lang::ObjC, files(metal::OBJC_SOURCES)),
        (
            Lang::Asm,
            metal::KERNELS
                .iter()
                .map(|k| Place::Generated(metal::asm_path(k)))
                .collect(),
        ),
    ] {
        let mut unit = unit(target, "ggml-metal", lang, sources);
        unit.defines.push("GGML_METAL_EMBED_LIBRARY".to_owned());
        plan.units.push(unit);
    }
}

fn llama(target: &Target, tree: &Tree) -> [Unit; 2] {
    let models = (0..tree.models.len().div_ceil(UNITY)).map(unity_path);
    let unities = CORE.iter().map(|(path, _)| (*path).to_owned());
    let unities = unities.chain(models).map(Place::Generated).collect();
    let texts = tree.llama.iter().filter(|name| is_text(name));
    let texts = texts.map(|name| up(&format!("src/{name}"))).collect();
    [
        seldom(unit(target, "llama", Lang::Cpp, unities)),
        unit(target, "llama", Lang::Cpp, texts),
    ]
    .map(|mut unit| {
        unit.includes = vec![up("include"), up("src"), up("ggml/include"), versions()];
        unit
    })
}

fn unity_path(n: usize) -> String {
    format!("unity/models-{n}.cpp")
}

/// Whether a file of the core belongs to something.
type Belongs = fn(&str) -> bool;

/// Files of the core that are compiled together, since most are small beside their headers.
const CORE: [(&str, Belongs); 3] = [
    ("unity/model.cpp", |name| {
        !is_text(name) && !is_context(name) && !is_memory(name)
    }),
    ("unity/memory.cpp", is_memory),
    ("unity/context.cpp", is_context),
];

fn is_text(name: &str) -> bool {
    ["unicode.cpp", "llama-vocab.cpp", "llama-sampler.cpp"].contains(&name)
}

fn is_context(name: &str) -> bool {
    ["llama-context.cpp", "llama-graph.cpp", "llama-batch.cpp"].contains(&name)
}

fn is_memory(name: &str) -> bool {
    name.starts_with("llama-kv-cache") || name.starts_with("llama-memory")
}

fn own_units(target: &Target) -> [Unit; 2] {
    let mut shim = seldom(unit(
        target,
        "shim",
        Lang::Cpp,
        vec![Place::Own("src/sys/shim.cpp".to_owned())],
    ));
    shim.includes.splice(
        0..0,
        [Place::Own("src/sys".to_owned()), up("include"), up("src")],
    );
    let cpu = unit(
        target,
        "cpu-check",
        Lang::C,
        vec![Place::Own("src/sys/cpu.c".to_owned())],
    );
    [shim, cpu]
}

fn generated(tree: &Tree) -> Vec<(String, String)> {
    let version = |prefix: &str, version: &str| {
        format!(
            "#pragma once\n#define {prefix}_VERSION \"{version}\"\n#define {prefix}_COMMIT \"{}\"\n",
            tree.commit
        )
    };
    let mut files = vec![
        (
            "include/ggml-version.h".to_owned(),
            version("GGML", &tree.ggml_version),
        ),
        (
            "include/llama-version.h".to_owned(),
            version("LLAMA", &tree.llama_version),
        ),
    ];
    let include = |file: &str| format!("#include \"{file}\"\n");
    for (n, models) in tree.models.chunks(UNITY).enumerate() {
        let text = models.iter().map(|m| include(&format!("models/{m}")));
        files.push((unity_path(n), text.collect()));
    }
    for (path, belongs) in CORE {
        let core = tree.llama.iter().filter(|name| belongs(name));
        files.push((path.to_owned(), core.map(|name| include(name)).collect()));
    }
    files
}

fn link(target: &Target, features: Features) -> Vec<Link> {
    let libs: &[Link] = match target.os {
        Os::Linux => &[
            Link::CxxStd("stdc++"),
            Link::Lib("m"),
            Link::Lib("dl"),
            Link::Lib("pthread"),
        ],
        // Static, so that a program is one file and does not have to carry libc++_shared.so.
        Os::Android => &[
            Link::CxxStd("c++_static"),
            Link::Lib("c++abi"),
            Link::Lib("m"),
            Link::Lib("dl"),
        ],
        Os::MacOs | Os::AppleMobile => &[
            Link::CxxStd("c++"),
            Link::Framework("Accelerate"),
            Link::Framework("Foundation"),
            Link::Framework("Metal"),
            Link::Framework("MetalKit"),
        ],
        Os::FreeBsd | Os::OpenBsd => &[Link::CxxStd("c++"), Link::Lib("m"), Link::Lib("pthread")],
        Os::NetBsd => &[Link::CxxStd("stdc++"), Link::Lib("m"), Link::Lib("pthread")],
        Os::Windows if target.is_msvc() => &[Link::Lib("advapi32")],
        Os::Windows => &[Link::CxxStd("stdc++"), Link::Lib("advapi32")],
        Os::Other => &[Link::CxxStd("stdc++")],
    };
    let mut libs = libs.to_vec();
    if features.rpc && target.os == Os::Windows {
        libs.push(Link::Lib("ws2_32"));
    }
    libs
}
