//! Carries out a plan with the `cc` crate: writes the generated files, compiles
//! what changed, makes one archive.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{fs, io, thread};

use crate::isa;
use crate::plan::{Lang, Place, Plan, Unit};
use crate::target::Target;

/// The folders that a [`Place`] can lie in.
pub struct Roots {
    pub upstream: PathBuf,
    pub own: PathBuf,
    pub out: PathBuf,
}

impl Roots {
    pub fn path(&self, place: &Place) -> PathBuf {
        match place {
            Place::Upstream(path) => self.upstream.join(path),
            Place::Own(path) => self.own.join(path),
            Place::Generated(path) => self.out.join(path),
        }
    }
}

/// Writes the files that the plan generates, leaving those that have not changed.
pub fn write_generated(plan: &Plan, roots: &Roots) -> io::Result<()> {
    for (path, text) in &plan.generated {
        write_if_changed(&roots.out.join(path), text)?;
    }
    Ok(())
}

/// Writes a file unless it already says the same.
pub fn write_if_changed(path: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(path, text)
}

/// Compiles every unit and puts the objects into one archive, `libNAME.a`.
///
/// Units run side by side; `cc` and cargo's job server bound how many compilers run.
pub fn compile(plan: &Plan, target: &Target, roots: &Roots, name: &str) -> Result<(), String> {
    let tree =
        hash_tree(&roots.upstream).map_err(|e| format!("{}: {e}", roots.upstream.display()))?;
    let results: Vec<Result<Vec<PathBuf>, String>> = thread::scope(|scope| {
        let running: Vec<_> = plan
            .units
            .iter()
            .map(|unit| scope.spawn(move || compile_unit(plan, unit, target, roots, tree)))
            .collect();
        running
            .into_iter()
            .map(|unit| {
                unit.join()
                    .unwrap_or_else(|_| Err("a compile thread panicked".to_owned()))
            })
            .collect()
    });
    let mut objects = Vec::new();
    for result in results {
        objects.extend(result?);
    }
    // Made anew: members of files that are gone must not stay in it.
    let archive = roots.out.join(if target.is_msvc() {
        format!("{name}.lib")
    } else {
        format!("lib{name}.a")
    });
    match fs::remove_file(&archive) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(format!("{}: {e}", archive.display()));
        }
        _ => {}
    }
    let mut build = cc::Build::new();
    build
        .cargo_metadata(false)
        .out_dir(&roots.out)
        .objects(objects);
    build.try_compile(name).map_err(|e| e.to_string())
}

/// The compiler call of a unit, without its sources.
fn build_for(plan: &Plan, unit: &Unit, target: &Target, roots: &Roots) -> cc::Build {
    let mut build = cc::Build::new();
    build
        .cpp(unit.lang == Lang::Cpp)
        .cargo_metadata(false)
        .warnings(false)
        // Whatever the profile: a model that runs at a tenth of its speed is of no use in debug builds either.
        .opt_level(3)
        .debug(false)
        .includes(unit.includes.iter().map(|dir| roots.path(dir)));
    for define in &unit.defines {
        let (name, value) = define
            .split_once('=')
            .map_or((define.as_str(), None), |(n, v)| (n, Some(v)));
        build.define(name, value);
    }
    for flag in &unit.flags {
        build.flag(flag);
    }
    if unit.isa {
        for flag in &plan.isa.flags {
            build.flag(flag);
        }
        for define in &plan.isa.defines {
            build.define(define, None);
        }
    }
    if !target.is_msvc() {
        build.flag_if_supported("-fvisibility=hidden");
        // Assertions name their file: keep the builder's paths out of programs and their messages.
        for (root, short) in [
            (&roots.own, "llamakit"),
            (&roots.out, "llamakit/build"),
            (&roots.upstream, "llama.cpp"),
        ] {
            build.flag_if_supported(format!("-ffile-prefix-map={}={short}", root.display()));
        }
    }
    if unit.openmp {
        let clang = build.get_compiler().is_like_clang();
        build.flag(if target.is_msvc() {
            "/openmp"
        } else if clang {
            "-fopenmp=libomp"
        } else {
            "-fopenmp"
        });
    }
    build
}

fn compile_unit(
    plan: &Plan,
    unit: &Unit,
    target: &Target,
    roots: &Roots,
    tree: u64,
) -> Result<Vec<PathBuf>, String> {
    let mut build = build_for(plan, unit, target, roots);
    let dir = roots
        .out
        .join("obj")
        .join(format!("{}-{:?}", unit.name, unit.lang).to_lowercase());
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    build
        .out_dir(&dir)
        .files(unit.sources.iter().map(|s| roots.path(s)));

    // Nothing that went into these objects has changed: a change to our own few files
    // must not recompile upstream's many.
    let stamp = dir.join("stamp");
    let now = stamp_of(&build, unit, roots, tree).map_err(|e| format!("{}: {e}", unit.name))?;
    if let Ok(old) = fs::read_to_string(&stamp) {
        let mut lines = old.lines();
        let objects: Vec<PathBuf> = lines.by_ref().skip(1).map(PathBuf::from).collect();
        if old.lines().next() == Some(now.as_str()) && objects.iter().all(|o| o.is_file()) {
            return Ok(objects);
        }
    }
    let objects = build
        .try_compile_intermediates()
        .map_err(|e| e.to_string())?;
    let mut text = now;
    for object in &objects {
        text.push('\n');
        text.push_str(&object.to_string_lossy());
    }
    fs::write(&stamp, text).map_err(|e| format!("{}: {e}", stamp.display()))?;
    Ok(objects)
}

/// Hash of the compiler call and of everything it reads.
fn stamp_of(build: &cc::Build, unit: &Unit, roots: &Roots, tree: u64) -> io::Result<String> {
    let mut hasher = DefaultHasher::new();
    tree.hash(&mut hasher);
    let compiler = build.get_compiler();
    compiler.path().hash(&mut hasher);
    compiler.args().hash(&mut hasher);
    for place in unit.sources.iter().chain(&unit.includes) {
        format!("{place:?}").hash(&mut hasher);
        if !matches!(place, Place::Upstream(_)) {
            hash_path(&roots.path(place), &mut hasher)?;
        }
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// Hash of all that is compiled or included from upstream.
fn hash_tree(root: &Path) -> io::Result<u64> {
    let mut hasher = DefaultHasher::new();
    for dir in ["include", "src", "ggml/include", "ggml/src"] {
        hash_path(&root.join(dir), &mut hasher)?;
    }
    Ok(hasher.finish())
}

fn hash_path(path: &Path, hasher: &mut DefaultHasher) -> io::Result<()> {
    if path.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(path)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        entries
            .iter()
            .try_for_each(|entry| hash_path(&entry.path(), hasher))
    } else {
        path.hash(hasher);
        fs::read(path)?.hash(hasher);
        Ok(())
    }
}

/// Asks the compiler which features it compiles ggml's CPU backend for.
pub fn probe_isa(plan: &Plan, target: &Target, roots: &Roots) -> Result<Vec<&'static str>, String> {
    let Some(unit) = plan
        .units
        .iter()
        .find(|unit| unit.isa && unit.lang == Lang::C)
    else {
        return Ok(Vec::new());
    };
    let source = roots.out.join("isa-probe.c");
    write_if_changed(&source, &isa::probe(target.arch))
        .map_err(|e| format!("{}: {e}", source.display()))?;
    let expanded = build_for(plan, unit, target, roots)
        .file(&source)
        .try_expand()
        .map_err(|e| e.to_string())?;
    Ok(isa::probed(
        target.arch,
        &String::from_utf8_lossy(&expanded),
    ))
}
