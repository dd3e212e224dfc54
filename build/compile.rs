//! Carries out a plan with the `cc` crate: writes the generated files, compiles
//! what changed, makes one archive.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{fs, io, thread};

use crate::plan::{Lang, Place, Plan, Unit};
use crate::target::Target;
use crate::{edit, isa, metal};

/// The folders that a [`Place`] can lie in.
pub struct Roots {
    pub upstream: PathBuf,
    pub own: PathBuf,
    pub out: PathBuf,
}

impl Roots {
    fn path(&self, place: &Place) -> PathBuf {
        match place {
            Place::Upstream(path) => self.upstream.join(path),
            Place::Edited(path) => self.out.join("edited").join(path),
            Place::Own(path) => self.own.join(path),
            Place::Generated(path) => self.out.join(path),
        }
    }
}

/// A plan and where to carry it out.
pub struct Job<'a> {
    pub plan: &'a Plan,
    pub target: &'a Target,
    pub roots: &'a Roots,
    /// The build machine's triple, where cargo's environment does not tell it.
    pub host: Option<&'a str>,
}

impl Job<'_> {
    /// Compiles every unit and puts the objects into one archive named `name`.
    ///
    /// Units run side by side; `cc` and cargo's job server bound how many compilers run.
    pub fn compile(&self, name: &str) -> Result<(), String> {
        self.write_generated()?;
        let root = &self.roots.upstream;
        let tree = hash_tree(root).map_err(|e| at(root, &e))?;
        let results: Vec<Result<Vec<PathBuf>, String>> = thread::scope(|scope| {
            let start = |unit| scope.spawn(move || self.compile_unit(unit, tree));
            let running: Vec<_> = self.plan.units.iter().map(start).collect();
            let finish = |unit: thread::ScopedJoinHandle<_>| {
                unit.join()
                    .unwrap_or_else(|_| Err("a compile thread panicked".to_owned()))
            };
            running.into_iter().map(finish).collect()
        });
        let mut objects = Vec::new();
        for result in results {
            objects.extend(result?);
        }
        // Made anew: members of files that are gone must not stay in it.
        let archive = if self.target.is_msvc() {
            format!("{name}.lib")
        } else {
            format!("lib{name}.a")
        };
        let archive = self.roots.out.join(archive);
        match fs::remove_file(&archive) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(&archive, &e)),
            _ => {}
        }
        let mut build = self.cc();
        build.out_dir(&self.roots.out).objects(objects);
        build.try_compile(name).map_err(|e| e.to_string())
    }

    /// Asks the compiler which features it compiles ggml's CPU backend for.
    pub fn probe_isa(&self) -> Result<Vec<&'static str>, String> {
        let Some(unit) = self
            .plan
            .units
            .iter()
            .find(|unit| unit.isa && unit.lang == Lang::C)
        else {
            return Ok(Vec::new());
        };
        let source = self.roots.out.join("isa-probe.c");
        write(&source, &isa::probe(self.target.arch))?;
        let expanded = self
            .compiler(unit)
            .file(&source)
            .out_dir(&self.roots.out)
            .try_expand()
            .map_err(|e| e.to_string())?;
        Ok(isa::probed(
            self.target.arch,
            &String::from_utf8_lossy(&expanded),
        ))
    }

    /// Whether the C++ compiler is Clang, whose OpenMP runtime has another name.
    pub fn is_clang(&self) -> bool {
        self.cc().cpp(true).get_compiler().is_like_clang()
    }

    fn write_generated(&self) -> Result<(), String> {
        let out = &self.roots.out;
        for (path, text) in &self.plan.generated {
            write(&out.join(path), text)?;
        }
        for source in self.plan.units.iter().flat_map(|unit| &unit.sources) {
            if let Place::Edited(path) = source {
                let original = self.roots.upstream.join(path);
                let text = fs::read_to_string(&original).map_err(|e| at(&original, &e))?;
                write(&self.roots.path(source), &edit::apply(path, &text)?)?;
            }
        }
        if self.plan.units.iter().any(|unit| unit.lang == Lang::Asm) {
            let read = |path: &str| fs::read_to_string(self.roots.upstream.join(path)).ok();
            for kernel in metal::KERNELS {
                let text = out.join(metal::text_path(kernel));
                write(&text, &metal::embedded(kernel, &read)?)?;
                write(
                    &out.join(metal::asm_path(kernel)),
                    &metal::assembler(kernel, &text.to_string_lossy()),
                )?;
            }
        }
        Ok(())
    }

    fn cc(&self) -> cc::Build {
        let mut build = cc::Build::new();
        build
            .cargo_metadata(false)
            .warnings(false)
            // Units have levels of their own; the profile's is not asked for.
            .opt_level(0)
            .debug(false);
        if let Some(host) = self.host {
            build.host(host).target(&self.target.triple);
        }
        build
    }

    /// The compiler call of a unit, without its sources.
    fn compiler(&self, unit: &Unit) -> cc::Build {
        let mut build = self.cc();
        build
            .opt_level(unit.level)
            .cpp(unit.lang == Lang::Cpp)
            .includes(unit.includes.iter().map(|dir| self.roots.path(dir)));
        let isa = &self.plan.isa;
        for define in unit
            .defines
            .iter()
            .chain(isa.defines.iter().filter(|_| unit.isa))
        {
            let (name, value) = define
                .split_once('=')
                .map_or((define.as_str(), None), |(n, v)| (n, Some(v)));
            build.define(name, value);
        }
        for flag in unit
            .flags
            .iter()
            .chain(isa.flags.iter().filter(|_| unit.isa))
        {
            build.flag(flag);
        }
        if !self.target.is_msvc() {
            build.flag_if_supported("-fvisibility=hidden");
            // Assertions name their file: keep the builder's paths out of programs and their messages.
            let places = || unit.sources.iter().chain(&unit.includes);
            let mut map = |root: &Path, short: &str| {
                build.flag_if_supported(format!("-ffile-prefix-map={}={short}", root.display()));
            };
            if places().any(|place| matches!(place, Place::Own(_))) {
                map(&self.roots.own, "llamakit");
            }
            if places().any(|place| matches!(place, Place::Generated(_))) {
                map(&self.roots.out, "llamakit/build");
            }
            map(&self.roots.upstream, "llama.cpp");
        }
        if unit.openmp {
            build.flag(if self.target.is_msvc() {
                "/openmp"
            } else {
                "-fopenmp"
            });
        }
        build
    }

    fn compile_unit(&self, unit: &Unit, tree: u64) -> Result<Vec<PathBuf>, String> {
        let mut build = self.compiler(unit);
        let dir = format!("{}-{:?}-o{}", unit.name, unit.lang, unit.level).to_lowercase();
        let dir = self.roots.out.join("obj").join(dir);
        fs::create_dir_all(&dir).map_err(|e| at(&dir, &e))?;
        build
            .out_dir(&dir)
            .files(unit.sources.iter().map(|s| self.roots.path(s)));

        // Nothing that went into these objects has changed: a change to our own few files
        // must not recompile upstream's many.
        let stamp = dir.join("stamp");
        let now = self
            .stamp(&build, unit, tree)
            .map_err(|e| format!("{}: {e}", unit.name))?;
        if let Ok(old) = fs::read_to_string(&stamp) {
            let mut lines = old.lines();
            let same = lines.next() == Some(&now);
            let objects: Vec<PathBuf> = lines.map(PathBuf::from).collect();
            if same && objects.iter().all(|object| object.is_file()) {
                return Ok(objects);
            }
        }
        let objects = build
            .try_compile_intermediates()
            .map_err(|e| e.to_string())?;
        let names = objects
            .iter()
            .map(|object| object.to_string_lossy().into_owned());
        let text: Vec<String> = std::iter::once(now).chain(names).collect();
        write(&stamp, &text.join("\n"))?;
        Ok(objects)
    }

    /// Hash of the compiler call and of everything it reads.
    fn stamp(&self, build: &cc::Build, unit: &Unit, tree: u64) -> io::Result<String> {
        let mut hasher = DefaultHasher::new();
        tree.hash(&mut hasher);
        let compiler = build.get_compiler();
        compiler.path().hash(&mut hasher);
        compiler.args().hash(&mut hasher);
        for place in unit.sources.iter().chain(&unit.includes) {
            let path = self.roots.path(place);
            path.hash(&mut hasher);
            if !matches!(place, Place::Upstream(_)) {
                hash_path(&path, &mut hasher)?;
            }
        }
        // The assembler files say nothing of the texts that they include.
        if unit.lang == Lang::Asm {
            hash_path(&self.roots.out.join("metal"), &mut hasher)?;
        }
        Ok(format!("{:016x}", hasher.finish()))
    }
}

fn at(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// Writes a file unless it already says the same.
pub fn write(path: &Path, text: &str) -> Result<(), String> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(|e| at(dir, &e))?;
    }
    fs::write(path, text).map_err(|e| at(path, &e))
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
