//! What an answer must be: a value of a JSON Schema, a match of an expression, a text of a grammar.

use std::sync::{Arc, Mutex, PoisonError};

use llguidance::api::TopLevelGrammar;
use serde_json::Value;

use super::compile::{Compiled, Refusal, compile, with_stack};
use super::lark::Lark;
use super::matcher::{Matcher, Plan};
use super::parser::Parser;
use super::table::TokenTable;
use super::trigger::Triggers;
use super::{gbnf, lark, limits, regex, schema};
use crate::error::{Error, Result};

/// What an answer must be.
///
/// Made once from a schema, an expression or a grammar, for any number of requests and vocabularies,
/// from any thread; clones share what was compiled. What can't be obeyed exactly is refused when the
/// constraint is made, so that no answer is less constrained than was asked for.
///
/// A constraint acts as if all tokens that can't come next had no probability, before all other
/// sampling. The answer ends where the value is whole and can't go on; where it could go on the model
/// decides, by drawing a token that ends the answer. An answer that a limit ends earlier is marked as
/// not complete.
///
/// ```
/// use llamakit::constrain::Constraint;
///
/// let person = serde_json::json!({
///     "type": "object",
///     "properties": { "name": { "type": "string" }, "age": { "type": "integer", "minimum": 0 } },
///     "required": ["name", "age"],
///     "additionalProperties": false
/// });
/// let constraint = Constraint::json_schema(&person)?.after("</think>")?;
///
/// let error = Constraint::json_schema(&serde_json::json!({
///     "properties": { "tags": { "type": "array", "uniqueItems": true } }
/// }));
/// assert!(error.unwrap_err().message().contains("/properties/tags/uniqueItems"));
/// # Ok::<(), llamakit::Error>(())
/// ```
#[derive(Clone)]
pub struct Constraint {
    grammar: Arc<Grammar>,
    triggers: Triggers,
}

/// A grammar, and its parser for the vocabulary that it was used with last.
struct Grammar {
    source: Source,
    json: bool,
    last: Mutex<Option<Parser>>,
}

enum Source {
    Compiled(Box<Compiled>),
    /// It asks for tokens, which each vocabulary has others of.
    WithTokens(Lark),
}

impl Constraint {
    /// Any JSON object.
    ///
    /// # Errors
    ///
    /// None but a lack of memory or threads.
    pub fn json_object() -> Result<Self> {
        Self::json_schema(&serde_json::json!({ "type": "object" }))
    }

    /// A JSON value that a schema accepts (json-schema.org; drafts 4 to 2020-12 by `$schema`, else
    /// 2020-12).
    ///
    /// Understood are `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`,
    /// `patternProperties`, `minProperties` and `maxProperties` (where they only concern names that are
    /// free), `items`, `prefixItems`, `additionalItems`, `minItems`, `maxItems`, `minLength`,
    /// `maxLength`, `pattern`, `format` (`date-time`, `date`, `time`, `duration`, `email`, `hostname`,
    /// `ipv4`, `ipv6`, `uuid`, `uri`: their shapes), `minimum`, `maximum`, `exclusiveMinimum`,
    /// `exclusiveMaximum`, `multipleOf`, `anyOf`, `allOf`, `oneOf` (of alternatives that evidently
    /// exclude each other), and `$ref` to places in the schema. Annotations and keywords that begin with
    /// `x-` are passed over. Every other keyword is an error: to pass over it would leave the answer
    /// less constrained than was asked for.
    ///
    /// The answer is narrower than the schema in what a reader of JSON doesn't see or need:
    /// properties come in the order in which the schema names them and further ones after them;
    /// between the parts there may be one blank, or one or two line breaks with up to 20 blanks or
    /// tabs; strings have no `\u` and `\/`; numbers have at most 18 digits before the point, 40
    /// after it and 2 in an exponent; integers and multiples are above -10^15, multiples below
    /// 10^15, where the schema has no bounds. A schema that only says what objects look like at its
    /// root means an object.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) for what is no schema or accepts no finite
    /// value, [`ErrorKind::Unsupported`](crate::ErrorKind) for what can't be obeyed or is too
    /// large. The message names the keyword and its place as a JSON Pointer.
    pub fn json_schema(schema: &Value) -> Result<Self> {
        with_stack(|| {
            let checked = schema::check(schema)?;
            let compiled = checked.compile()?;
            Self::compiled(compiled, true, "schema")
        })
    }

    /// Text that a regular expression matches as a whole (the syntax of the `regex` crate, without
    /// boundaries and look-around; `^` at the beginning and `$` at the end change nothing).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) for what is no regular expression or matches no text,
    /// [`ErrorKind::Unsupported`](crate::ErrorKind) for what can't be obeyed or is too large.
    pub fn regex(pattern: &str) -> Result<Self> {
        with_stack(|| {
            let what = "regular expression";
            regex::check(pattern).map_err(|why| why.about(what))?;
            let compiled = compile(TopLevelGrammar::from_regex(pattern));
            Self::compiled(compiled.map_err(|why| why.about(what))?, false, what)
        })
    }

    /// Exactly one of these texts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) without a text that is not empty;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind) for more than 10,000 texts or too long ones.
    pub fn choice<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Result<Self> {
        let texts = texts.into_iter().take(limits::CHOICES + 1);
        let texts: Vec<String> = texts.map(|text| text.as_ref().to_owned()).collect();
        with_stack(|| {
            let grammar = lark::choice(&texts)?;
            let compiled = compile(TopLevelGrammar::from_lark(grammar));
            Self::compiled(
                compiled.map_err(|why| why.about("choice"))?,
                false,
                "choice",
            )
        })
    }

