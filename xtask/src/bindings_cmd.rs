//! `cargo xtask bindings`: the checked-in bindings and the hash of their headers.

use std::fs;

use crate::{bindings, root, upstream};

/// Writes `src/sys/bindings.rs` and `src/sys/headers.hash`.
pub(crate) fn run() -> Result<(), String> {
    let sys = root().join("src/sys");
    let upstream = upstream()?;
    let text = bindings::generate(&sys.join("shim.h"), &upstream.root)?;
    let hash = bindings::hash_headers(&upstream.root)?;
    for (name, text) in [("bindings.rs", text), ("headers.hash", hash + "\n")] {
        let path = sys.join(name);
        fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}
