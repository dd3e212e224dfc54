//! Feature `rpc`: without it, nothing of the remote backend is in the objects.

use std::fs;
use std::path::Path;
use std::process::Command;

use llamakit_buildtests::plan::{Features, Place, Plan, Unit};
use llamakit_buildtests::{planned, succeed, upstream};

/// Symbols and texts of the objects of one unit, compiled as the plan says but unoptimised.
fn objects(plan: &Plan, name: &str, folder: &str) -> Vec<u8> {
    let root = upstream().unwrap().root;
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    fs::create_dir_all(&dir).unwrap();
    let units: Vec<&Unit> = plan.units.iter().filter(|unit| unit.name == name).collect();
    let mut all = Vec::new();
    for (unit, source) in units
        .iter()
        .flat_map(|unit| unit.sources.iter().map(move |source| (unit, source)))
    {
        let upstreams = |place: &Place| {
            if let Place::Upstream(path) = place {
                Some(root.join(path))
            } else {
                None
            }
        };
        let object = dir.join("object.o");
        let mut compiler = Command::new("c++");
        compiler
            .args(&unit.flags)
            .args(["-O0", "-c", "-o"])
            .arg(&object);
        compiler.args(unit.defines.iter().map(|d| format!("-D{d}")));
        for dir in unit.includes.iter().filter_map(upstreams) {
            compiler.arg("-I").arg(dir);
        }
        succeed(compiler.arg(upstreams(source).unwrap()));
        all.extend(fs::read(&object).unwrap());
    }
    assert!(!all.is_empty(), "no unit is named {name}");
    all
}

fn contains(objects: &[u8], text: &str) -> bool {
    objects
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[test]
fn the_remote_backend_is_registered_only_with_its_feature() {
    let tree = upstream().unwrap().tree;
    let triple = "x86_64-unknown-linux-gnu";
    let with = planned(
        triple,
        Features {
            rpc: true,
            openmp: false,
        },
        &tree,
    );
    let without = planned(triple, Features::default(), &tree);
    assert!(contains(
        &objects(&with, "ggml-rpc", "rpc"),
        "ggml_backend_rpc_reg"
    ));
    assert!(contains(
        &objects(&with, "ggml", "reg-rpc"),
        "ggml_backend_rpc_reg"
    ));
    let plain = objects(&without, "ggml", "reg");
    assert!(
        contains(&plain, "ggml_backend_cpu_reg"),
        "the objects were not understood"
    );
    assert!(!contains(&plain, "ggml_backend_rpc"));
}
