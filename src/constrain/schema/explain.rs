//! Which keyword it was that llguidance can't obey: the innermost schema that it refuses by itself, and
//! the keyword without which it would not.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::place::Place;
use super::{Checked, compile_document};

/// How long to look; then the place that was found so far has to do.
const TIME: Duration = Duration::from_millis(300);

/// The place of the keyword that a schema is refused for.
pub(super) fn place(checked: &Checked) -> Place {
    let search = Search {
        checked,
        until: Instant::now() + TIME,
    };
    let roots = checked
        .defs
        .iter()
        .map(|def| (&def.schema, def.place.clone()));
    let mut roots = roots.chain([(&checked.root, Place::default())]);
    match roots.find(|(schema, _)| search.refuses(schema)) {
        Some((schema, place)) => search.innermost(schema, place),
        None => Place::default(),
    }
}

struct Search<'a> {
    checked: &'a Checked,
    until: Instant,
}

impl Search<'_> {
    fn refuses(&self, schema: &Value) -> bool {
        Instant::now() < self.until && compile_document(self.checked.document(schema)).is_err()
    }

    fn innermost(&self, schema: &Value, place: Place) -> Place {
        let (mut schema, mut place) = (schema, place);
        // As deep as schemas may be.
        loop {
            let mut parts = parts(schema, &place).into_iter();
            match parts.find(|(part, _)| self.refuses(part)) {
                Some((part, its)) => (schema, place) = (part, its),
                None => break,
            }
        }
        let Value::Object(keywords) = schema else {
            return place;
        };
        // Without a type others are allowed, and without parts much else, whatever was wrong.
        let mut names: Vec<&String> = keywords.keys().collect();
        names.sort_by_key(|name| match name.as_str() {
            "type" => 2,
            "properties" | "patternProperties" | "required" | "items" | "prefixItems" => 1,
            _ => 0,
        });
        for name in names {
            let mut without = keywords.clone();
            without.shift_remove(name);
            if !self.refuses(&Value::Object(without)) {
                return place.member(name);
            }
        }
        place
    }
}

/// The schemas within a schema, with their places.
fn parts<'a>(schema: &'a Value, place: &Place) -> Vec<(&'a Value, Place)> {
    let mut parts = Vec::new();
    let Value::Object(keywords) = schema else {
        return parts;
    };
    for (name, value) in keywords {
        let here = place.member(name);
        match (name.as_str(), value) {
            ("allOf" | "anyOf" | "oneOf" | "prefixItems" | "items", Value::Array(list)) => {
                let list = list.iter().enumerate();
                parts.extend(list.map(|(index, part)| (part, here.member(index))));
            }
            ("properties" | "patternProperties", Value::Object(members)) => {
                let members = members.iter();
                parts.extend(members.map(|(name, part)| (part, here.member(name))));
            }
            ("items" | "additionalItems" | "additionalProperties", part) => {
                parts.push((part, here))
            }
            _ => {}
        }
    }
    // That nothing is allowed is often what is meant.
    parts.retain(|(part, _)| *part != &Value::Bool(false));
    parts
}
