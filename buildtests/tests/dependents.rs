//! What a program that depends on llamakit gets, by the way it depends: the sources are
//! found, and cargo reads the configuration of the program's own workspace. Nothing is
//! downloaded, and but for one program nothing is compiled (`LLAMAKIT_COMPILE=none`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use llamakit_buildtests::{package, root, succeed, upstream};

/// A folder of its own for one test, under cargo's target folder, emptied first.
fn folder(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap();
    }
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// A program in `dir` that depends on llamakit as `dependency` says.
fn program(dir: &Path, dependency: &str) {
    let manifest = format!(
        "[package]\nname = \"dependent\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n\
         [dependencies]\nllamakit = {dependency}\n\n[workspace]\n"
    );
    fs::create_dir_all(dir.join("src")).unwrap();
    fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    fs::write(
        dir.join("src/main.rs"),
        "use llamakit as _;\nfn main() {}\n",
    )
    .unwrap();
    // The versions that this repository has fetched.
    fs::copy(root().join("Cargo.lock"), dir.join("Cargo.lock")).unwrap();
}

/// Cargo in `dir`, offline, without what this test run's own cargo has set.
fn cargo(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.arg("--offline").args(args).current_dir(dir);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let foreign = name.starts_with("CARGO") || name.starts_with("LLAMA") || name == "RUSTFLAGS";
        if foreign && name != "CARGO_HOME" {
            command.env_remove(name);
        }
    }
    command.env("LLAMAKIT_COMPILE", "none");
    // The folders of these tests may lie inside this repository, whose configuration asks for native code.
    command.env("RUSTFLAGS", "");
    command
}

/// Runs `cargo check` in `dir` and gives what llamakit's build script wrote about its plan.
///
/// Programs whose own configuration is not in question share a target folder, so that the
/// other dependencies are compiled once.
fn checked(dir: &Path, own_target: bool, envs: &[(&str, &Path)]) -> String {
    let mut check = cargo(dir, &["check", "--message-format=json"]);
    check.envs(envs.iter().copied());
    if !own_target {
        check.arg("--target-dir").arg(shared());
    }
    let messages = String::from_utf8(succeed(&mut check).stdout).unwrap();
    let executed = |line: &&str| {
        line.contains("\"build-script-executed\"")
            && Path::new(out_dir(line)).join("plan.txt").is_file()
    };
    let line = messages
        .lines()
        .find(executed)
        .expect("llamakit's build script ran");
    fs::read_to_string(Path::new(out_dir(line)).join("plan.txt")).unwrap()
}

fn out_dir(message: &str) -> &str {
    message
        .split("\"out_dir\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap_or_default()
}

fn shared() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("dependents")
}

fn upstream_of(plan: &str) -> &Path {
    Path::new(
        plan.lines()
            .find_map(|line| line.strip_prefix("upstream: "))
            .unwrap(),
    )
}

/// A TOML string.
fn quoted(path: &Path) -> String {
    format!("{:?}", path.to_string_lossy())
}

/// The files of this repository that git knows or would add, copied to `to`.
fn copy_repository(to: &Path) {
    let mut git = Command::new("git");
    git.args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "-z",
    ])
    .current_dir(root());
    for file in String::from_utf8(succeed(&mut git).stdout)
        .unwrap()
        .split_terminator('\0')
    {
        let from = root().join(file);
        if from.is_file() {
            let to = to.join(file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(from, to).unwrap();
        }
    }
}

#[test]
fn a_path_dependency_is_built_from_the_pinned_crate() {
    let dir = folder("path");
    program(&dir, &format!("{{ path = {} }}", quoted(&root())));
    let plan = checked(&dir, false, &[]);
    assert!(plan.starts_with("origin: Pin\n"), "{}", &plan[..200]);
    assert_eq!(upstream_of(&plan), upstream().unwrap().root);
    // Not native: the configuration of llamakit's repository is not the dependent's.
    assert!(plan.contains("native: false"));
    if cfg!(target_arch = "x86_64") {
        assert!(plan.contains("-mavx2") && !plan.contains("-march=native"));
    }
}

#[test]
fn a_git_dependency_is_built_from_the_pinned_crate() {
    let dir = folder("git");
    let repository = dir.join("llamakit");
    copy_repository(&repository);
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.args([
            "-c",
            "user.name=test",
            "-c",
            "user.email=test@example.invalid",
            "-c",
            "init.defaultBranch=main",
        ]);
        succeed(git.args(args).current_dir(&repository));
    };
    git(&["init", "--quiet"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message", "all"]);
    let program_dir = dir.join("program");
    let url = format!("file://{}", repository.display());
    program(&program_dir, &format!("{{ git = {url:?} }}"));
    // A home of its own for the checkout, with the packages that have been fetched.
    let home = dir.join("home");
    fs::create_dir_all(&home).unwrap();
    let real = std::env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cargo"),
        PathBuf::from,
    );
    std::os::unix::fs::symlink(real.join("registry"), home.join("registry")).unwrap();
    if real.join("config.toml").is_file() {
        fs::copy(real.join("config.toml"), home.join("config.toml")).unwrap();
    }
    // The first look at the repository is a fetch, though of a file; only that is not offline.
    let mut fetch = Command::new(env!("CARGO"));
    succeed(
        fetch
            .arg("fetch")
            .current_dir(&program_dir)
            .env("CARGO_HOME", &home),
    );
    let plan = checked(&program_dir, false, &[("CARGO_HOME", &home)]);
    assert!(plan.starts_with("origin: Pin\n"), "{}", &plan[..200]);
}

