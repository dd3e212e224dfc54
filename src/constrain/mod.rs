//! Structured output: JSON Schema, regular expressions and grammars as sets of tokens that may come next.
