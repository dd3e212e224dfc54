//! How the raw bindings are made from the shim's header: one set of settings for
//! `cargo xtask bindings`, which checks them in, and for feature `bindgen`.

use std::path::Path;

/// Upstream's headers that the bindings and the shim are made from.
pub const HEADERS: &[&str] = &[
    "include/llama.h",
    "ggml/include/ggml.h",
    "ggml/include/ggml-alloc.h",
    "ggml/include/ggml-backend.h",
    "ggml/include/ggml-cpu.h",
    "ggml/include/ggml-opt.h",
    "ggml/include/gguf.h",
    "src/llama-ext.h",
];

/// Makes the bindings of `shim.h` with upstream's tree at `root`.
#[cfg(feature = "bindgen")]
pub fn generate(shim: &Path, root: &Path) -> Result<String, String> {
    let include = |dir: &str| format!("-I{}", root.join(dir).display());
    let rust = bindgen::RustTarget::stable(85, 0).map_err(|e| e.to_string())?;
    let bindings = bindgen::Builder::default()
        .header(shim.to_string_lossy())
        .clang_args([
            include("include"),
            include("ggml/include"),
            "-std=c11".to_owned(),
        ])
        .rust_target(rust)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .allowlist_function("lk_.*")
        .allowlist_var("LK_.*|LLAMA_.*")
        .allowlist_type("lk_.*|llama_[a-z_]*_type|llama_token_attr")
        // Upstream's prose stays upstream's.
        .generate_comments(false)
        .layout_tests(false)
        // A C enum may hold values that its header does not name.
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .use_core()
        .derive_copy(true)
        .derive_debug(true)
        .derive_default(false)
        .sort_semantically(true)
        .merge_extern_blocks(true)
        .formatter(bindgen::Formatter::Rustfmt)
        .generate()
        .map_err(|e| format!("{}: {e}", shim.display()))?;
    Ok(bindings.to_string())
}

/// Hash of the public headers in the tree at `root` (64-bit FNV-1a; line ends do not count).
///
/// It tells trees apart that were not meant to be mixed; it is no protection against forgery.
pub fn hash_headers(root: &Path) -> Result<String, String> {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for header in HEADERS {
        let path = root.join(header);
        let text = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        for byte in header.bytes().chain(text).filter(|byte| *byte != b'\r') {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Ok(format!("{hash:016x}"))
}
