//! `cargo xtask api`: the public API as a list of lines, from rustdoc's JSON, and its comparison with the record.
//!
//! A line that disappears or changes breaks programs that use it; a new line does not.

mod spell;

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cargo::{cargo, run};
use spell::{generics, path_with_args, signature, ty};

/// The record, relative to the workspace's root.
const RECORD: &str = "xtask/api.txt";

/// Compares the public API with the record, or writes the record anew.
pub fn check(root: &Path, target: &Path, write: bool) -> Result<(), String> {
    let lines = listing(&rustdoc_json(root, &target.join("api"))?)?;
    let record = root.join(RECORD);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    if write {
        return fs::write(&record, text).map_err(|e| format!("{}: {e}", record.display()));
    }
    let recorded = fs::read_to_string(&record).map_err(|e| format!("{}: {e}", record.display()))?;
    let recorded: BTreeSet<String> = recorded.lines().map(str::to_owned).collect();
    if recorded == lines {
        return Ok(());
    }
    let list = |mark: char, lines: &mut dyn Iterator<Item = &String>| -> String {
        lines.map(|line| format!("{mark} {line}\n")).collect()
    };
    Err(format!(
        "{}{}the public API is not what {RECORD} says: removed or changed lines (-) need a \
         new minor version before 1.0 and a new major one after it; if the change is meant, run \
         `cargo xtask api --write`",
        list('-', &mut recorded.difference(&lines)),
        list('+', &mut lines.difference(&recorded)),
    ))
}

fn rustdoc_json(root: &Path, target: &Path) -> Result<Value, String> {
    let mut command = cargo();
    command
        .current_dir(root)
        .args([
            "rustdoc",
            "--quiet",
            "--package",
            "llamakit",
            "--lib",
            "--features",
            "stream,chat,constrain",
            "--target-dir",
        ])
        .arg(target)
        .args(["--", "-Z", "unstable-options"])
        .args(["--output-format", "json", "--cap-lints", "allow"])
        // The JSON format is unstable; only this command reads it.
        .env("RUSTC_BOOTSTRAP", "1")
        // No C++ is compiled for documentation.
        .env("DOCS_RS", "1");
    run(&mut command)?;
    let file = target.join("doc/llamakit.json");
    let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))
}

fn listing(doc: &Value) -> Result<BTreeSet<String>, String> {
    let root = doc["root"].as_u64().ok_or("rustdoc's JSON has no root")?;
    let mut walk = Walk {
        doc,
        lines: BTreeSet::new(),
        seen: HashSet::new(),
    };
    walk.item(root, "llamakit");
    Ok(walk.lines)
}

struct Walk<'a> {
    doc: &'a Value,
    lines: BTreeSet<String>,
    seen: HashSet<(u64, String)>,
}

