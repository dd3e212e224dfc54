//! `cargo xtask vendor`: what the published package carries of upstream's tree, which is
//! what the plans of the supported targets compile and include, and the notices.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::isa::Choice;
use crate::plan::{self, Features, Place, Tree};
use crate::target::Target;
use crate::{bindings, metal, source, upstream};

/// Targets whose sources are carried: architecture, system and C library of each.
const TARGETS: [(&str, &str, &str); 9] = [
    ("x86_64", "linux", "gnu"),
    ("aarch64", "linux", "gnu"),
    ("riscv64", "linux", "gnu"),
    ("powerpc64", "linux", "gnu"),
    ("s390x", "linux", "gnu"),
    ("loongarch64", "linux", "gnu"),
    ("aarch64", "macos", ""),
    ("x86_64", "windows", "msvc"),
    ("aarch64", "android", ""),
];

/// Files that are read but neither compiled nor included: notices, and where versions stand.
const ALSO: [&str; 3] = ["LICENSE", "CMakeLists.txt", "ggml/CMakeLists.txt"];

/// Fills `dir` anew.
pub fn run(dir: &Path) -> Result<(), String> {
    let upstream = upstream()?;
    if upstream.root == dir {
        return Err(format!(
            "{} is the tree being copied; remove it first",
            dir.display()
        ));
    }
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    }
    let files = files(&upstream.root, &upstream.tree);
    for file in &files {
        let to = dir.join(file);
        let parent = to.parent().unwrap_or(dir);
        fs::create_dir_all(parent)
            .and_then(|()| fs::copy(upstream.root.join(file), &to))
            .map_err(|e| format!("{}: {e}", to.display()))?;
    }
    let commit = dir.join(source::COMMIT_FILE);
    fs::write(&commit, format!("{}\n", upstream.tree.commit))
        .map_err(|e| format!("{}: {e}", commit.display()))
}

/// Paths in upstream's tree that are needed.
pub fn files(root: &Path, tree: &Tree) -> BTreeSet<String> {
    let mut files: BTreeSet<String> = ALSO
        .iter()
        .chain(bindings::HEADERS)
        .map(|f| (*f).to_owned())
        .collect();
    let mut folders = BTreeSet::new();
    let mut open: Vec<String> = Vec::new();
    let mut joined: BTreeSet<String> = BTreeSet::new();
    for (arch, os, env) in TARGETS {
        let target = Target::new(&format!("{arch}-{os}"), arch, os, env);
        let plan = plan::plan(
            &target,
            Features {
                rpc: true,
                openmp: true,
            },
            &Choice::Baseline,
            tree,
        );
        for unit in &plan.units {
            let upstreams = |places: &[Place]| -> Vec<String> {
                let path = |p: &Place| {
                    if let Place::Upstream(path) | Place::Edited(path) = p {
                        Some(path.clone())
                    } else {
                        None
                    }
                };
                places.iter().filter_map(path).collect()
            };
            open.extend(upstreams(&unit.sources));
            folders.extend(upstreams(&unit.includes));
        }
        let texts = plan.generated.iter().map(|(_, text)| text);
        joined.extend(texts.flat_map(|text| text.lines().filter_map(included).map(str::to_owned)));
    }
    // Sources that are compiled together are named by the files that join them.
    let places = |name| {
        folders
            .iter()
            .filter_map(move |folder| resolved(root, folder, name))
    };
    open.extend(joined.iter().flat_map(|name| places(name)));
    let kernels = "ggml/src/ggml-metal/kernels";
    open.extend(
        metal::KERNELS
            .iter()
            .map(|k| format!("{kernels}/{k}.metal")),
    );
    open.extend(bindings::HEADERS.iter().map(|h| (*h).to_owned()));
    folders.extend([kernels.to_owned(), "ggml/src/ggml-metal".to_owned()]);

    while let Some(file) = open.pop() {
        files.insert(file.clone());
        let text = fs::read(root.join(&file)).unwrap_or_default();
        let own = file.rsplit_once('/').map_or("", |(dir, _)| dir).to_owned();
        for name in String::from_utf8_lossy(&text).lines().filter_map(included) {
            for folder in std::iter::once(&own).chain(&folders) {
                let Some(found) = resolved(root, folder, name) else {
                    continue;
                };
                if !files.contains(&found) {
                    files.insert(found.clone());
                    open.push(found);
                }
            }
        }
    }
    files
}

/// The file that a line includes, in quotes or brackets.
fn included(line: &str) -> Option<&str> {
    let name = line
        .trim()
        .strip_prefix('#')?
        .trim_start()
        .strip_prefix("include")?
        .trim_start();
    name.strip_prefix(['"', '<'])?.split(['"', '>']).next()
}

/// `folder/name` as a path without `..`, if it is a file of the tree.
fn resolved(root: &Path, folder: &str, name: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|p| !p.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    root.join(&path).is_file().then_some(path)
}
