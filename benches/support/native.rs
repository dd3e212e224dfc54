//! The refusal to measure a build that was not made for this machine.

/// Ends the process with a message unless llama.cpp was compiled for exactly this machine: figures of
/// other builds say nothing when compared.
pub(crate) fn require_native() {
    use std::io::Write as _;
    if llamakit::build_info().native {
        return;
    }
    let _ = writeln!(
        std::io::stderr(),
        "refusing to measure: llama.cpp was not compiled for this machine. Build inside this \
         repository, whose .cargo/config.toml says so, without RUSTFLAGS of your own; or set \
         LLAMAKIT_CPU=native."
    );
    std::process::exit(1);
}
