//! Jinja templates through the public API.

mod common;
mod files;
mod fit;
mod golden;
mod limits;
mod origin;
mod snippets;
