//! The Jinja templates of model files, rendered by `minijinja`.
