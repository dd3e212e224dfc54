//! Whether this CPU can run what ggml's CPU backend was compiled for.
//! Asked before the first call into it, so that the answer is an error, not a fault.

use std::ffi::{CString, c_char, c_int};

use super::build_info::{CPU_FEATURES, CPU_FEATURES_KNOWN};

unsafe extern "C" {
    fn lk_cpu_has(name: *const c_char) -> c_int;
}

/// What a CPU says about one feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Has {
    Yes,
    No,
    /// The operating system gives no way to ask.
    Unknown,
}

fn has(name: &str) -> Has {
    let Ok(name) = CString::new(name) else {
        return Has::Unknown;
    };
    // SAFETY: `name` is a C string that outlives the call; the function keeps nothing.
    match unsafe { lk_cpu_has(name.as_ptr()) } {
        1 => Has::Yes,
        0 => Has::No,
        _ => Has::Unknown,
    }
}

/// Features that the CPU backend was compiled for and that this CPU lacks.
///
/// Anything in it means that calling the backend may end in an illegal instruction.
pub(crate) fn missing() -> Vec<&'static str> {
    CPU_FEATURES
        .iter()
        .copied()
        .filter(|name| has(name) == Has::No)
        .collect()
}

/// Features beyond the target's baseline that this CPU and operating system offer.
pub(crate) fn found() -> Vec<&'static str> {
    CPU_FEATURES_KNOWN
        .iter()
        .copied()
        .filter(|name| has(name) == Has::Yes)
        .collect()
}
