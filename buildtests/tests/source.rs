//! Reading what the build needs out of cargo's and CMake's files.

use llamakit_buildtests::{bindings, root, source, upstream};

#[test]
fn manifest_paths_are_read_with_their_escapes() {
    let json = r#"{"packages":[{"manifest_path":"/a/Cargo.toml"},{"manifest_path":"C:\\b \"c\"\\\u00e9.toml","x":1}]}"#;
    assert_eq!(
        source::manifest_paths(json),
        ["/a/Cargo.toml", "C:\\b \"c\"\\é.toml"]
    );
}

#[test]
fn versions_are_read_from_cmake() {
    let cmake =
        "set(GGML_VERSION_MAJOR 0)\n  set(GGML_VERSION_MINOR 26)\nset(GGML_VERSION_PATCH 1)\n";
    assert_eq!(source::version(cmake, "GGML"), "0.26.1");
    let tree = upstream().unwrap().tree;
    assert!(
        tree.llama_version != "0.0.0" && tree.ggml_version != "0.0.0",
        "{tree:?}"
    );
    assert_ne!(tree.commit, "unknown");
}

#[test]
fn the_checked_in_hash_is_that_of_the_pinned_headers() {
    let recorded = std::fs::read_to_string(root().join("src/sys/headers.hash")).unwrap();
    assert_eq!(
        recorded.trim(),
        bindings::hash_headers(&upstream().unwrap().root).unwrap()
    );
}
