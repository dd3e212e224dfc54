//! Byte for byte what transformers renders, for every template and conversation of the record.

use llamakit::chat::ChatTemplate;
use serde_json::Value;

use crate::common::{conversations, golden, joined, json, published};

/// What went wrong, with the text around the first difference.
fn compare(
    expected: &Value,
    template: &ChatTemplate,
    recorded: &crate::common::Recorded,
) -> Option<String> {
    let result = template.render(&recorded.conversation);
    if let Some(expected) = expected["text"].as_str() {
        let text = match result {
            Ok(segments) => joined(&segments),
            Err(error) => return Some(format!("{error}")),
        };
        if text == expected {
            return None;
        }
        let same = text
            .chars()
            .zip(expected.chars())
            .take_while(|(a, b)| a == b);
        let from = same.count().saturating_sub(60);
        let window = |text: &str| text.chars().skip(from).take(120).collect::<String>();
        return Some(format!(
            "\n   is {:?}\n  not {:?}",
            window(&text),
            window(expected)
        ));
    }
    if expected["refused"].is_string() && result.is_ok() {
        return Some(format!("not refused: {expected}"));
    }
    None
}

#[test]
fn every_template_renders_what_transformers_renders() {
    let conversations = conversations();
    let mut failures = Vec::new();
    let mut compared = 0;
    for published in published() {
        let record = json(&golden().join(format!("expected/{}.json", published.name)));
        let template = match ChatTemplate::jinja(&published.source, &published.texts) {
            Ok(template) => template,
            Err(error) => {
                failures.push(format!("{}: {error}", published.name));
                continue;
            }
        };
        let exact = template.clone().exact(true);
        for recorded in &conversations {
            let expected = &record["expected"][&recorded.name];
            let adapted = match &expected["adapted"] {
                Value::Null => &expected["exact"],
                adapted => adapted,
            };
            for (manner, expected, template) in [
                ("exact", &expected["exact"], &exact),
                ("adapted", adapted, &template),
            ] {
                compared += 1;
                if let Some(failure) = compare(expected, template, recorded) {
                    let (name, conversation) = (&published.name, &recorded.name);
                    failures.push(format!("{name}, {conversation}, {manner}: {failure}"));
                }
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {compared} differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(compared > 3000, "{compared}");
}
