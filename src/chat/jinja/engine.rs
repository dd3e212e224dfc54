//! One template in the engine, and the limits within which it is rendered.

use std::borrow::Cow;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Error as EngineError, ErrorKind, Output, State, Value};

use crate::error::{Error, Result};

use super::failure::{self, NAME};
use super::{filters, functions, python};

/// Templates of published models have 60 KiB at most.
const MAX_SOURCE: usize = 1 << 20;

/// Enough for the deepest tree that the parser accepts and for the deepest calls of macros, in builds
/// without optimisation as well. Pages that are not used take no memory.
const STACK: usize = 16 << 20;

/// Macros within macros count several of these.
const MAX_CALLS: usize = 250;

/// A unit is about one step of the template, or 64 bytes of text.
const WORK: u64 = 2_000_000;
const WORK_PER_ITEM: u64 = 10_000;

/// What a rendering may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) work: u64,
    pub(super) output: usize,
    pub(super) time: Duration,
}

impl Limits {
    /// For an input of so many bytes in so many messages, tools and documents.
    pub(super) fn for_input(bytes: usize, items: usize, time: Duration) -> Self {
        let work = (items as u64).saturating_mul(WORK_PER_ITEM);
        Self {
            work: work.saturating_add(bytes as u64).saturating_add(WORK),
            output: bytes.saturating_mul(8).saturating_add(16 << 20),
            time,
        }
    }
}

#[derive(Debug)]
pub(super) struct Engine {
    env: Environment<'static>,
}

impl Engine {
    /// Parses a source that was rewritten for the engine. On a stack of its own only.
    pub(super) fn new(source: String) -> Result<Self> {
        if source.len() > 2 * MAX_SOURCE {
            return Err(failure::nowhere("the template is too long"));
        }
        let mut env = Environment::new();
        env.set_debug(false);
        env.set_recursion_limit(MAX_CALLS);
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_unknown_method_callback(functions::call_method);
        functions::add(&mut env);
        filters::add(&mut env);
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(|error| failure::from_engine(&error))?;
        env.set_syntax(syntax);
        env.add_template_owned(NAME, source)
            .map_err(|error| failure::from_engine(&error))?;
        Ok(Self { env })
    }

    /// Renders the template. On a stack of its own only.
    pub(super) fn render(&self, context: Value, limits: Limits) -> Result<String> {
        let deadline = Instant::now() + limits.time;
        let mut env = self.env.clone();
        env.set_fuel(Some(limits.work));
        env.set_formatter(move |out, state, value| {
            if Instant::now() > deadline {
                return Err(EngineError::new(
                    ErrorKind::InvalidOperation,
                    "rendering takes longer than it may",
                ));
            }
            print(out, state, value)
        });
        let mut writer = Writer {
            text: Vec::new(),
            limit: limits.output,
            full: false,
        };
        let outcome = env
            .get_template(NAME)
            .and_then(|template| template.render_captured_to(context, &mut writer).map(drop));
        if writer.full {
            return Err(failure::nowhere(format_args!(
                "it writes more than {} bytes",
                limits.output
            )));
        }
        outcome.map_err(|error| failure::from_engine(&error))?;
        String::from_utf8(writer.text).map_err(failure::nowhere)
    }
}

/// Refuses what is too long to be parsed.
pub(super) fn check_length(source: &str) -> Result<()> {
    if source.len() <= MAX_SOURCE {
        return Ok(());
    }
    Err(failure::nowhere(format_args!(
        "{} bytes are more than the {MAX_SOURCE} that a template may have",
        source.len()
    )))
}

/// Runs this on a thread with a stack whose size is known, because the engine calls itself for all that
/// is nested.
pub(super) fn on_own_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("chat template".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, work)
            .map_err(|error| {
                Error::new(
                    crate::ErrorKind::OutOfMemory,
                    format!("no thread for the chat template: {error}"),
                )
            })?;
        thread
            .join()
            .unwrap_or_else(|_| Err(failure::nowhere("the engine panicked")))
    })
}

/// Prints a value as Python does.
fn print(
    out: &mut Output,
    state: &mut State,
    value: &Value,
) -> std::result::Result<(), EngineError> {
    let text = match (value.as_str(), value.kind()) {
        (Some(text), _) => Cow::Borrowed(text),
        (None, ValueKind::Undefined) => return Ok(()),
        _ => Cow::Owned(python::str(state, value)?),
    };
    out.write_str(&text).map_err(EngineError::from)
}

/// Collects what is written up to a limit.
struct Writer {
    text: Vec<u8>,
    limit: usize,
    full: bool,
}

impl io::Write for &mut Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit.saturating_sub(self.text.len()) {
            self.full = true;
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
