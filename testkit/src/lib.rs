//! What the tests of this workspace share: tiny models, real models, and subprocess helpers.
