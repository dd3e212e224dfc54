//! What the tests of templates and structured output share.

pub mod go_templates;
mod registry;
