//! Ollama's server and command line on top of llamakit.

pub mod api;
pub mod digest;
mod error;
pub mod name;
mod progress;
pub mod runner;
mod scheduler;
pub mod server;
pub mod settings;
pub mod store;

pub use digest::Digest;
pub use error::{Error, Kind, Result};
pub use name::Name;
pub use progress::{Progress, Report};
pub use store::Store;
