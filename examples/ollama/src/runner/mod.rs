//! One loaded model in a process of its own: memory comes back when it ends, and a crash costs only what it
//! was computing.

pub(crate) mod client;
#[cfg(feature = "inference")]
mod engine;
pub(crate) mod http;
pub(crate) mod launch;
pub(crate) mod process;
pub(crate) mod wire;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

/// The hidden command `runner`: runs until its server goes away.
#[cfg(feature = "inference")]
#[must_use]
pub fn main() -> ExitCode {
    process::run(&mut engine::EngineLoader)
}

/// The hidden command `runner`, in a build without llama.cpp.
#[cfg(not(feature = "inference"))]
#[must_use]
pub fn main() -> ExitCode {
    process::run(&mut Nothing)
}

#[cfg(not(feature = "inference"))]
struct Nothing;

#[cfg(not(feature = "inference"))]
impl Nothing {
    fn refuse<T>() -> Result<T, wire::Failure> {
        Err(wire::Failure::new(
            wire::FailureKind::Unsupported,
            "this program was built without inference",
        ))
    }
}

#[cfg(not(feature = "inference"))]
impl process::Loader for Nothing {
    fn measure(&mut self, _: &wire::Spec) -> Result<crate::api::MemoryByKind, wire::Failure> {
        Self::refuse()
    }

    fn load(
        &mut self,
        _: &wire::Spec,
        _: &wire::Go,
        _: &mut dyn FnMut(f32),
    ) -> Result<(std::sync::Arc<dyn http::Backend>, wire::Info), wire::Failure> {
        Self::refuse()
    }
}
