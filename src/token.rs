//! A token id.

/// The id of one vocabulary entry (`llama_token`, a 32-bit integer).
///
/// A token is only a number: whether it exists is decided by the vocabulary of the model that it is
/// given to, and every function that takes one checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Token(pub i32);

impl Token {
    /// The id as an index into a vocabulary-sized slice, or `None` when it is negative.
    #[must_use]
    pub fn index(self) -> Option<usize> {
        usize::try_from(self.0).ok()
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
