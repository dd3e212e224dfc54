//! The build script's course: read cargo's environment, find, plan, compile, link.

use std::env;
use std::path::{Path, PathBuf};

use crate::bindings;
use crate::compile::{self, Job, Roots};
use crate::isa::{self, Wishes};
use crate::plan::{self, Features, Link, Plan};
use crate::source::{self, Upstream};
use crate::target::Target;

/// Name of the archive with everything in it.
const ARCHIVE: &str = "llamakit_native";

pub fn run() -> Result<(), String> {
    for var in [
        "LLAMA_CPP_DIR",
        "LLAMAKIT_CPU",
        "LLAMAKIT_COMPILE",
        "DOCS_RS",
    ] {
        println!("cargo::rerun-if-env-changed={var}");
    }
    for path in [
        "vendor",
        "src/sys/shim.cpp",
        "src/sys/shim.h",
        "src/sys/cpu.c",
        "src/sys/ggml",
    ] {
        println!("cargo::rerun-if-changed={path}");
    }
    let own = PathBuf::from(var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(var("OUT_DIR")?);
    if env::var_os("DOCS_RS").is_some() {
        return write_info(&out, &Info::default());
    }
    let target = Target::new(
        &var("TARGET")?,
        &var("CARGO_CFG_TARGET_ARCH")?,
        &var("CARGO_CFG_TARGET_OS")?,
        &env::var("CARGO_CFG_TARGET_ENV").unwrap_or_default(),
    );
    let choice = choose_isa(&target)?;
    let upstream = source::find(&own, &out)?;
    let features = Features {
        rpc: cfg!(feature = "rpc"),
        openmp: cfg!(feature = "openmp"),
    };
    let plan = plan::plan(&target, features, &choice, &upstream.tree);
    for warning in &plan.warnings {
        println!("cargo::warning={warning}");
    }
    if upstream.origin == source::Origin::Dir {
        for dir in ["include", "src", "ggml"] {
            println!(
                "cargo::rerun-if-changed={}",
                upstream.root.join(dir).display()
            );
        }
    }
    check_headers(&upstream, &own, &out)?;
    let mut info = info(&plan, &upstream, &target);
    let roots = Roots {
        upstream: upstream.root,
        own,
        out,
    };
    match env::var("LLAMAKIT_COMPILE").as_deref() {
        Ok("none") => {
            let text = format!(
                "origin: {:?}\nupstream: {}\n{plan:#?}\n",
                upstream.origin,
                roots.upstream.display()
            );
            compile::write(&roots.out.join("plan.txt"), &text)?;
        }
        Ok("") | Err(_) => {
            let job = Job {
                plan: &plan,
                target: &target,
                roots: &roots,
                host: None,
            };
            job.compile(ARCHIVE)?;
            info.cpu_features = job.probe_isa()?;
            print_link(&job);
        }
        Ok(other) => {
            return Err(format!(
                "LLAMAKIT_COMPILE={other} is not known; the only value is none"
            ));
        }
    }
    write_info(&roots.out, &info)
}

/// The bindings fit one set of headers; feature `bindgen` makes them for any other.
#[cfg(not(feature = "bindgen"))]
fn check_headers(upstream: &Upstream, own: &Path, _out: &Path) -> Result<(), String> {
    if upstream.origin != source::Origin::Dir {
        return Ok(());
    }
    let file = own.join("src/sys/headers.hash");
    let wanted = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    let found = bindings::hash_headers(&upstream.root)?;
    if found != wanted.trim() {
        return Err(format!(
            "the public headers of LLAMA_CPP_DIR={} are not those that llamakit's bindings were made from \
             (hash {found}, not {}): use a tree of the same version, or enable feature `bindgen`, \
             which makes the bindings anew and needs libclang",
            upstream.root.display(),
            wanted.trim()
        ));
    }
    Ok(())
}

/// Makes the bindings that `src/sys` includes instead of the checked-in ones.
#[cfg(feature = "bindgen")]
fn check_headers(upstream: &Upstream, own: &Path, out: &Path) -> Result<(), String> {
    let text = bindings::generate(&own.join("src/sys/shim.h"), &upstream.root)?;
    compile::write(&out.join("bindings.rs"), &text)
}

fn var(name: &str) -> Result<String, String> {
    env::var(name).map_err(|e| format!("{name}: {e}"))
}

fn choose_isa(target: &Target) -> Result<isa::Choice, String> {
    let over = env::var("LLAMAKIT_CPU")
        .ok()
        .filter(|value| !value.is_empty());
    let rustflags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    isa::choose(
        target,
        &Wishes {
            over: over.as_deref(),
            rustflags: &rustflags.split('\x1f').collect::<Vec<_>>(),
            target_features: &features.split(',').collect::<Vec<_>>(),
            host_is_target: env::var("HOST").is_ok_and(|host| host == target.triple),
        },
    )
}

fn print_link(job: &Job) {
    println!(
        "cargo::rustc-link-search=native={}",
        job.roots.out.display()
    );
    println!("cargo::rustc-link-lib=static={ARCHIVE}");
    println!("cargo::rerun-if-env-changed=CXXSTDLIB");
    for item in &job.plan.link {
        match item {
            Link::Lib(name) => println!("cargo::rustc-link-lib={name}"),
            Link::Framework(name) => println!("cargo::rustc-link-lib=framework={name}"),
            Link::CxxStd(name) => {
                let own = env::var("CXXSTDLIB").ok().filter(|value| !value.is_empty());
                println!("cargo::rustc-link-lib={}", own.as_deref().unwrap_or(name));
            }
        }
    }
    if job.plan.units.iter().any(|unit| unit.openmp) && !job.target.is_msvc() {
        println!(
            "cargo::rustc-link-lib={}",
            if job.is_clang() { "omp" } else { "gomp" }
        );
    }
}

/// What `build_info()` says.
#[derive(Default)]
struct Info {
    upstream_version: String,
    ggml_version: String,
    upstream_commit: String,
    backends: Vec<&'static str>,
    cpu_features: Vec<&'static str>,
    cpu_features_known: Vec<&'static str>,
    native: bool,
}

fn info(plan: &Plan, upstream: &Upstream, target: &Target) -> Info {
    Info {
        upstream_version: upstream.tree.llama_version.clone(),
        ggml_version: upstream.tree.ggml_version.clone(),
        upstream_commit: upstream.tree.commit.clone(),
        backends: plan.backends.clone(),
        cpu_features: plan.isa.features.clone(),
        cpu_features_known: isa::features(target.arch).iter().map(|f| f.name).collect(),
        native: plan.isa.native,
    }
}

/// Writes the constants that the library includes.
fn write_info(out: &Path, info: &Info) -> Result<(), String> {
    let text = format!(
        "/// Version of llama.cpp; empty in documentation builds.\n\
         pub(crate) const UPSTREAM_VERSION: &str = {:?};\n\
         /// Version of ggml; empty in documentation builds.\n\
         pub(crate) const GGML_VERSION: &str = {:?};\n\
         /// Commit of llama.cpp, or `unknown` for a tree of the user's own.\n\
         pub(crate) const UPSTREAM_COMMIT: &str = {:?};\n\
         /// Compiled backends, the preferred first.\n\
         pub(crate) const BACKENDS: &[&str] = &{:?};\n\
         /// Instruction sets that the CPU backend was compiled for, beyond the target's baseline.\n\
         pub(crate) const CPU_FEATURES: &[&str] = &{:?};\n\
         /// All features that a CPU of this target can be asked about.\n\
         pub(crate) const CPU_FEATURES_KNOWN: &[&str] = &{:?};\n\
         /// Whether it was compiled for exactly the build machine.\n\
         pub(crate) const NATIVE: bool = {};\n",
        info.upstream_version,
        info.ggml_version,
        info.upstream_commit,
        info.backends,
        info.cpu_features,
        info.cpu_features_known,
        info.native
    );
    compile::write(&out.join("build_info.rs"), &text)
}