impl<'a> Walk<'a> {
    fn get(&self, id: u64) -> Option<&'a Value> {
        self.doc["index"].get(id.to_string())
    }

    /// Adds an item under the path by which users reach it.
    fn item(&mut self, id: u64, path: &str) {
        let Some(item) = self.get(id) else { return };
        if !self.seen.insert((id, path.to_owned())) || is_hidden(item) {
            return;
        }
        let Some((kind, inner)) = item["inner"].as_object().and_then(|o| o.iter().next()) else {
            return;
        };
        match kind.as_str() {
            // The raw layer follows upstream and promises nothing.
            "module" if path == "llamakit::sys" => self.add(format!("mod {path}")),
            "module" => {
                self.add(format!("mod {path}"));
                for child in ids(&inner["items"]) {
                    self.child(child, path);
                }
            }
            "struct" => {
                self.add(format!(
                    "{}struct {path}{}",
                    open_ended(item),
                    generics(&inner["generics"])
                ));
                for field in ids(&inner["kind"]["plain"]["fields"]) {
                    self.field(field, path);
                }
                for field in ids(&inner["kind"]["tuple"]) {
                    self.field(field, path);
                }
                self.impls(inner, path);
            }
            "enum" => {
                self.add(format!(
                    "{}enum {path}{}",
                    open_ended(item),
                    generics(&inner["generics"])
                ));
                for variant in ids(&inner["variants"]) {
                    self.variant(variant, path);
                }
                self.impls(inner, path);
            }
            "trait" => {
                self.add(format!("trait {path}{}", generics(&inner["generics"])));
                for child in ids(&inner["items"]) {
                    self.child(child, path);
                }
            }
            "function" => self.add(format!("fn {path}{}", signature(inner))),
            "constant" => self.add(format!("const {path}: {}", ty(&inner["type"]))),
            "type_alias" => self.add(format!("type {path} = {}", ty(&inner["type"]))),
            "assoc_type" => self.add(format!("type {path}")),
            "assoc_const" => self.add(format!("const {path}: {}", ty(&inner["type"]))),
            _ => self.add(format!("{kind} {path}")),
        }
    }

    fn child(&mut self, id: u64, parent: &str) {
        let Some(item) = self.get(id) else { return };
        let used = &item["inner"]["use"];
        if used.is_object() {
            if let (Some(target), Some(name)) = (used["id"].as_u64(), used["name"].as_str()) {
                self.item(target, &format!("{parent}::{name}"));
            }
        } else if let Some(name) = item["name"].as_str()
            && matches!(item["visibility"].as_str(), Some("public" | "default"))
        {
            self.item(id, &format!("{parent}::{name}"));
        }
    }

    fn field(&mut self, id: u64, parent: &str) {
        if let Some(item) = self.get(id)
            && item["visibility"] == "public"
        {
            let name = item["name"].as_str().unwrap_or_default();
            self.add(format!(
                "field {parent}::{name}: {}",
                ty(&item["inner"]["struct_field"])
            ));
        }
    }

    fn variant(&mut self, id: u64, parent: &str) {
        let Some(item) = self.get(id) else { return };
        let path = format!("{parent}::{}", item["name"].as_str().unwrap_or_default());
        self.add(format!("{}variant {path}", open_ended(item)));
        let kind = &item["inner"]["variant"]["kind"];
        for field in ids(&kind["tuple"]).chain(ids(&kind["struct"]["fields"])) {
            if let Some(field) = self.get(field) {
                let name = field["name"].as_str().unwrap_or_default();
                self.add(format!(
                    "field {path}::{name}: {}",
                    ty(&field["inner"]["struct_field"])
                ));
            }
        }
    }

    fn impls(&mut self, inner: &Value, path: &str) {
        for id in ids(&inner["impls"]) {
            let Some(item) = self.get(id) else { continue };
            let block = &item["inner"]["impl"];
            if block["is_synthetic"] == true || !block["blanket_impl"].is_null() {
                // Auto traits are part of the promise; blanket implementations are std's.
                if let Some(name) = block["trait"]["path"].as_str()
                    && matches!(name, "Send" | "Sync")
                {
                    let not = if block["is_negative"] == true {
                        "!"
                    } else {
                        ""
                    };
                    self.add(format!("impl {not}{name} for {path}"));
                }
                continue;
            }
            // What `derive(PartialEq)` adds; nobody can name it.
            if block["trait"]["path"] == "StructuralPartialEq" {
                continue;
            }
            if block["trait"].is_null() {
                for child in ids(&block["items"]) {
                    self.child(child, path);
                }
            } else {
                self.add(format!(
                    "impl {} for {path}",
                    path_with_args(&block["trait"])
                ));
            }
        }
    }

    fn add(&mut self, line: String) {
        self.lines.insert(line);
    }
}

/// Whether users must expect more fields or variants.
fn open_ended(item: &Value) -> &'static str {
    let open = item["attrs"]
        .as_array()
        .is_some_and(|attrs| attrs.iter().any(|a| a == "non_exhaustive"));
    if open { "#[non_exhaustive] " } else { "" }
}

fn is_hidden(item: &Value) -> bool {
    item["attrs"].as_array().is_some_and(|attrs| {
        attrs
            .iter()
            .any(|attr| attr.to_string().contains("doc(hidden)"))
    })
}

fn ids(list: &Value) -> impl Iterator<Item = u64> + use<> {
    let ids: Vec<u64> = list
        .as_array()
        .map(|ids| ids.iter().filter_map(Value::as_u64).collect())
        .unwrap_or_default();
    ids.into_iter()
}
