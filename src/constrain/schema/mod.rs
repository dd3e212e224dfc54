//! JSON Schema: what llguidance can obey is passed on in one shape, all else is refused with its place.

mod explain;
mod finite;
mod keywords;
mod place;
mod value;
mod walk;

use llguidance::api::TopLevelGrammar;
use serde_json::{Map, Value, json};

use super::compile::{self, Compiled, Refusal};
use crate::error::{Error, Result};
use place::Place;

/// Blanks between the parts of a value: none, one, or one or two line breaks with an indentation.
const BLANKS: &str = r"( |\n{1,2}[ \t]{0,20})";
/// Characters after the backslash in a string. Without `u` each text has one spelling.
const ESCAPES: &str = "nrbtf\\\"";

/// A schema that only says what can be obeyed.
pub(super) struct Checked {
    /// Without annotations; `$ref` leads to `#/$defs/N` only.
    root: Value,
    /// The schemas that are referred to, in order of their numbers.
    defs: Vec<Def>,
}

struct Def {
    schema: Value,
    /// Where it stands in the schema that was given.
    place: Place,
}

/// Reads a schema.
pub(super) fn check(schema: &Value) -> Result<Checked> {
    let checked = walk::walk(schema).map_err(About::error)?;
    finite::check(&checked).map_err(About::error)?;
    Ok(checked)
}

/// A refusal with the place that it is about.
struct About {
    place: Place,
    refusal: Refusal,
}

impl About {
    fn error(self) -> Error {
        let Self { place, refusal } = self;
        Error::new(
            refusal.kind,
            format!("schema: {} (at {place})", refusal.why),
        )
    }
}

impl Checked {
    /// The grammar of the schema's values.
    pub(super) fn compile(&self) -> Result<Compiled> {
        compile_document(self.document(&self.root)).map_err(|refusal| {
            let place = explain::place(self);
            About { place, refusal }.error()
        })
    }

    /// The schema as llguidance takes it.
    pub(super) fn text(&self) -> String {
        self.document(&self.root).to_string()
    }

    /// A document that says how llguidance is to understand `root`, with all definitions.
    fn document(&self, root: &Value) -> Value {
        let mut document = match root {
            Value::Object(schema) => schema.clone(),
            Value::Bool(false) => Map::from_iter([("enum".to_owned(), json!([]))]),
            _ => Map::new(),
        };
        if !self.defs.is_empty() {
            let schemas = self.defs.iter().map(|def| &def.schema);
            let named = (0..).zip(schemas);
            let defs = named.map(|(index, schema): (usize, _)| (index.to_string(), schema.clone()));
            document.insert("$defs".to_owned(), Value::Object(defs.collect()));
        }
        let options = json!({ "whitespace_pattern": BLANKS, "json_allowed_escapes": ESCAPES });
        document.insert("x-guidance".to_owned(), options);
        Value::Object(document)
    }
}

fn compile_document(document: Value) -> Result<Compiled, Refusal> {
    compile::compile(TopLevelGrammar::from_json_schema(document))
}
