//! The raw layer: generated bindings, the guarded call, and thin owners of C pointers.
//! All `unsafe` of the core API lives here; nothing above this folder knows a C type.

#![allow(unsafe_code)]

#[allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]
mod bindings {
    #[cfg(not(feature = "bindgen"))]
    include!("bindings.rs");
    #[cfg(feature = "bindgen")]
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

mod adapter;
pub(crate) mod build_info;
mod context;
pub(crate) mod cpu;
mod device;
mod fault;
pub(crate) mod log;
mod model;
mod quantize;
mod runtime;
mod threadpool;
mod vocab;

pub(crate) use adapter::RawAdapter;
pub(crate) use context::{RawBatch, RawContext};
pub(crate) use device::{RawDevice, devices};
pub(crate) use fault::Fault;
pub(crate) use model::{LoadSource, MAX_DEVICES, RawModel, RawModelParams};
pub(crate) use quantize::{RawQuantize, quantize};
pub(crate) use runtime::{init, system_info};
pub(crate) use vocab::RawVocab;

pub use bindings::*;
