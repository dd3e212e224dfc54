//! Modelfiles: the text that says what a model is made from and how it is run. Read, checked, printed.
//!
//! The grammar is Ollama's. An instruction is a word, blanks and a value that ends with its line; a value in
//! quotes or triple quotes ends at the first line that ends with them, and may contain them elsewhere. `#`
//! begins a comment where an instruction could begin. Nothing is escaped and no character is dropped.

mod decode;
mod parameters;
mod parse;
mod print;
mod stored;
mod version;

use std::fmt;

use crate::error::{Error, Kind, Result};

pub use parameters::{Parameter, Setting};
pub(crate) use parameters::{check_json as check_parameter, is_deprecated};
pub use stored::Stored;
pub(crate) use version::checked as check_version;

/// More than this is no Modelfile. Templates and licences take a hundredth of it.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Who speaks in a `MESSAGE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// `system`
    System,
    /// `user`
    User,
    /// `assistant`
    Assistant,
}

impl Role {
    /// The name in Modelfiles and in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::System, Self::User, Self::Assistant]
            .into_iter()
            .find(|role| role.name().eq_ignore_ascii_case(name))
    }
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Instruction {
    /// `FROM`: a model, a GGUF file or a folder.
    From(String),
    /// `ADAPTER`: a GGUF file with a LoRA adapter.
    Adapter(String),
    /// `DRAFT`: a GGUF file with a small model that guesses for the large one.
    Draft(String),
    /// `TEMPLATE`: how a conversation becomes a prompt, in Go's template language.
    Template(String),
    /// `SYSTEM`: what the model is told first.
    System(String),
    /// `LICENSE`: the text of a licence.
    License(String),
    /// `RENDERER`: the name of a built-in way to make prompts.
    Renderer(String),
    /// `PARSER`: the name of a built-in way to read answers.
    Parser(String),
    /// `REQUIRES`: the version of Ollama that is needed at least, without `v`.
    Requires(String),
    /// `PARAMETER`: how the model is run.
    Parameter(Parameter),
    /// `MESSAGE`: a part of the conversation that every chat begins with.
    Message(Role, String),
}

/// A Modelfile: at least one `FROM` among its instructions, every value one that the grammar can write.
///
/// ```
/// use ollama::modelfile::Modelfile;
///
/// let text = "FROM llama3.2\nPARAMETER stop \"<end>\"\nSYSTEM You are Mario.\n";
/// let modelfile = Modelfile::parse(text.as_bytes())?;
/// assert_eq!(Modelfile::parse(modelfile.to_string().as_bytes())?, modelfile);
/// # Ok::<(), ollama::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modelfile {
    instructions: Vec<Instruction>,
}

impl Modelfile {
    /// A Modelfile of these instructions.
    ///
    /// # Errors
    /// [`Kind::Invalid`] if none of them is a `FROM`, and for a value that no quotes can hold.
    pub fn new(instructions: Vec<Instruction>) -> Result<Self> {
        if !instructions
            .iter()
            .any(|one| matches!(one, Instruction::From(_)))
        {
            return Err(invalid("no FROM line"));
        }
        instructions.iter().try_for_each(|one| {
            one.check()
                .map_err(|cause| invalid(format!("{} {cause}", one.word())))
        })?;
        Ok(Self { instructions })
    }

    /// Reads a Modelfile in UTF-8, or in UTF-16 with a byte order mark.
    ///
    /// # Errors
    /// [`Kind::Invalid`], with the number of the line: `(line 3): unknown parameter 'top'`.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_BYTES {
            return Err(invalid(format!(
                "a Modelfile has at most {} MiB",
                MAX_BYTES >> 20
            )));
        }
        Self::new(parse::instructions(&decode::text(bytes)?)?)
    }

    /// All instructions, in their order.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }
}

/// One instruction a line, quoted where it must be. [`Modelfile::parse`] reads the same again.
impl fmt::Display for Modelfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.instructions
            .iter()
            .try_for_each(|one| writeln!(f, "{one}"))
    }
}

impl Instruction {
    /// The word that it begins with.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::From(_) => "FROM",
            Self::Adapter(_) => "ADAPTER",
            Self::Draft(_) => "DRAFT",
            Self::Template(_) => "TEMPLATE",
            Self::System(_) => "SYSTEM",
            Self::License(_) => "LICENSE",
            Self::Renderer(_) => "RENDERER",
            Self::Parser(_) => "PARSER",
            Self::Requires(_) => "REQUIRES",
            Self::Parameter(_) => "PARAMETER",
            Self::Message(..) => "MESSAGE",
        }
    }

    /// Whether it can be written so that it is read again; or why not.
    fn check(&self) -> Result<(), String> {
        match self {
            Self::From(value) | Self::Adapter(value) | Self::Draft(value) if value.is_empty() => {
                Err("has no value".to_owned())
            }
            Self::Requires(value) if version::checked(value) != Ok(value) => {
                Err(format!("has no version: {value:?}"))
            }
            one if !print::can_be_written(one.value()) => {
                Err("cannot be written: a line of its value ends with \"\"\"".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn value(&self) -> &str {
        match self {
            Self::From(value)
            | Self::Adapter(value)
            | Self::Draft(value)
            | Self::Template(value)
            | Self::System(value)
            | Self::License(value)
            | Self::Renderer(value)
            | Self::Parser(value)
            | Self::Requires(value)
            | Self::Message(_, value) => value,
            Self::Parameter(parameter) => parameter.text(),
        }
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, message)
}

/// An error about a line, counted from 1.
fn at_line(line: usize, message: impl fmt::Display) -> Error {
    invalid(format!("(line {line}): {message}"))
}

#[cfg(test)]
mod tests;
