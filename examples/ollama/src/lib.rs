//! Ollama's server and command line on top of llamakit.

pub mod api;
mod error;
mod progress;

pub use error::{Error, Kind, Result};
pub use progress::{Progress, Report};
