//! A model's chat template, of either language.
