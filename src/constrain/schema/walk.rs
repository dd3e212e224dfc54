//! Goes over a schema and all that it refers to, and leaves what says something about values.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::keywords::{Draft, Keyword, draft, keyword};
use super::place::Place;
use super::value::{bad, constant, count, number, unsupported};
use super::{About, Checked, Def};
use crate::constrain::compile::Refusal;
use crate::constrain::{limits, regex};

const TYPES: [&str; 7] = [
    "null", "boolean", "integer", "number", "string", "array", "object",
];

/// Keywords that only say something about objects.
const OF_OBJECTS: [&str; 6] = [
    "additionalProperties",
    "maxProperties",
    "minProperties",
    "patternProperties",
    "properties",
    "required",
];

/// Formats of texts that are obeyed.
const FORMATS: [&str; 10] = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "time",
    "uri",
    "uuid",
];

/// Formats that say how a value is kept, not what it looks like (OpenAPI).
const STORAGE: [&str; 16] = [
    "binary", "byte", "double", "float", "int", "int16", "int32", "int64", "int8", "password",
    "uint", "uint16", "uint32", "uint64", "uint8", "decimal",
];

/// Where numbers end that need bounds and have none.
const BOUND: f64 = 999_999_999_999_999.0;

pub(super) fn walk(schema: &Value) -> Result<Checked, About> {
    let root = Place::default();
    let draft = match schema.get("$schema") {
        None => Draft::Draft2020,
        Some(Value::String(uri)) => match draft(uri) {
            Some(draft) => draft,
            None => return unsupported(root.member("$schema"), format!("unknown schema {uri:?}")),
        },
        Some(_) => return bad(root.member("$schema"), "not a string"),
    };
    let mut walk = Walk {
        document: schema,
        draft,
        numbers: HashMap::new(),
        waiting: Vec::new(),
        looked_at: 0,
        length: 0,
        name_patterns: 0,
        options: 0,
        multiples: Vec::new(),
    };
    let mut checked = Checked {
        root: walk.schema(schema, &root, 0)?,
        defs: Vec::new(),
    };
    if let Value::Object(schema) = &mut checked.root
        && !schema.is_empty()
        && schema
            .keys()
            .all(|name| OF_OBJECTS.contains(&name.as_str()))
    {
        schema.insert("type".to_owned(), json!("object"));
    }
    while let Some(place) = walk.waiting.get(checked.defs.len()).cloned() {
        let Some(target) = place.find(schema) else {
            return bad(place, "a $ref leads here, where nothing is");
        };
        let schema = walk.schema(target, &place, 0)?;
        checked.defs.push(Def { schema, place });
    }
    Ok(checked)
}

struct Walk<'a> {
    document: &'a Value,
    draft: Draft,
    /// The numbers of the places that are referred to.
    numbers: HashMap<Place, usize>,
    waiting: Vec<Place>,
    looked_at: usize,
    length: usize,
    name_patterns: usize,
    /// Repetitions and groups in all patterns.
    options: usize,
    /// All different `multipleOf`: whole numbers, and how many of their digits come after the point.
    multiples: Vec<(f64, i32)>,
}

