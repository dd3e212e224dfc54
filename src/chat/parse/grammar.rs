//! Grammars of the calls that a model may make.

/// Whether and what a model may call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ToolChoice {
    /// What it wants, or nothing.
    #[default]
    Auto,
    /// Nothing.
    None,
    /// Something.
    Required,
    /// The tool of this name.
    Function(String),
}
