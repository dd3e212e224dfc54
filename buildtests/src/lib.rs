//! Tests of the build: the plan, dependents, packaging, cross compilation.
//! The parts of the build script are shared by path; what follows helps the tests.

#![allow(
    missing_docs,
    reason = "the shared parts are a program's, not a library's"
)]

#[path = "../../build/bindings.rs"]
pub mod bindings;
#[path = "../../build/compile.rs"]
pub mod compile;
#[path = "../../build/edit.rs"]
pub mod edit;
#[path = "../../build/isa.rs"]
pub mod isa;
#[path = "../../build/metal.rs"]
pub mod metal;
#[path = "../../xtask/src/package.rs"]
pub mod package;
#[path = "../../build/plan.rs"]
pub mod plan;
#[path = "../../build/source.rs"]
pub mod source;
#[path = "../../build/target.rs"]
pub mod target;
#[path = "../../xtask/src/vendor.rs"]
pub mod vendor;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use isa::Choice;
use plan::{Features, Place, Plan, Tree};
use target::Target;

/// The repository's root.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// Runs a command to its end.
///
/// # Panics
/// When it fails, with what it wrote to stderr.
#[track_caller]
pub fn succeed(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Upstream's tree, found as the build script finds it.
pub fn upstream() -> Result<source::Upstream, String> {
    source::find(&root(), &root())
}

/// A target by its triple, for those that the plan is tested for.
pub fn target(triple: &str) -> Target {
    let arch = triple.split('-').next().unwrap_or_default();
    let has = |part: &str| triple.contains(part);
    let os = match () {
        () if has("android") => "android",
        () if has("linux") => "linux",
        () if has("darwin") => "macos",
        () if has("ios") => "ios",
        () => "windows",
    };
    let env = match () {
        () if has("msvc") => "msvc",
        () if has("musl") => "musl",
        () => "gnu",
    };
    Target::new(triple, arch, os, env)
}

/// The default plan of a target, for the pinned tree.
pub fn plan_for(triple: &str, features: Features) -> Plan {
    let upstream = upstream().expect("the pinned sources");
    planned(triple, features, &upstream.tree)
}

/// The default plan of a target, for a given tree.
pub fn planned(triple: &str, features: Features, tree: &Tree) -> Plan {
    let target = target(triple);
    let choice = choice(&target);
    plan::plan(&target, features, &choice, tree)
}

/// What a plain `cargo build` chooses.
pub fn choice(target: &Target) -> Choice {
    let wishes = isa::Wishes {
        over: None,
        rustflags: &[],
        target_features: &[],
        host_is_target: false,
    };
    isa::choose(target, &wishes).expect("the default is always known")
}

/// Upstream's sources in a plan, unity files resolved.
pub fn sources(plan: &Plan) -> Vec<String> {
    let mut all = Vec::new();
    for source in plan.units.iter().flat_map(|unit| &unit.sources) {
        match source {
            Place::Upstream(path) | Place::Edited(path) => all.push(path.clone()),
            Place::Generated(path) => {
                let text = plan
                    .generated
                    .iter()
                    .find(|(p, _)| p == path)
                    .map_or("", |(_, text)| text);
                let included = text.lines().filter_map(metal::local_include);
                all.extend(included.map(|name| format!("src/{name}")));
            }
            Place::Own(_) => {}
        }
    }
    all
}