impl Walk<'_> {
    fn schema(&mut self, schema: &Value, place: &Place, depth: usize) -> Result<Value, About> {
        self.looked_at += 1;
        if self.looked_at > limits::SCHEMAS {
            let why = format!("too large: more than {} schemas", limits::SCHEMAS);
            return unsupported(place.clone(), why);
        }
        if depth > limits::DEPTH {
            let why = format!("nested more than {} deep", limits::DEPTH);
            return unsupported(place.clone(), why);
        }
        let keywords = match schema {
            Value::Bool(_) => return Ok(schema.clone()),
            Value::Object(keywords) => keywords,
            _ => return bad(place.clone(), "a schema is an object, true or false"),
        };
        let mut out = Map::new();
        for (name, value) in keywords {
            let here = place.member(name);
            match keyword(name, value, |other| keywords.contains_key(other)) {
                Keyword::Obeyed => {
                    if let Some(value) = self.keyword(name, value, keywords, &here, depth)? {
                        out.insert(name.clone(), value);
                    }
                }
                Keyword::Annotation => self.annotation(name, value, place)?,
                Keyword::Refused => {
                    return unsupported(here, format!("the keyword {name:?} is not supported"));
                }
                Keyword::Unknown => {
                    let why = format!("{name:?} is no keyword; an annotation begins with \"x-\"");
                    return unsupported(here, why);
                }
            }
        }
        self.check_counts(keywords, place)?;
        bound_numbers(&mut out);
        Ok(Value::Object(out))
    }

    /// Annotations that change what others mean.
    fn annotation(&self, name: &str, value: &Value, place: &Place) -> Result<(), About> {
        let here = place.member(name);
        let is_root = *place == Place::default();
        match name {
            "$schema" if self.document.get(name) != Some(value) => {
                unsupported(here, "a schema of another draft within a schema")
            }
            // Below it references would start from there.
            "$id" if !is_root && value.is_string() => {
                unsupported(here, "a schema of its own within a schema")
            }
            "id" if !is_root && value.is_string() && self.draft == Draft::Draft4 => {
                unsupported(here, "a schema of its own within a schema")
            }
            _ => Ok(()),
        }
    }

    /// What a keyword says, in llguidance's words; `None` where it says nothing.
    fn keyword(
        &mut self,
        name: &str,
        value: &Value,
        beside: &Map<String, Value>,
        place: &Place,
        depth: usize,
    ) -> Result<Option<Value>, About> {
        Ok(Some(match name {
            "type" => types(value, place)?,
            "const" => {
                constant(value, place, depth)?;
                self.add_length(value, place)?;
                value.clone()
            }
            "enum" => {
                let values = array(value, place)?;
                if values.len() > limits::CHOICES {
                    let why = format!("too large: more than {} values", limits::CHOICES);
                    return unsupported(place.clone(), why);
                }
                constant(value, place, depth)?;
                self.add_length(value, place)?;
                value.clone()
            }
            "allOf" | "anyOf" | "oneOf" | "prefixItems" => {
                if name == "prefixItems" && self.draft < Draft::Draft2020 {
                    return unsupported(place.clone(), "a keyword of a later draft");
                }
                self.list(value, place, depth)?
            }
            "items" if value.is_array() => {
                if self.draft == Draft::Draft2020 && beside.contains_key("prefixItems") {
                    return bad(place.clone(), "a list of items beside prefixItems");
                }
                self.list(value, place, depth)?
            }
            // Only beside a list of items it says something.
            "additionalItems" if !beside.get("items").is_some_and(Value::is_array) => {
                return Ok(None);
            }
            "items" | "additionalItems" | "additionalProperties" => {
                self.schema(value, place, depth + 1)?
            }
            "properties" | "patternProperties" => {
                let Value::Object(members) = value else {
                    return bad(place.clone(), "not an object");
                };
                if name == "patternProperties" {
                    self.name_patterns += members.len();
                    if members.len() > limits::NAME_PATTERNS
                        || self.name_patterns > limits::ALL_NAME_PATTERNS
                    {
                        return unsupported(place.clone(), "too many patterns of names");
                    }
                }
                if members.len() > limits::PROPERTIES {
                    let why = format!("too large: more than {} properties", limits::PROPERTIES);
                    return unsupported(place.clone(), why);
                }
                let mut out = Map::new();
                for (member, schema) in members {
                    let here = place.member(member);
                    self.length += member.len();
                    let member = match name {
                        "patternProperties" => self.pattern(member, &here)?,
                        _ => member.clone(),
                    };
                    out.insert(member, self.schema(schema, &here, depth + 1)?);
                }
                self.check_length(place)?;
                Value::Object(out)
            }
            "required" => {
                for (index, name) in array(value, place)?.iter().enumerate() {
                    if !name.is_string() {
                        return bad(place.member(index), "not a string");
                    }
                }
                self.add_length(value, place)?;
                value.clone()
            }
            "$ref" => self.reference(value, place)?,
            "pattern" => {
                let text = string(value, place)?;
                self.length += text.len();
                Value::from(self.pattern(text, place)?)
            }
            "format" => {
                let format = string(value, place)?;
                if STORAGE.contains(&format) {
                    return Ok(None);
                }
                if !FORMATS.contains(&format) {
                    return unsupported(place.clone(), format!("unknown format {format:?}"));
                }
                value.clone()
            }
            "minimum" | "maximum" => json!(number(value, place)?),
            "exclusiveMinimum" | "exclusiveMaximum" if value.is_boolean() => {
                if self.draft > Draft::Draft4 {
                    return bad(place.clone(), "not a number");
                }
                value.clone()
            }
            "exclusiveMinimum" | "exclusiveMaximum" => json!(number(value, place)?),
            "multipleOf" => {
                self.multiple_of(value, place)?;
                value.clone()
            }
            // Numbers of characters, items and properties.
            _ => json!(count(value, place)?),
        }))
    }

    fn list(&mut self, value: &Value, place: &Place, depth: usize) -> Result<Value, About> {
        let schemas = array(value, place)?.iter().enumerate();
        let schemas =
            schemas.map(|(index, schema)| self.schema(schema, &place.member(index), depth + 1));
        Ok(Value::Array(schemas.collect::<Result<_, _>>()?))
    }

    fn reference(&mut self, value: &Value, place: &Place) -> Result<Value, About> {
        let reference = string(value, place)?;
        let Some(target) = Place::of_reference(reference) else {
            let why = format!("{reference:?} is no place in this schema (#/...)");
            return unsupported(place.clone(), why);
        };
        if target.find(self.document).is_none() {
            return bad(place.clone(), format!("{reference:?} leads nowhere"));
        }
        let next = self.numbers.len();
        let number = *self.numbers.entry(target.clone()).or_insert(next);
        if number == next {
            self.waiting.push(target);
        }
        Ok(Value::from(format!("#/$defs/{number}")))
    }

    /// Multiples of several numbers are multiples of all, for which each state of a product is kept.
    fn multiple_of(&mut self, value: &Value, place: &Place) -> Result<(), About> {
        let number = number(value, place)?;
        if number <= 0.0 {
            return bad(place.clone(), "not above 0");
        }
        let (mut whole, mut digits) = (number, 0);
        while whole.fract() != 0.0 {
            whole *= 10.0;
            digits += 1;
        }
        if !self.multiples.contains(&(whole, digits)) {
            self.multiples.push((whole, digits));
        }
        let most = self
            .multiples
            .iter()
            .map(|multiple| multiple.1)
            .max()
            .unwrap_or(0);
        let scaled = |&(whole, digits): &(f64, i32)| whole * 10_f64.powi(most - digits);
        if self.multiples.iter().map(scaled).product::<f64>() > limits::MULTIPLES {
            return unsupported(place.clone(), "too many digits in all multipleOf");
        }
        Ok(())
    }

    /// Names may come twice where they are free, so that a number of properties says little.
    fn check_counts(&self, keywords: &Map<String, Value>, place: &Place) -> Result<(), About> {
        let Some(least) = keywords.get("minProperties").and_then(Value::as_u64) else {
            return Ok(());
        };
        let required = keywords.get("required").and_then(Value::as_array);
        let required = required.map_or(0, Vec::len) as u64;
        if least > required + 1 {
            let why = "at most one more property than is required can be asked for";
            return unsupported(place.member("minProperties"), why);
        }
        Ok(())
    }

    /// An expression as llguidance takes it.
    fn pattern(&mut self, pattern: &str, place: &Place) -> Result<String, About> {
        let pattern = regex::from_ecma(pattern);
        self.options += regex::options(&pattern);
        let checked = match self.options > limits::OPTIONS {
            true => Err(Refusal::large("too many repetitions in all patterns")),
            false => regex::check_search(&pattern),
        };
        match checked {
            Ok(()) => Ok(pattern),
            Err(refusal) => Err(About {
                place: place.clone(),
                refusal,
            }),
        }
    }

    fn add_length(&mut self, value: &Value, place: &Place) -> Result<(), About> {
        self.length += value.to_string().len();
        self.check_length(place)
    }

    fn check_length(&self, place: &Place) -> Result<(), About> {
        if self.length > limits::TEXT {
            let why = format!("too large: its texts have more than {} bytes", limits::TEXT);
            return unsupported(place.clone(), why);
        }
        Ok(())
    }
}

