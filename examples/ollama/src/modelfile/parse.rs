//! From the text of a Modelfile to its instructions.

use super::version;
use super::{Instruction, Parameter, Role, at_line};
use crate::error::Result;

const INSTRUCTIONS: &str = "\"from\", \"license\", \"template\", \"system\", \"adapter\", \"draft\", \
    \"renderer\", \"parser\", \"parameter\", \"message\", or \"requires\"";

/// What is left of the text, and the line in which it begins.
struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

/// What follows the first word of an instruction.
enum Form {
    Value(fn(String) -> Instruction),
    Requires,
    Parameter,
    Message,
}

fn form(word: &str) -> Option<Form> {
    Some(match word {
        "FROM" => Form::Value(Instruction::From),
        "ADAPTER" => Form::Value(Instruction::Adapter),
        "DRAFT" => Form::Value(Instruction::Draft),
        "TEMPLATE" => Form::Value(Instruction::Template),
        "SYSTEM" => Form::Value(Instruction::System),
        "LICENSE" => Form::Value(Instruction::License),
        "RENDERER" => Form::Value(Instruction::Renderer),
        "PARSER" => Form::Value(Instruction::Parser),
        "REQUIRES" => Form::Requires,
        "PARAMETER" => Form::Parameter,
        "MESSAGE" => Form::Message,
        _ => return None,
    })
}

pub(super) fn instructions(text: &str) -> Result<Vec<Instruction>> {
    let mut reader = Reader {
        rest: text,
        line: 1,
    };
    let mut instructions = Vec::new();
    while reader.next_instruction() {
        instructions.push(reader.instruction()?);
    }
    Ok(instructions)
}

impl<'a> Reader<'a> {
    /// Goes on to where an instruction begins; false at the end.
    fn next_instruction(&mut self) -> bool {
        loop {
            let blank =
                self.rest.len() - self.rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
            self.advance(blank);
            if !self.rest.starts_with('#') {
                return !self.rest.is_empty();
            }
            self.advance(line_end(self.rest));
        }
    }

    /// Takes this many bytes.
    fn advance(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        // A carriage return alone ends a line as well.
        let ends = taken.matches(['\r', '\n']).count() - taken.matches("\r\n").count();
        self.line += ends;
        self.rest = rest;
        taken
    }

    /// Takes what matches, which may be nothing, and the blanks that follow; says whether there were any.
    fn word(&mut self, matches: fn(char) -> bool) -> (&'a str, bool) {
        let end = self.rest.find(|c| !matches(c)).unwrap_or(self.rest.len());
        let word = self.advance(end);
        let blanks = self.rest.len() - self.rest.trim_start_matches([' ', '\t']).len();
        self.advance(blanks);
        (word, blanks > 0)
    }

    fn instruction(&mut self) -> Result<Instruction> {
        let line = self.line;
        let (word, blank) = self.word(|c| c.is_ascii_alphabetic());
        let word = word.to_ascii_uppercase();
        let ends = line_end(self.rest) == 0;
        let Some(form) = form(&word).filter(|_| blank || ends) else {
            let message = format!("command must be one of {INSTRUCTIONS}");
            return Err(at_line(line, message));
        };
        if !blank {
            return Err(at_line(line, format!("{word} has no value")));
        }
        match form {
            Form::Value(instruction) => {
                let instruction = instruction(self.value(&word, line)?.to_owned());
                let checked = instruction.check();
                checked.map_err(|cause| at_line(line, format!("{word} {cause}")))?;
                Ok(instruction)
            }
            Form::Requires => self.requires(line),
            Form::Parameter => self.parameter(line),
            Form::Message => self.message(line),
        }
    }

    fn requires(&mut self, line: usize) -> Result<Instruction> {
        let value = self.value("REQUIRES", line)?;
        let value = version::checked(value).map_err(|message| at_line(line, message))?;
        Ok(Instruction::Requires(value.to_owned()))
    }

    fn parameter(&mut self, line: usize) -> Result<Instruction> {
        let (name, blank) = self.word(|c| c.is_ascii_alphanumeric() || c == '_');
        if !blank {
            let message = "PARAMETER is followed by a name, a blank and a value";
            return Err(at_line(line, message));
        }
        let value = self.value("PARAMETER", line)?;
        let parameter = Parameter::new(&name.to_ascii_lowercase(), value)
            .map_err(|message| at_line(line, message))?;
        Ok(Instruction::Parameter(parameter))
    }

    fn message(&mut self, line: usize) -> Result<Instruction> {
        let (role, blank) = self.word(|c| c.is_ascii_alphabetic());
        if !blank {
            let message = "MESSAGE is followed by a role, a blank and a text";
            return Err(at_line(line, message));
        }
        let role = Role::parse(role).ok_or_else(|| {
            at_line(
                line,
                "message role must be one of \"system\", \"user\", or \"assistant\"",
            )
        })?;
        let value = self.value("MESSAGE", line)?;
        Ok(Instruction::Message(role, value.to_owned()))
    }

    /// Takes a value: the rest of the line, or what is in quotes.
    fn value(&mut self, word: &str, line: usize) -> Result<&'a str> {
        // No blank of any kind is part of a value that is not in quotes.
        let blank = |c: char| c.is_whitespace() && !matches!(c, '\r' | '\n');
        let blanks = self.rest.len() - self.rest.trim_start_matches(blank).len();
        self.advance(blanks);
        let quotes = match self.rest {
            text if text.starts_with("\"\"\"") => "\"\"\"",
            text if text.starts_with('"') => "\"",
            text => {
                let end = line_end(text);
                return Ok(self.advance(end).trim());
            }
        };
        let end = quoted_end(self.rest, quotes).ok_or_else(|| {
            at_line(
                line,
                format!("the {quotes} after {word} is not closed: no line ends with it"),
            )
        })?;
        let value = self.advance(end);
        self.advance(line_end(self.rest));
        let value = value.strip_prefix(quotes).unwrap_or(value);
        Ok(value.strip_suffix(quotes).unwrap_or(value))
    }
}

/// Where the line that the text begins in ends.
fn line_end(text: &str) -> usize {
    text.find(['\r', '\n']).unwrap_or(text.len())
}

/// Where the value ends that begins with these quotes: behind those that end a line, blanks aside.
fn quoted_end(text: &str, quotes: &str) -> Option<usize> {
    let mut start = 0;
    loop {
        let line = text.get(start..)?;
        let length = line_end(line);
        let end = start + line.get(..length)?.trim_end().len();
        // The quotes at the beginning close nothing.
        if end > start && end >= 2 * quotes.len() && text.get(..end)?.ends_with(quotes) {
            return Some(end);
        }
        start += length + 1;
    }
}
