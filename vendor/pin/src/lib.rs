//! Empty on purpose: only the lock file of this package is used.