fn types(value: &Value, place: &Place) -> Result<Value, About> {
    let known = |value: &Value, place: &Place| match value.as_str() {
        Some(name) if TYPES.contains(&name) => Ok(()),
        Some(name) => bad(place.clone(), format!("{name:?} is no type")),
        None => bad(place.clone(), "not the name of a type"),
    };
    match value {
        Value::Array(names) if names.is_empty() => bad(place.clone(), "no type at all")?,
        Value::Array(names) => {
            let mut names = names.iter().enumerate();
            names.try_for_each(|(index, name)| known(name, &place.member(index)))?;
        }
        _ => known(value, place)?,
    }
    Ok(value.clone())
}

fn array<'a>(value: &'a Value, place: &Place) -> Result<&'a Vec<Value>, About> {
    match value.as_array() {
        Some(array) => Ok(array),
        None => bad(place.clone(), "not an array"),
    }
}

fn string<'a>(value: &'a Value, place: &Place) -> Result<&'a str, About> {
    match value.as_str() {
        Some(text) => Ok(text),
        None => bad(place.clone(), "not a string"),
    }
}

/// Without bounds a number might never become a multiple, and an integer might be -0, which is none for
/// many readers.
fn bound_numbers(schema: &mut Map<String, Value>) {
    let multiple = schema.contains_key("multipleOf");
    let integer = match schema.get("type") {
        Some(Value::Array(names)) => {
            let has = |name: &str| names.iter().any(|other| other == name);
            has("integer") && !has("number")
        }
        Some(name) => name == "integer",
        None => false,
    };
    let mut bound = |inclusive: &str, exclusive: &str, bound: f64| {
        if !schema.contains_key(inclusive) && !schema.get(exclusive).is_some_and(Value::is_number) {
            schema.insert(inclusive.to_owned(), json!(bound));
        }
    };
    if multiple || integer {
        bound("minimum", "exclusiveMinimum", -BOUND);
    }
    if multiple {
        bound("maximum", "exclusiveMaximum", BOUND);
    }
}
