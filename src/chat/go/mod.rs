//! Go's `text/template`, as Ollama's templates use it.

use crate::error::{Error, ErrorKind, Result};
use crate::segments::Segment;

use super::Conversation;

/// A parsed template.
#[derive(Debug)]
pub(crate) struct GoTemplate {
    source: String,
}

impl GoTemplate {
    pub(crate) fn parse(source: &str) -> Result<Self> {
        Ok(Self {
            source: source.to_owned(),
        })
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn vars(&self) -> &[String] {
        &[]
    }

    pub(crate) fn render(&self, _: &Conversation) -> Result<Vec<Segment>> {
        Err(Error::new(ErrorKind::Unsupported, "Go templates"))
    }
}
