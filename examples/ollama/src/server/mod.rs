//! The server: HTTP in, answers out. It loads no model itself; runners do.

mod app;
mod body;
mod clock;
mod error;
mod gate;
mod id;
mod infer;
pub(crate) mod key_file;
mod key_line;
pub(crate) mod keys;
mod listen;
mod logs;
pub(crate) mod memory;
mod metrics;
mod model;
mod prompt;
mod reply;
mod routes;
mod schema;
mod serve;
mod transfer;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use key_line::{KeyLine, LIMITS as KEY_LIMITS};
pub(crate) use routes::processor;
pub use serve::serve;
