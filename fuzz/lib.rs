//! The parts of `examples/ollama` that read names, manifests and Modelfiles, shared by path: as a dependency
//! the package would bring its server and its HTTP client, which takes longer to instrument than all else.

#![allow(
    dead_code,
    unused_imports,
    reason = "the parts have more in them than targets use"
)]

#[path = "../examples/ollama/src/digest.rs"]
pub mod digest;
#[path = "../examples/ollama/src/error.rs"]
pub mod error;
#[path = "../examples/ollama/src/store/manifest.rs"]
pub mod manifest;
#[path = "../examples/ollama/src/modelfile/mod.rs"]
pub mod modelfile;
#[path = "../examples/ollama/src/name.rs"]
pub mod name;
