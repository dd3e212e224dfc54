//! From an instruction to its text.

use std::fmt::{self, Display, Formatter};

use super::Instruction;

/// Whether any quotes can hold a value: those that end a line of it would end the value.
pub(super) fn can_be_written(value: &str) -> bool {
    !needs_quotes(value) || !value.contains('"') || {
        let mut lines = value.split(['\r', '\n']);
        // The last line is followed by the closing quotes.
        lines.next_back();
        !lines.any(|line| line.trim_end().ends_with("\"\"\""))
    }
}

fn needs_quotes(value: &str) -> bool {
    value.is_empty()
        || value.starts_with('"')
        || value.contains(['\r', '\n'])
        || value.trim().len() < value.len()
}

/// A value as it is written: bare where that can be read again, in quotes, in triple quotes.
struct Value<'a>(&'a str);

impl Display for Value<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let quotes = match self.0 {
            bare if !needs_quotes(bare) => "",
            text if text.contains('"') => "\"\"\"",
            _ => "\"",
        };
        write!(f, "{quotes}{}{quotes}", self.0)
    }
}

impl Display for Instruction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.word())?;
        match self {
            Self::Parameter(parameter) => write!(f, "{} ", parameter.name())?,
            Self::Message(role, _) => write!(f, "{} ", role.name())?,
            _ => {}
        }
        Value(self.value()).fmt(f)
    }
}
