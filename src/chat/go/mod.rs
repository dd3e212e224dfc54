//! Go's `text/template`, as Ollama's templates use it.
