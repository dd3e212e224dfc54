//! The real models that the benches run on.

use std::path::PathBuf;

use llamakit_testkit::fetch;

/// A name for reports and the file, fetched first if it is not on this machine.
pub(crate) fn real() -> [(&'static str, PathBuf); 2] {
    [
        ("smollm2-135m-q4_1", fetch::SMOLLM2),
        ("gemma3-270m-q4_k_m", fetch::GEMMA3),
    ]
    .map(|(name, model)| match fetch::model(model) {
        Ok(path) => (name, path),
        Err(error) => panic!("{error}"),
    })
}
