//! `cargo xtask bindings`: the checked-in bindings and the hash of their headers.

use std::path::Path;

/// Runs this command in a program that has bindgen, which no other command needs.
#[cfg(not(feature = "bindgen"))]
pub(crate) fn make(root: &Path, target: &Path) -> Result<(), String> {
    let mut command = crate::cargo::cargo();
    command
        .current_dir(root)
        .args(["run", "--quiet", "--package", "xtask"])
        .args(["--features", "bindgen", "--target-dir"])
        // Not over the program that runs: some systems refuse that.
        .arg(target.join("bindings"))
        .args(["--", "bindings"]);
    crate::cargo::run(&mut command)
}

/// Writes `src/sys/bindings.rs` and `src/sys/headers.hash`.
#[cfg(feature = "bindgen")]
pub(crate) fn make(root: &Path, _target: &Path) -> Result<(), String> {
    let sys = root.join("src/sys");
    let upstream = crate::upstream()?;
    let text = crate::bindings::generate(&sys.join("shim.h"), &upstream.root)?;
    let hash = crate::bindings::hash_headers(&upstream.root)?;
    for (name, text) in [("bindings.rs", text), ("headers.hash", hash + "\n")] {
        let path = sys.join(name);
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}
