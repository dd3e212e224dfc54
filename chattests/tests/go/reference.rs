//! Against what `record/go` recorded.

use std::collections::HashMap;
use std::fmt::Write as _;

use llamakit::chat::{Conversation, GoTemplate};
use llamakit_chattests::go_templates::{self, Published};
use serde_json::Value;

use crate::conversations::{conversation, golden, noon};
use crate::prompt;

/// Fails with all differences.
fn check(failures: &[String], count: usize) {
    let mut report = String::new();
    for failure in failures.iter().take(20) {
        let _ = writeln!(report, "{failure}\n");
    }
    assert!(
        failures.is_empty(),
        "{} of {count} differ:\n{report}",
        failures.len()
    );
}

/// What is wrong with a result, if anything is.
fn difference(expected: &Value, found: &Result<String, String>) -> Option<String> {
    let same = match found {
        Ok(text) => match (&expected["output"], &expected["sha256"]) {
            (Value::String(output), _) => output == text,
            (_, Value::String(digest)) => *digest == go_templates::digest(text),
            _ => false,
        },
        Err(_) => expected["error"].is_string(),
    };
    (!same).then(|| format!("expected {expected}\nfound    {found:?}"))
}

#[test]
fn prompts_are_those_of_ollama() {
    let golden_prompts = golden("prompts.json");
    let conversations = golden("conversations.json");
    let own: Vec<String> = serde_json::from_value(golden("own-templates.json")).unwrap();
    let own = own.into_iter().map(|source| Published {
        name: source.clone(),
        source,
        full: true,
    });
    let published = go_templates::published().expect("published templates");
    assert!(published.len() > 100, "{} templates", published.len());
    let clock = noon(golden_prompts["today"].as_str().unwrap());
    let mut failures = Vec::new();
    let mut count = 0;
    for template in published.into_iter().chain(own) {
        let expected = &golden_prompts["prompts"][&template.name];
        for (name, request) in conversations.as_object().unwrap() {
            let mut conversation = conversation(request);
            conversation.clock = Some(clock);
            let found = prompt(&template.source, &conversation);
            count += 1;
            if let Some(difference) = difference(&expected[name], &found) {
                failures.push(format!("{}, {name}: {difference}", template.name));
            }
        }
    }
    check(&failures, count);
}

#[test]
fn variables_are_those_that_ollama_sees() {
    let golden_prompts = golden("prompts.json");
    let vars: HashMap<String, Vec<String>> =
        serde_json::from_value(golden_prompts["vars"].clone()).unwrap();
    let mut seen = 0;
    for template in go_templates::published().expect("published templates") {
        let parsed = GoTemplate::parse(&template.source).unwrap();
        assert_eq!(parsed.vars(), vars[&template.name], "{}", template.name);
        seen += 1;
    }
    assert!(seen > 100);
}

#[test]
fn the_language_is_go_s() {
    let data = golden("table-input.json")["data"].clone();
    let mut conversation = Conversation::new([]);
    conversation.extra = data.as_object().unwrap().clone();
    let table = golden("table.json");
    let table = table.as_array().unwrap();
    let mut failures = Vec::new();
    for row in table {
        let source = row["template"].as_str().unwrap();
        let found = prompt(source, &conversation);
        if let Some(difference) = difference(row, &found) {
            failures.push(format!("{source:?}: {difference}"));
        }
    }
    check(&failures, table.len());
    assert!(table.len() > 300);
}
