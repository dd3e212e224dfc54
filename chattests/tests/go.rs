//! Go templates: prompts equal to those of Ollama and of Go's text/template, byte for byte; who wrote
//! what; limits.

#[path = "go/conversations.rs"]
mod conversations;
#[path = "go/limits.rs"]
mod limits;
#[path = "go/origins.rs"]
mod origins;
#[path = "go/reference.rs"]
mod reference;

use llamakit::Segment;
use llamakit::chat::{Conversation, GoTemplate};

fn text(segments: &[Segment]) -> String {
    segments.iter().map(|one| one.text.as_str()).collect()
}

/// The prompt, or the error's message.
fn prompt(source: &str, conversation: &Conversation) -> Result<String, String> {
    let segments = GoTemplate::parse(source).and_then(|template| template.render(conversation));
    segments
        .map(|segments| text(&segments))
        .map_err(|error| error.to_string())
}
