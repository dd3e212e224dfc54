//! What was built.

use serde::Serialize;

use super::Findings;

#[derive(Debug, Default, Serialize)]
pub(super) struct Program {
    /// Of Ollama, whose behaviour it has.
    pub version: &'static str,
    pub package: &'static str,
    pub path: Option<String>,
    /// Whether it can run models.
    pub inference: bool,
    pub debug: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    pub devices: Vec<Device>,
}

/// llama.cpp, as it was compiled.
#[derive(Debug, Serialize)]
pub(super) struct Engine {
    pub llama_cpp: &'static str,
    pub commit: &'static str,
    pub ggml: &'static str,
    pub backends: &'static [&'static str],
    /// Instruction sets that a machine needs.
    pub compiled_for: &'static [&'static str],
    /// Those that this one has.
    pub found: Vec<&'static str>,
    /// Whether it was compiled for the machine that it was compiled on.
    pub native: bool,
    /// Threads that compute when nobody says.
    pub threads: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct Device {
    pub name: String,
    pub description: String,
    pub backend: String,
    pub memory_total: u64,
    pub memory_free: u64,
}

pub(super) fn look(findings: &mut Findings) -> Program {
    let mut program = Program {
        version: crate::VERSION,
        package: env!("CARGO_PKG_VERSION"),
        path: std::env::current_exe()
            .ok()
            .map(|path| path.display().to_string()),
        inference: cfg!(feature = "inference"),
        debug: cfg!(debug_assertions),
        ..Program::default()
    };
    engine(&mut program, findings);
    if program.debug {
        findings.warn("this is a debug build, which is slower: build with --release");
    }
    program
}

#[cfg(feature = "inference")]
fn engine(program: &mut Program, findings: &mut Findings) {
    let built = llamakit::build_info();
    program.engine = Some(Engine {
        llama_cpp: built.upstream_version,
        commit: built.upstream_commit,
        ggml: built.ggml_version,
        backends: built.backends,
        compiled_for: built.cpu_compiled,
        found: built.cpu_found,
        native: built.native,
        threads: llamakit::default_threads(),
    });
    match llamakit::devices() {
        Ok(devices) => {
            let devices = devices.into_iter().map(|device| Device {
                name: device.name,
                description: device.description,
                backend: device.backend,
                memory_total: device.memory_total,
                memory_free: device.memory_free,
            });
            program.devices = devices.collect();
        }
        Err(error) => findings.problem(format!("models can't run here: {}", error.message())),
    }
}

#[cfg(not(feature = "inference"))]
fn engine(_: &mut Program, findings: &mut Findings) {
    findings.warn("this program was built without inference: it can't run models");
}
