//! `cargo xtask package`: the .crate as it is published, with upstream's sources in it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::vendor;

/// The registry takes no larger ones.
const LIMIT: u64 = 10_000_000;

/// In the checkout at `root`: fills `vendor/llama.cpp`, packages, and empties it again, also after a failure.
pub fn make(root: &Path, target: &Path) -> Result<(PathBuf, u64), String> {
    let vendored = root.join("vendor/llama.cpp");
    if vendored.exists() {
        return Err(format!(
            "{} is there already; remove it first",
            vendored.display()
        ));
    }
    let made = vendor::run(&vendored).and_then(|()| package(root, target));
    let cleaned = fs::remove_dir_all(&vendored).map_err(|e| format!("{}: {e}", vendored.display()));
    let file = made?;
    cleaned?;
    let size = fs::metadata(&file)
        .map_err(|e| format!("{}: {e}", file.display()))?
        .len();
    if size > LIMIT {
        return Err(format!(
            "{}: {size} bytes, more than the {LIMIT} that are allowed",
            file.display()
        ));
    }
    Ok((file, size))
}

fn package(root: &Path, target: &Path) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // Built by its own test, which compiles once for several questions.
    command.args([
        "package",
        "--package",
        "llamakit",
        "--no-verify",
        "--allow-dirty",
        "--offline",
        "--target-dir",
    ]);
    let output = command
        .arg(target)
        .current_dir(root)
        .output()
        .map_err(|e| format!("{command:?}: {e}"))?;
    if !output.status.success() {
        return Err(format!(
            "{command:?}:\n{}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    let folder = target.join("package");
    let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let crates = entries.filter_map(|entry| Some(entry.ok()?.path()));
    crates
        .filter(|path| path.extension() == Some(OsStr::new("crate")))
        .filter(|path| {
            path.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with("llamakit-"))
        })
        .max_by_key(|path| fs::metadata(path).and_then(|m| m.modified()).ok())
        .ok_or_else(|| format!("{}: no .crate was made", folder.display()))
}
