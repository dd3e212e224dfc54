//! Arguments that are written one by one, with their names.

use serde_json::{Map, Value};

use super::lark::{Lark, has, literal};
use super::{parameters, unsupported};
use crate::chat::message::Tool;
use crate::chat::parse::loose::is_word;
use crate::chat::parse::schema::{Types, reference};
use crate::error::{Error, Result};

/// How a format writes the arguments of a call.
#[derive(Debug)]
pub(super) struct Style {
    /// What a tool's name may not contain; empty: it must be a word.
    pub(super) name_ends: &'static str,
    call: (&'static str, &'static str, &'static str),
    /// What is around a key.
    key: (&'static str, &'static str),
    between: &'static str,
    value: Written,
}

/// How values are written.
#[derive(Debug)]
enum Written {
    /// As JSON.
    Json,
    /// Text between these quotes, all else as JSON.
    Quoted(&'static str),
    /// Without quotes, up to the end; the first is before it.
    Plain(&'static str, &'static str),
    /// Without quotes up to the end, behind a word that says that it is text; else JSON.
    Flagged {
        text: &'static str,
        json: &'static str,
        end: &'static str,
    },
}

impl Style {
    pub(super) const FUNCTION: Self = Self {
        name_ends: ">\n",
        call: ("<function=", ">\n", "</function>"),
        key: ("<parameter=", ">"),
        between: "",
        value: Written::Plain("\n", "\n</parameter>\n"),
    };
    pub(super) const INVOKE: Self = Self {
        name_ends: "\"\n",
        call: ("<invoke name=\"", "\">\n", "</invoke>"),
        key: ("<parameter name=\"", "\">"),
        between: "",
        value: Written::Plain("", "</parameter>\n"),
    };
    pub(super) const DSML: Self = Self {
        name_ends: "\"\n",
        call: ("<｜DSML｜invoke name=\"", "\">\n", "</｜DSML｜invoke>"),
        key: ("<｜DSML｜parameter name=\"", "\""),
        between: "",
        value: Written::Flagged {
            text: " string=\"true\">",
            json: " string=\"false\">",
            end: "</｜DSML｜parameter>\n",
        },
    };
    pub(super) const GLM: Self = Self {
        name_ends: "",
        call: ("", "\n", "</tool_call>"),
        key: ("<arg_key>", "</arg_key>\n<arg_value>"),
        between: "",
        value: Written::Plain("", "</arg_value>\n"),
    };
    pub(super) const PYTHON: Self = Self {
        name_ends: "",
        call: ("", "(", ")"),
        key: ("", "="),
        between: ", ",
        value: Written::Json,
    };
    pub(super) const GEMMA4: Self = Self {
        name_ends: "",
        call: ("", "{", "}"),
        key: ("", ":"),
        between: ",",
        value: Written::Quoted("<|\"|>"),
    };
    pub(super) const FUNCTION_GEMMA: Self = Self {
        value: Written::Quoted("<escape>"),
        ..Self::GEMMA4
    };
}

/// What may be said of arguments as a whole without narrowing what each may be.
const KNOWN: [&str; 12] = [
    "type",
    "properties",
    "required",
    "additionalProperties",
    "title",
    "description",
    "default",
    "examples",
    "$schema",
    "$id",
    "$defs",
    "definitions",
];

/// What of a text's schema is no demand.
const ANNOTATIONS: [&str; 8] = [
    "type",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "$comment",
    "x-guidance",
];

/// A call with its arguments in the order of the schema.
pub(super) fn list(lark: &mut Lark, tool: &Tool, style: &Style) -> Result<String> {
    let schema = parameters(tool)?;
    let name = tool.name();
    if let Some(key) = keys(&schema).find(|key| !KNOWN.contains(key)) {
        return Err(unsupported(format!(
            "tool `{name}`: this model's tool calls cannot keep to `{key}`"
        )));
    }
    let nothing = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&nothing);
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if let Some(missing) = required.iter().find(|key| !properties.contains_key(**key)) {
        return Err(Error::argument(format!(
            "tool `{name}` requires the argument `{missing}`, which it does not describe"
        )));
    }
    let mut arguments = Vec::new();
    for (key, property) in properties {
        let place = format!("tool `{name}`, argument `{key}`");
        let value = Argument {
            root: &schema,
            schema: resolved(&schema, property),
            place: &place,
        }
        .value(lark, style, key)?;
        let rule = lark.rule("argument", &value);
        arguments.push((rule, required.contains(&key.as_str())));
    }
    let arguments = joined(lark, &arguments, style.between);
    let begin = format!("{}{name}{}", style.call.0, style.call.1);
    Ok(format!(
        "{} {arguments} {}",
        lark.text(&begin),
        lark.text(style.call.2)
    ))
}

/// A schema that only refers to another one is that one.
fn resolved<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    for _ in 0..16 {
        let only = keys(schema).all(|key| key == "$ref" || ANNOTATIONS.contains(&key));
        match reference(root, schema) {
            Some(target) if only => schema = target,
            _ => break,
        }
    }
    schema
}

