//! Structured output: JSON Schema, regular expressions and grammars as sets of tokens that may come next.
//!
//! A [`Constraint`] says what an answer must be. The engine's `Request` and `Generation` take one; for
//! loops of your own, [`Constraint::matcher`] gives a [`Matcher`] for a vocabulary, the [`TokenTable`].

mod compile;
mod constraint;
mod gbnf;
mod lark;
mod limits;
mod matcher;
mod numbers;
mod parser;
mod regex;
mod schema;
mod table;
mod trigger;

pub use constraint::Constraint;
pub use matcher::Matcher;
pub use table::{TokenKind, TokenTable};
