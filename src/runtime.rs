//! What was built and what this machine offers: devices, instruction sets, versions.

use crate::error::Result;
use crate::sys;

/// What kind of processor a [`Device`] is (`enum ggml_backend_dev_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceKind {
    /// The CPU with system memory.
    Cpu,
    /// A GPU with memory of its own.
    Gpu,
    /// A GPU that shares the system's memory.
    IntegratedGpu,
    /// An accelerator used together with the CPU, such as BLAS or AMX.
    Accelerator,
    /// A kind that this version of the library does not know.
    Other,
}

/// A processor that upstream's backends can compute on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Device {
    /// Upstream's short name, such as `CPU` or `Metal`.
    pub name: String,
    /// The hardware's name.
    pub description: String,
    /// The backend it belongs to.
    pub backend: String,
    /// The bus id (`0000:c1:00.0`) where there is one.
    pub id: Option<String>,
    /// What kind of processor it is.
    pub kind: DeviceKind,
    /// Free memory in bytes when the list was made; 0 where unknown.
    pub memory_free: u64,
    /// All memory in bytes; 0 where unknown.
    pub memory_total: u64,
    pub(crate) raw: sys::RawDevice,
}

/// Lists the devices of all compiled backends (`ggml_backend_dev_get`).
///
/// # Errors
///
/// [`ErrorKind::UnsupportedCpu`](crate::ErrorKind::UnsupportedCpu) when this CPU cannot run the
/// compiled code.
pub fn devices() -> Result<Vec<Device>> {
    let devices = sys::devices()?;
    Ok(devices
        .into_iter()
        .map(|(raw, props)| Device {
            name: props.name,
            description: props.description,
            backend: props.backend,
            id: props.id,
            kind: match props.kind {
                sys::GGML_BACKEND_DEVICE_TYPE_CPU => DeviceKind::Cpu,
                sys::GGML_BACKEND_DEVICE_TYPE_GPU => DeviceKind::Gpu,
                sys::GGML_BACKEND_DEVICE_TYPE_IGPU => DeviceKind::IntegratedGpu,
                sys::GGML_BACKEND_DEVICE_TYPE_ACCEL => DeviceKind::Accelerator,
                _ => DeviceKind::Other,
            },
            memory_free: props.memory_free,
            memory_total: props.memory_total,
            raw,
        })
        .collect())
}

/// What this library was built from and for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuildInfo {
    /// llama.cpp's version.
    pub upstream_version: &'static str,
    /// llama.cpp's commit.
    pub upstream_commit: &'static str,
    /// ggml's version.
    pub ggml_version: &'static str,
    /// Compiled backends.
    pub backends: &'static [&'static str],
    /// Instruction sets that the CPU backend was compiled for.
    pub cpu_compiled: &'static [&'static str],
    /// Instruction sets, of those that matter here, that this CPU has.
    pub cpu_found: Vec<&'static str>,
    /// Whether the CPU backend was compiled for exactly the machine it was built on.
    pub native: bool,
}

/// Tells what this library was built from and for. Never fails and starts nothing.
#[must_use]
pub fn build_info() -> BuildInfo {
    use sys::build_info as built;
    BuildInfo {
        upstream_version: built::UPSTREAM_VERSION,
        upstream_commit: built::UPSTREAM_COMMIT,
        ggml_version: built::GGML_VERSION,
        backends: built::BACKENDS,
        cpu_compiled: built::CPU_FEATURES,
        cpu_found: sys::cpu::found(),
        native: built::NATIVE,
    }
}

/// Upstream's one-line summary of backends and instruction sets (`llama_print_system_info`).
///
/// # Errors
///
/// As [`devices`].
pub fn system_info() -> Result<String> {
    sys::system_info()
}
