//! Templates that try to do harm.
