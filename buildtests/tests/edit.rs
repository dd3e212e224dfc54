//! The edits of upstream's sources: they fit the pinned version, and stop the build where they do not.

use std::fs;
use std::path::Path;

use llamakit_buildtests::compile::{Job, Roots};
use llamakit_buildtests::edit::{self, CPU_THREADS};
use llamakit_buildtests::plan::{Features, Place, Plan};
use llamakit_buildtests::{plan_for, root, target, upstream};

const LINUX: &str = "x86_64-unknown-linux-gnu";

fn edited(plan: &Plan) -> Vec<&str> {
    let sources = plan.units.iter().flat_map(|unit| &unit.sources);
    sources
        .filter_map(|source| match source {
            Place::Edited(path) => Some(path.as_str()),
            _ => None,
        })
        .collect()
}

fn pinned(file: &str) -> String {
    fs::read_to_string(upstream().unwrap().root.join(file)).unwrap()
}

#[test]
fn ggmls_own_threads_are_edited_where_the_kernel_has_futexes() {
    for triple in [LINUX, "aarch64-unknown-linux-musl", "aarch64-linux-android"] {
        let plan = plan_for(triple, Features::default());
        assert_eq!(edited(&plan), [CPU_THREADS], "{triple}");
        let openmp = Features {
            openmp: true,
            ..Features::default()
        };
        assert!(edited(&plan_for(triple, openmp)).is_empty(), "{triple}");
    }
    for triple in [
        "aarch64-apple-darwin",
        "aarch64-apple-ios",
        "x86_64-pc-windows-msvc",
    ] {
        assert!(
            edited(&plan_for(triple, Features::default())).is_empty(),
            "{triple}"
        );
    }
}

#[test]
fn every_edit_finds_its_place_in_the_pinned_sources() {
    for file in edited(&plan_for(LINUX, Features::default())) {
        let original = pinned(file);
        let edited = edit::apply(file, &original).unwrap();
        for edit in edit::edits(file) {
            assert!(edited.contains(edit.put), "{}", edit.name);
        }
        assert!(edited.contains("lk_barrier_wake"), "{file}");
    }
}

#[test]
fn a_place_that_is_gone_or_there_twice_is_named() {
    let original = pinned(CPU_THREADS);
    for edit in edit::edits(CPU_THREADS) {
        for (other, times) in [("", "0 times"), (&edit.find.repeat(2), "2 times")] {
            let changed = original.replace(edit.find, other);
            let message = edit::apply(CPU_THREADS, &changed).unwrap_err();
            for part in [CPU_THREADS, edit.name, times, "openmp"] {
                assert!(message.contains(part), "{part}: {message}");
            }
        }
    }
}

#[test]
fn a_build_of_changed_sources_stops_before_it_compiles() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("changed-sources");
    let file = dir.join("upstream").join(CPU_THREADS);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(
        &file,
        pinned(CPU_THREADS).replace("n_barrier_passed", "n_passed"),
    )
    .unwrap();
    let plan = plan_for(LINUX, Features::default());
    let target = target(LINUX);
    let job = Job {
        plan: &plan,
        target: &target,
        roots: &Roots {
            upstream: dir.join("upstream"),
            own: root(),
            out: dir.join("out"),
        },
        host: Some(LINUX),
    };
    let message = job.compile("changed").unwrap_err();
    assert!(message.contains("count of sleeping threads"), "{message}");
    assert!(!dir.join("out/obj").exists());
}