    /// A text of a grammar in llguidance's dialect of Lark
    /// (<https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md>), from its rule `start`.
    ///
    /// Terminals match as much as they can, as they do in Lark. `%json` takes a schema as
    /// [`json_schema`](Self::json_schema) does. `<name>` and `<[id]>` are tokens, control tokens among
    /// them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) for what is no grammar,
    /// [`ErrorKind::Unsupported`](crate::ErrorKind) for what can't be obeyed (`stop=`,
    /// `temperature=`, bytes that are not UTF-8) or is too large.
    pub fn lark(grammar: &str) -> Result<Self> {
        with_stack(|| Self::from_lark(Lark::read(grammar)?, "Lark grammar"))
    }

    /// A text of a grammar as llama.cpp's programs read it, from its rule `root`
    /// (<https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md>).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) for what is no grammar: the message names
    /// line and rule, also of rules that are not defined, begin with themselves, or match no finite
    /// text. [`ErrorKind::Unsupported`](crate::ErrorKind) for what is too large.
    pub fn gbnf(grammar: &str) -> Result<Self> {
        with_stack(|| Self::from_lark(gbnf::to_lark(grammar)?, "GBNF grammar"))
    }

    fn from_lark(grammar: Lark, what: &str) -> Result<Self> {
        let compiled = compile(TopLevelGrammar::from_lark(grammar.without_tokens()));
        let compiled = compiled.map_err(|why| why.about(what))?;
        if grammar.asks_for_tokens() {
            return Ok(Self::new(Source::WithTokens(grammar), false));
        }
        Self::compiled(compiled, false, what)
    }

    fn compiled(compiled: Compiled, json: bool, what: &str) -> Result<Self> {
        let table = TokenTable::of_bytes()?;
        let parser = Parser::new(&compiled, &table).map_err(|why| why.about(what))?;
        let this = Self::new(Source::Compiled(Box::new(compiled)), json);
        let mut matcher = Matcher::new(this.plan(&table), parser);
        let complete = matcher.is_complete();
        let any = (0..=i32::from(u8::MAX)).any(|byte| matcher.allows(crate::Token(byte)));
        if let Some(failure) = matcher.failure() {
            return Err(Refusal::unsupported(failure.message()).about(what));
        }
        if complete || !any {
            return Err(Error::argument(format!("the {what} allows no text")));
        }
        Ok(this)
    }

    fn new(source: Source, json: bool) -> Self {
        Self {
            grammar: Arc::new(Grammar {
                source,
                json,
                last: Mutex::new(None),
            }),
            triggers: Triggers::default(),
        }
    }

    /// Constrains only what comes after this text in the answer, for instance after thinking
    /// (`</think>`) or from a call of a tool on. Before it the model is free, and may end the answer.
    ///
    /// Called several times, the constraint begins after the first of the texts that is complete, once.
    /// The text is found however tokens cut it; the name of a control token counts as text. A JSON value
    /// may be preceded by up to 4 blanks or line breaks then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) for an empty text, one of more than 256
    /// bytes, or a ninth one.
    pub fn after(mut self, text: &str) -> Result<Self> {
        self.triggers.add(text)?;
        Ok(self)
    }

    /// Starts an answer in this vocabulary.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) when the grammar asks for a token that the
    /// vocabulary lacks; [`ErrorKind::Unsupported`](crate::ErrorKind) when the grammar is too
    /// complex for the vocabulary.
    pub fn matcher(&self, table: &TokenTable) -> Result<Matcher> {
        let mut last = self
            .grammar
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let parser = match &*last {
            Some(parser) if parser.table().is(table) => parser.clone(),
            _ => {
                let parser = with_stack(|| self.grammar.parser(table))?;
                *last = Some(parser.clone());
                parser
            }
        };
        drop(last);
        Ok(Matcher::new(self.plan(table), parser))
    }

    fn plan(&self, table: &TokenTable) -> Arc<Plan> {
        let may_trigger = match self.triggers.is_empty() {
            true => Vec::new(),
            false => (0..table.len())
                .map(|index| {
                    let token = crate::Token(i32::try_from(index).unwrap_or(i32::MAX));
                    let mut bytes = table.bytes(token).iter();
                    bytes.any(|&byte| self.triggers.end_with(byte))
                })
                .collect(),
        };
        Arc::new(Plan {
            triggers: self.triggers.clone(),
            may_trigger,
            json: self.grammar.json,
        })
    }
}

impl Grammar {
    fn parser(&self, table: &TokenTable) -> Result<Parser> {
        let compiled;
        let compiled = match &self.source {
            Source::Compiled(compiled) => compiled,
            Source::WithTokens(grammar) => {
                let text = grammar.with_tokens(table)?;
                compiled = compile(TopLevelGrammar::from_lark(text))
                    .map_err(|why| why.about("grammar"))?;
                &compiled
            }
        };
        Parser::new(compiled, table).map_err(|why| why.about("grammar"))
    }
}

impl std::fmt::Debug for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Constraint")
            .field("json", &self.grammar.json)
            .field("after", &self.triggers)
            .finish_non_exhaustive()
    }
}