fn keys(schema: &Value) -> impl Iterator<Item = &str> {
    schema
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str())
}

/// Arguments of which some may be left out, with what is between two.
fn joined(lark: &mut Lark, arguments: &[(String, bool)], between: &str) -> String {
    let optional = |required: &bool| if *required { "" } else { "?" };
    if between.is_empty() {
        let each = arguments
            .iter()
            .map(|(rule, r)| format!("{rule}{}", optional(r)));
        return each.collect::<Vec<_>>().join(" ");
    }
    // From the last on: what may follow an argument, and what may be there if none came before.
    let (mut follow, mut all) = (String::new(), String::new());
    for (rule, required) in arguments.iter().rev() {
        let here = if follow.is_empty() {
            rule.clone()
        } else {
            format!("{rule} {follow}")
        };
        let more = format!("{} {here}", literal(between));
        let (new_follow, new_all) = match (required, follow.is_empty()) {
            (true, _) => (more, here),
            (false, true) => (format!("({more})?"), format!("({here})?")),
            (false, false) => (format!("({more} | {follow})"), format!("({here} | {all})")),
        };
        follow = lark.rule("follow", &new_follow);
        all = lark.rule("all", &new_all);
    }
    all
}

/// An argument and its schema.
struct Argument<'a> {
    root: &'a Value,
    schema: &'a Value,
    place: &'a str,
}