#[test]
fn a_vendored_workspace_is_built_from_what_it_vendored() {
    let dir = folder("vendored");
    program(&dir, &format!("{{ path = {} }}", quoted(&root())));
    let pin = root().join("vendor/pin/Cargo.toml");
    let config = succeed(&mut cargo(
        &dir,
        &["vendor", "--sync", &pin.to_string_lossy()],
    ))
    .stdout;
    fs::create_dir_all(dir.join(".cargo")).unwrap();
    fs::write(dir.join(".cargo/config.toml"), config).unwrap();
    let plan = checked(&dir, true, &[]);
    let vendored = dir.canonicalize().unwrap().join("vendor");
    assert!(
        upstream_of(&plan).starts_with(&vendored),
        "{}",
        upstream_of(&plan).display()
    );
}

#[test]
fn the_published_package_carries_its_sources_and_runs() {
    let dir = folder("package");
    let copy = dir.join("llamakit");
    copy_repository(&copy);
    let (file, _) = package::make(&copy, &dir.join("made")).unwrap();
    succeed(Command::new("tar").arg("xzf").arg(&file).current_dir(&dir));
    let unpacked = dir.join(file.file_stem().unwrap());
    assert!(unpacked.join("vendor/llama.cpp/LICENSE").is_file());
    let program_dir = dir.join("program");
    program(&program_dir, &format!("{{ path = {} }}", quoted(&unpacked)));
    let plan = checked(&program_dir, false, &[]);
    assert!(plan.starts_with("origin: Vendored\n"), "{}", &plan[..200]);
    assert!(upstream_of(&plan).starts_with(&unpacked));
    assert!(
        !copy.join("vendor/llama.cpp").exists(),
        "the sources were left behind"
    );

    // The one real compile: what a user of the published package gets, with default flags. Only the optimiser
    // is left out, which takes most of the time and has had the same sources in this repository's own build.
    fs::write(program_dir.join("src/main.rs"), PROGRAM).unwrap();
    let mut real = cargo(&program_dir, &["run", "--release", "--target-dir"]);
    let model = llamakit_testkit::tiny::llama().path();
    let output = succeed(
        real.arg(shared())
            .arg("--")
            .arg(model)
            .env("CFLAGS", "-O0")
            .env("CXXFLAGS", "-O0")
            .env_remove("LLAMAKIT_COMPILE"),
    );
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.ends_with(" tokens\n"), "{said}");
}

/// Loads a model and continues a prompt.
const PROGRAM: &str = r#"
use llamakit::{Context, ContextParams, Model, ModelParams, Sampler};

fn main() -> llamakit::Result<()> {
    let path = std::env::args().nth(1).expect("a path");
    let model = Model::load(path, &ModelParams::new())?;
    let mut context = Context::new(&model, &ContextParams::new().context_length(256))?;
    let mut sampler = Sampler::greedy();
    let mut answer = context.generate("hello", &mut sampler)?.max_tokens(8);
    for piece in &mut answer {
        piece?;
    }
    println!("{} tokens", answer.tokens().len());
    Ok(())
}
"#;

#[test]
fn without_inference_no_compiler_is_called() {
    let dir = folder("pure");
    program(
        &dir,
        &format!("{{ path = {}, default-features = false }}", quoted(&root())),
    );
    let mut check = cargo(&dir, &["build"]);
    check.env_remove("LLAMAKIT_COMPILE");
    succeed(
        check
            .env("CC", "/nonexistent/cc")
            .env("CXX", "/nonexistent/c++"),
    );
    // The same stubs do stop a build that needs them: they are really asked for.
    program(&dir, &format!("{{ path = {} }}", quoted(&root())));
    let mut build = cargo(&dir, &["build"]);
    build.env_remove("LLAMAKIT_COMPILE");
    let output = build
        .env("CC", "/nonexistent/cc")
        .env("CXX", "/nonexistent/c++")
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/c"));
}

#[test]
fn a_tree_of_ones_own_must_have_the_headers_of_the_bindings() {
    let dir = folder("own-tree");
    program(&dir, &format!("{{ path = {} }}", quoted(&root())));
    let with = |tree: &Path| {
        let mut check = cargo(&dir, &["check", "--target-dir"]);
        check
            .arg(shared())
            .env("LLAMA_CPP_DIR", tree)
            .output()
            .unwrap()
    };

    let missing = with(&dir.join("nowhere"));
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(
        !missing.status.success()
            && said.contains("LLAMA_CPP_DIR")
            && said.contains("include/llama.h"),
        "{said}"
    );

    let pinned = upstream().unwrap().root;
    let plan = checked(&dir, false, &[("LLAMA_CPP_DIR", &pinned)]);
    assert!(plan.starts_with("origin: Dir\n"));

    let changed = dir.join("changed");
    succeed(Command::new("cp").arg("-r").arg(&pinned).arg(&changed));
    let header = changed.join("include/llama.h");
    let text = fs::read_to_string(&header).unwrap();
    fs::write(&header, format!("{text}\nvoid llama_new(void);\n")).unwrap();
    let other = with(&changed);
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(
        !other.status.success() && said.contains("bindgen"),
        "{said}"
    );
}

#[test]
fn when_nothing_is_found_both_remedies_are_named() {
    let dir = folder("nothing");
    let copy = dir.join("llamakit");
    copy_repository(&copy);
    // A pin that no registry has.
    let pin = copy.join("vendor/pin/Cargo.toml");
    let text = fs::read_to_string(&pin).unwrap();
    fs::write(&pin, text.replace("=0.1.161", "=99.0.0")).unwrap();
    let program_dir = dir.join("program");
    program(&program_dir, &format!("{{ path = {} }}", quoted(&copy)));
    let output = cargo(&program_dir, &["check", "--target-dir"])
        .arg(shared())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(
        said.contains("cargo fetch") && said.contains("LLAMA_CPP_DIR"),
        "{said}"
    );
}
