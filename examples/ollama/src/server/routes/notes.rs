//! What replies in the shape of other APIs tell beside what these have.

use serde_json::{Value, json};

use crate::api::Notes;

/// Tells what was not understood.
pub(super) fn add_warnings(answer: &mut Value, warnings: &[String]) {
    if !warnings.is_empty() {
        answer["warnings"] = json!(warnings);
    }
}

/// Tells what the sender should know.
pub(super) fn add_notes(answer: &mut Value, notes: &Notes) {
    add_warnings(answer, &notes.warnings);
    if notes.dropped_messages > 0 {
        answer["dropped_messages"] = json!(notes.dropped_messages);
        answer["prompt_tokens_before"] = json!(notes.prompt_tokens_before);
    }
}