impl Argument<'_> {
    /// The argument with its key.
    fn value(&self, lark: &mut Lark, style: &Style, key: &str) -> Result<String> {
        let before = format!("{}{key}{}", style.key.0, style.key.1);
        let ends = match style.value {
            Written::Json | Written::Quoted(_) => !key.chars().all(is_word) || key.is_empty(),
            _ => key.contains(['<', '>', '"', '\n']) || key.trim() != key || key.len() > 200,
        };
        if ends {
            return Err(self.unsupported("a name like this"));
        }
        let types = Types::of(self.root, key);
        let text_only = types.only_text() && self.alone();
        match style.value {
            Written::Json => Ok(format!("{} {}", lark.text(&before), self.json(lark))),
            Written::Quoted(quote) if text_only => {
                let rest = self.text(lark, "", quote, &[quote])?;
                Ok(format!("{} {rest}", lark.text(&format!("{before}{quote}"))))
            }
            Written::Quoted(_) => Ok(format!("{} {}", lark.text(&before), self.json(lark))),
            Written::Flagged { text, end, .. } if text_only => {
                let rest = self.text(lark, "", end, &[end.trim()])?;
                Ok(format!("{} {rest}", lark.text(&format!("{before}{text}"))))
            }
            Written::Flagged { json, end, .. } => {
                let before = lark.text(&format!("{before}{json}"));
                Ok(format!("{before} {} {}", self.json(lark), lark.text(end)))
            }
            Written::Plain(start, end) => {
                let before = lark.text(&format!("{before}{start}"));
                if text_only || (types.text() && self.plain(self.schema, &mut 16)) {
                    let rest = self.text(lark, start, end, &[end.trim()])?;
                    Ok(format!("{before} {rest}"))
                } else if types.text() {
                    Err(self.unsupported("text or something else, with further demands"))
                } else {
                    Ok(format!("{before} {} {}", self.json(lark), lark.text(end)))
                }
            }
        }
    }

    /// JSON that fits the schema, which may refer to the whole.
    fn json(&self, lark: &mut Lark) -> String {
        let mut schema = self.schema.clone();
        if let Some(object) = schema.as_object_mut() {
            for key in ["$defs", "definitions"] {
                if let Some(definitions) = self.root.get(key) {
                    object.entry(key).or_insert_with(|| definitions.clone());
                }
            }
        }
        lark.json(&schema)
    }

    /// Whether the schema itself says all about the text.
    fn alone(&self) -> bool {
        ["anyOf", "oneOf", "allOf", "$ref", "not", "if"]
            .iter()
            .all(|key| !has(self.schema, key))
    }

    /// Whether any text is right, whatever it is read as.
    fn plain(&self, schema: &Value, budget: &mut u32) -> bool {
        if *budget == 0 {
            return false;
        }
        *budget -= 1;
        let compound = ["array", "object"];
        let types = &schema["type"];
        if compound.iter().any(|kind| types == kind) {
            return keys(schema).all(|key| ANNOTATIONS.contains(&key));
        }
        keys(schema).all(|key| match key {
            "anyOf" | "oneOf" => schema[key]
                .as_array()
                .is_some_and(|all| all.iter().all(|one| self.plain(one, budget))),
            "$ref" => reference(self.root, schema).is_some_and(|target| self.plain(target, budget)),
            key => ANNOTATIONS.contains(&key),
        })
    }

    /// Text without quotes and what ends it.
    fn text(&self, lark: &mut Lark, start: &str, end: &str, never: &[&str]) -> Result<String> {
        let schema = self.schema;
        let values: Vec<&Value> = match (schema.get("const"), schema["enum"].as_array()) {
            (Some(value), _) => vec![value],
            (None, Some(values)) => values.iter().collect(),
            (None, None) => Vec::new(),
        };
        let texts: Vec<&str> = values.iter().filter_map(|value| value.as_str()).collect();
        if !texts.is_empty() {
            let inner = |text: &&str| never.iter().any(|never| text.contains(never));
            if texts.iter().any(inner) || texts.len() != values.len() {
                return Err(self.unsupported("`enum`"));
            }
            let choices = texts.iter().map(|text| {
                if text.is_empty() {
                    lark.text(end)
                } else {
                    format!("{} {}", literal(text), lark.text(end))
                }
            });
            return Ok(format!("({})", choices.collect::<Vec<_>>().join(" | ")));
        }
        let demand = keys(schema).find(|key| {
            !ANNOTATIONS.contains(key)
                && !matches!(*key, "minLength" | "maxLength" | "anyOf" | "oneOf" | "$ref")
        });
        if let Some(key) = demand {
            return Err(self.unsupported(&format!("`{key}`")));
        }
        let limit = |key: &str| schema[key].as_f64().map(|limit| limit.max(0.0) as u64);
        let (mut min, max) = (limit("minLength").unwrap_or(0), limit("maxLength"));
        let end_text = end.trim_start();
        let end = if lark.special(end_text.trim_end()) {
            // A token ends the text, of which a last line break is no part then.
            min += u64::from(min > 0 && !start.is_empty());
            end_text
        } else {
            end
        };
        if max.is_some_and(|max| max < min) {
            return Err(self.unsupported("`maxLength` below `minLength`"));
        }
        let never: Vec<String> = never.iter().map(|text| (*text).to_owned()).collect();
        Ok(lark.bounded(&never, end, min, max))
    }

    fn unsupported(&self, what: &str) -> Error {
        let place = self.place;
        unsupported(format!(
            "{place}: this model's tool calls cannot keep to {what}"
        ))
    }
}
