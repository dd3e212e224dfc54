//! From a grammar to a parser: llguidance, with limits and without its panics.

use std::panic::AssertUnwindSafe;

use llguidance::api::{GrammarInit, TopLevelGrammar};
use llguidance::earley::Grammar;
use llguidance::earley::lexerspec::LexerSpec;
use llguidance::{Logger, TokenParser, panic_utils};

use super::limits;
use super::table::TokenTable;
use crate::error::{Error, ErrorKind, Result};

/// A grammar that was read and fits any vocabulary.
#[derive(Clone)]
pub(super) struct Compiled {
    grammar: Grammar,
    lexer: LexerSpec,
}

/// Why something can't be a constraint.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) kind: ErrorKind,
    pub(super) why: String,
}

impl Refusal {
    pub(super) fn bad(why: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::InvalidArgument,
            why: why.into(),
        }
    }

    pub(super) fn unsupported(why: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Unsupported,
            why: why.into(),
        }
    }

    pub(super) fn large(why: impl Into<String>) -> Self {
        Self::unsupported(why)
    }

    /// In llguidance's words, which say what is wrong and what is too much in the same way.
    fn from_words(why: String) -> Self {
        if why.starts_with("oneOf constraints") {
            return Self::unsupported("the alternatives do not evidently exclude each other");
        }
        let limits = [
            "too ",
            "limit",
            "fuel",
            "not supported",
            "only supported",
            "nimplemented",
            "Unknown format",
            "panic",
        ];
        match limits.iter().any(|word| why.contains(word)) {
            true => Self::unsupported(why),
            false => Self::bad(why),
        }
    }

    pub(super) fn about(self, what: &str) -> Error {
        Error::new(self.kind, format!("{what}: {}", self.why))
    }
}

/// Reads a grammar. What it asks for by token is not looked up.
pub(super) fn compile(grammar: TopLevelGrammar) -> Result<Compiled, Refusal> {
    let limits = limits::parser();
    let init = GrammarInit::Serialized(grammar);
    let (grammar, lexer) =
        guarded(|| init.to_internal(None, limits)).map_err(Refusal::from_words)?;
    if lexer.has_stop {
        let why = "stop= takes text back that was already given; use suffix=";
        return Err(Refusal::unsupported(why));
    }
    let mut warnings = lexer.grammar_warnings.iter();
    // That tokens are not looked up yet is known; whatever else it would pass over is refused.
    if let Some((warning, _)) = warnings.find(|(text, _)| !text.starts_with("no tokenizer")) {
        return Err(Refusal::unsupported(warning.as_str()));
    }
    Ok(Compiled { grammar, lexer })
}

impl Compiled {
    /// A parser at the start of the grammar.
    pub(super) fn parser(&self, table: &TokenTable) -> Result<TokenParser, Refusal> {
        let init = GrammarInit::Internal(self.grammar.clone(), self.lexer.clone());
        let factory = table.factory();
        let caps = Default::default();
        let limits = limits::parser();
        let mut parser =
            guarded(|| factory.create_parser_from_init_ext(init, Logger::new(0, 0), caps, limits))
                .map_err(Refusal::from_words)?;
        guarded(|| {
            parser.start_without_prompt();
            Ok::<_, String>(())
        })
        .map_err(Refusal::from_words)?;
        Ok(parser)
    }
}

/// Runs what calls into llguidance: panics become errors, and of errors one line.
pub(super) fn guarded<T, E: std::fmt::Display>(
    call: impl FnOnce() -> std::result::Result<T, E>,
) -> Result<T, String> {
    let call = AssertUnwindSafe(|| Ok(call().map_err(|error| words(&error.to_string()))));
    panic_utils::catch_unwind(call).unwrap_or_else(|panic| Err(words(&panic.to_string())))
}

/// The line of an error that says most, without pictures and backtraces.
fn words(text: &str) -> String {
    const MOST: usize = 300;
    let mut lines = text.lines();
    // regex-syntax draws the expression first.
    let line = match lines.clone().find(|line| line.starts_with("error: ")) {
        Some(line) => line.trim_start_matches("error: "),
        None => lines.next().unwrap_or_default(),
    };
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

/// Runs on a thread with room for everything that the limits allow to be nested.
pub(super) fn with_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("constraint".to_owned())
            .stack_size(limits::STACK)
            .spawn_scoped(scope, work)
            .map_err(|error| {
                Error::new(
                    ErrorKind::OutOfMemory,
                    format!("no thread to compile a constraint on: {error}"),
                )
            })?;
        thread.join().unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Upstream,
                "compiling the constraint failed in a way that was not foreseen",
            ))
        })
    })
}
