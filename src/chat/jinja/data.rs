//! JSON as the template sees it: dictionaries and lists that behave like Python's.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use serde_json::Value as Json;

use crate::error::{Error, Result};

use super::alphabet;
use super::python;

/// How deep values may be nested. Whatever walks them calls itself for each level.
pub(super) const MAX_DEPTH: usize = 128;

/// Dictionaries with more keys have an index.
const SMALL: usize = 12;

/// The attributes of Python's `dict`. Jinja finds them before it looks for keys.
const METHODS: [&str; 11] = [
    "clear",
    "copy",
    "fromkeys",
    "get",
    "items",
    "keys",
    "pop",
    "popitem",
    "setdefault",
    "update",
    "values",
];

/// A dictionary. Keys are found however they are spelled.
pub(super) struct Dict {
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
    depth: usize,
}

pub(super) struct Entry {
    /// How the key reads.
    name: String,
    key: Value,
    value: Value,
}

impl Entry {
    pub(super) fn new(name: impl Into<String>, key: Value, value: Value) -> Self {
        Self {
            name: name.into(),
            key,
            value,
        }
    }
}

/// A list.
pub(super) struct List {
    items: Vec<Value>,
    depth: usize,
}

impl Dict {
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        let depths = entries.iter().map(|entry| depth(&entry.value));
        let depth = 1 + depths.max().unwrap_or(0);
        let mut index = HashMap::new();
        if entries.len() > SMALL {
            let names = entries.iter().enumerate();
            index.extend(names.map(|(at, entry)| (entry.name.clone(), at)));
        }
        Self {
            entries,
            index,
            depth,
        }
    }

    fn find(&self, wanted: &str) -> Option<Value> {
        let wanted = alphabet::plain(wanted);
        let entry = if self.index.is_empty() {
            self.entries.iter().find(|entry| entry.name == wanted)
        } else {
            self.entries.get(*self.index.get(&*wanted)?)
        };
        entry.map(|entry| entry.value.clone())
    }
}

impl List {
    pub(super) fn new(items: Vec<Value>) -> Self {
        let depth = 1 + items.iter().map(depth).max().unwrap_or(0);
        Self { items, depth }
    }
}

/// How deep a value is nested that was made here; others count as flat.
pub(super) fn depth(value: &Value) -> usize {
    if let Some(dict) = value.downcast_object_ref::<Dict>() {
        dict.depth
    } else if let Some(list) = value.downcast_object_ref::<List>() {
        list.depth
    } else {
        0
    }
}

/// A method that is looked at without being called.
#[derive(Debug)]
struct Method;

impl Object for Method {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

impl Object for Dict {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.find(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if METHODS.contains(&key) {
            return Some(Value::from_object(Method));
        }
        self.find(key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.entries.iter().map(|entry| entry.key.clone()).collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.entries.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            &python::str_of_input(&Value::from_dyn_object(self.clone())).map_err(|_| fmt::Error)?,
        )
    }
}

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.items.get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.items.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            &python::str_of_input(&Value::from_dyn_object(self.clone())).map_err(|_| fmt::Error)?,
        )
    }
}

impl fmt::Debug for Dict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries.iter().map(|entry| (&entry.key, &entry.value));
        f.debug_map().entries(entries).finish()
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.items).finish()
    }
}

/// A dictionary with these names, which are the template's language and no message's text.
pub(super) fn record(fields: Vec<(&str, Value)>) -> Value {
    let entries = fields
        .into_iter()
        .map(|(name, value)| Entry::new(name, Value::from(name), value));
    Value::from_object(Dict::new(entries.collect()))
}

/// JSON as a value, each text and key spelled by `spell`.
pub(super) fn from_json(json: &Json, spell: &mut dyn FnMut(&str) -> String) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(bool) => Value::from(*bool),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::from(number),
            (_, Some(number)) => Value::from(number),
            _ => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(spell(text)),
        Json::Array(items) => {
            let items = items.iter().map(|item| from_json(item, spell)).collect();
            Value::from_object(List::new(items))
        }
        Json::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| {
                Entry::new(key, Value::from(spell(key)), from_json(value, spell))
            });
            Value::from_object(Dict::new(entries.collect()))
        }
    }
}

/// Calls `see` for every text and key.
///
/// # Errors
/// Where the JSON is nested deeper than all that walk it may go.
pub(super) fn texts<'j>(json: &'j Json, see: &mut dyn FnMut(&'j str)) -> Result<()> {
    // Three levels of a conversation are around it.
    walk(json, MAX_DEPTH - 8, see)
}

fn walk<'j>(json: &'j Json, depth: usize, see: &mut dyn FnMut(&'j str)) -> Result<()> {
    let below = depth.checked_sub(1);
    let below = below.ok_or_else(|| Error::argument("JSON in a conversation is nested too deep"));
    match json {
        Json::String(text) => see(text),
        Json::Array(items) => {
            let below = below?;
            for item in items {
                walk(item, below, see)?;
            }
        }
        Json::Object(entries) => {
            let below = below?;
            for (key, value) in entries {
                see(key);
                walk(value, below, see)?;
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
    Ok(())
}
