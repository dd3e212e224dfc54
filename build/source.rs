//! Finds upstream's source tree: a tree of the user's own, the one in the published
//! package, or the crate that `vendor/pin` pins.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::plan::Tree;

/// Where a tree came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `LLAMA_CPP_DIR`.
    Dir,
    /// `vendor/llama.cpp` of the package.
    Vendored,
    /// The crate pinned by `vendor/pin`.
    Pin,
}

/// Upstream's tree on this machine.
pub struct Upstream {
    pub root: PathBuf,
    pub origin: Origin,
    pub tree: Tree,
}

/// File in `vendor/llama.cpp` that says which commit was copied there.
pub const COMMIT_FILE: &str = "UPSTREAM_COMMIT";

/// Looks in the three places, in order.
///
/// `workdir` is where cargo is run, so that it reads the configuration of the
/// workspace being built.
pub fn find(manifest_dir: &Path, workdir: &Path) -> Result<Upstream, String> {
    if let Some(dir) = env::var_os("LLAMA_CPP_DIR").filter(|dir| !dir.is_empty()) {
        let root = PathBuf::from(dir);
        if !root.is_absolute() || !is_tree(&root) {
            return Err(format!(
                "LLAMA_CPP_DIR={} is not the absolute path of a llama.cpp source tree: there is no include/llama.h in it",
                root.display()
            ));
        }
        return upstream(root, Origin::Dir, "unknown".to_owned());
    }
    let vendored = manifest_dir.join("vendor/llama.cpp");
    if is_tree(&vendored) {
        let commit = fs::read_to_string(vendored.join(COMMIT_FILE)).unwrap_or_default();
        return upstream(vendored, Origin::Vendored, commit.trim().to_owned());
    }
    let pin = manifest_dir.join("vendor/pin/Cargo.toml");
    let root = pinned(&pin, workdir).map_err(|tried| not_found(&pin, &tried))?;
    let commit = pinned_commit(&fs::read_to_string(&pin).unwrap_or_default());
    upstream(root, Origin::Pin, commit)
}

fn is_tree(root: &Path) -> bool {
    root.join("include/llama.h").is_file() && root.join("ggml/src/ggml.c").is_file()
}

fn not_found(pin: &Path, tried: &str) -> String {
    format!(
        "the llama.cpp sources were not found.\n\
         Either let cargo get the pinned crate once, with network access (or a vendored or mirrored registry\n\
         in the .cargo/config.toml of your workspace that has it):\n    \
         cargo fetch --locked --manifest-path {}\n\
         or set LLAMA_CPP_DIR to the absolute path of a llama.cpp source tree of the same version.\n\
         What was tried:\n{tried}",
        pin.display()
    )
}

fn upstream(root: PathBuf, origin: Origin, commit: String) -> Result<Upstream, String> {
    let read = |path: &str| {
        fs::read_to_string(root.join(path))
            .map_err(|e| format!("{}: {e}", root.join(path).display()))
    };
    let tree = Tree {
        llama: cpp_files(&root.join("src"))?,
        models: cpp_files(&root.join("src/models"))?,
        llama_version: version(&read("CMakeLists.txt")?, "LLAMA"),
        ggml_version: version(&read("ggml/CMakeLists.txt")?, "GGML"),
        commit: if commit.is_empty() {
            "unknown".to_owned()
        } else {
            commit
        },
    };
    Ok(Upstream { root, origin, tree })
}

/// Names of the C++ files in a folder, sorted.
fn cpp_files(dir: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".cpp"))
        .collect();
    names.sort();
    Ok(names)
}

/// `set(<PREFIX>_VERSION_MAJOR 1)`, `_MINOR` and `_PATCH` of a CMake file, joined by dots.
pub fn version(cmake: &str, prefix: &str) -> String {
    let part = |part: &str| {
        let start = format!("set({prefix}_VERSION_{part} ");
        cmake
            .lines()
            .find_map(|line| line.trim().strip_prefix(&start)?.strip_suffix(')'))
            .unwrap_or("0")
            .to_owned()
    };
    [part("MAJOR"), part("MINOR"), part("PATCH")].join(".")
}

/// `upstream-commit = "..."` of the pin's manifest.
pub fn pinned_commit(manifest: &str) -> String {
    let value = manifest.lines().find_map(|line| {
        line.trim()
            .strip_prefix("upstream-commit = \"")?
            .strip_suffix('"')
    });
    value.unwrap_or_default().to_owned()
}

/// Asks cargo where the pinned crate is, without network first.
fn pinned(pin: &Path, workdir: &Path) -> Result<PathBuf, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tried = String::new();
    for offline in [true, false] {
        let mut command = Command::new(&cargo);
        command
            .args([
                "metadata",
                "--locked",
                "--format-version",
                "1",
                "--manifest-path",
            ])
            .arg(pin);
        // Without it, cargo would also get the crates that only other targets need.
        if let Ok(host) = env::var("HOST") {
            command.args(["--filter-platform", &host]);
        }
        if offline {
            command.arg("--offline");
        }
        let output = command
            .current_dir(workdir)
            .output()
            .map_err(|e| format!("    {command:?}: {e}"))?;
        if output.status.success() {
            let json = String::from_utf8_lossy(&output.stdout);
            let mut roots = manifest_paths(&json)
                .into_iter()
                .map(|m| PathBuf::from(m).with_file_name("llama.cpp"));
            if let Some(root) = roots.find(|root| is_tree(root)) {
                return Ok(root);
            }
            tried.push_str("    the pinned crate has no llama.cpp folder\n");
        } else {
            let said = String::from_utf8_lossy(&output.stderr);
            tried.push_str(&format!("    {command:?}\n"));
            said.lines()
                .for_each(|line| tried.push_str(&format!("        {line}\n")));
        }
    }
    Err(tried)
}

/// Every `"manifest_path"` in cargo's JSON. Cargo writes it without spaces, and nothing else
/// is wanted of it, so that no JSON library has to be compiled first.
pub fn manifest_paths(json: &str) -> Vec<String> {
    json.split("\"manifest_path\":\"")
        .skip(1)
        .map(json_string)
        .collect()
}

/// The JSON string that `text` begins with, up to its closing quote.
fn json_string(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('u') => {
                    let hex: String = chars.by_ref().take(4).collect();
                    out.extend(u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32));
                }
                Some(escaped) => out.push(escaped),
                None => break,
            },
            c => out.push(c),
        }
    }
    out
}
