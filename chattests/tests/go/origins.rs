//! Who wrote what, and which message it belongs to.
