//! Ollama's server and command line on top of llamakit.

pub mod api;
pub mod archive;
pub mod cli;
pub mod create;
pub mod digest;
mod error;
mod human;
pub mod modelfile;
pub mod name;
mod progress;
pub mod registry;
pub mod runner;
mod scheduler;
pub mod server;
pub mod settings;
pub mod show;
pub mod store;
mod tasks;

/// The version of Ollama whose behaviour this program has; clients ask for it.
pub const VERSION: &str = "0.33.0";

pub use digest::Digest;
pub use error::{Error, Kind, Result};
pub use name::Name;
pub use progress::{Progress, Report};
pub use store::Store;
