//! What the tests of templates and structured output share.
