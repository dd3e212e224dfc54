//! Transcripts in `golden/parse`: a file for each format, whose first line says which it is.
//!
//! Every other line is an answer and its parts: `["content", TEXT]`, `["thinking", TEXT]`,
//! `["call", NAME, ARGUMENTS, ID or nothing]`, `["malformed", KIND, TEXT or nothing]`.

use std::fs;
use std::path::Path;

use llamakit::chat::{AnswerFormat, AnswerParser, AnswerPart, CallError, ThinkingTags, Tool};
use serde_json::{Value, json};

use super::shared::{check, format, tools};

fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn answer_format(head: &Value) -> AnswerFormat {
    let tags = head["thinking"].as_array().unwrap().iter();
    let tags =
        tags.map(|tags| ThinkingTags::new(tags[0].as_str().unwrap(), tags[1].as_str().unwrap()));
    AnswerFormat::new(format(head["format"].as_str().unwrap())).thinking(tags)
}

/// A part as the files write it; what they need not say is left out.
fn written(part: &AnswerPart, expected: &Value) -> Value {
    match part {
        AnswerPart::Content(text) => json!(["content", text]),
        AnswerPart::Thinking(text) => json!(["thinking", text]),
        AnswerPart::ToolCall(call) => match &call.id {
            Some(id) => json!(["call", call.name, call.arguments, id]),
            None => json!(["call", call.name, call.arguments]),
        },
        AnswerPart::Malformed { text, error } => {
            let kind = match error {
                CallError::Unfinished => "unfinished",
                CallError::UnknownTool(_) => "unknown tool",
                CallError::TooLong => "too long",
                CallError::Invalid(_) => "invalid",
                _ => "another",
            };
            if expected.get(2).is_some() {
                json!(["malformed", kind, text])
            } else {
                json!(["malformed", kind])
            }
        }
        other => json!([format!("{other:?}")]),
    }
}

fn parser(format: &AnswerFormat, line: &Value) -> AnswerParser {
    let format = match line.get("prompt") {
        Some(prompt) => format.clone().after_prompt(prompt.as_str().unwrap()),
        None => format.clone(),
    };
    let parser = AnswerParser::new(&format);
    match line.get("tools") {
        None => parser.tools(&tools()),
        Some(Value::Null) => parser,
        Some(names) => {
            let wanted = |tool: &Tool| names.as_array().unwrap().contains(&json!(tool.name()));
            parser.tools(&tools().into_iter().filter(wanted).collect::<Vec<_>>())
        }
    }
}

#[test]
fn answers_have_the_parts_that_the_transcripts_say_however_they_are_cut() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/parse");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut count = 0;
    let mut wrong = Vec::new();
    for file in &files {
        let lines = lines(file);
        for line in &lines[1..] {
            let head = if line.get("format").is_some() {
                line
            } else {
                &lines[0]
            };
            let parser = parser(&answer_format(head), line);
            let parts = check(&parser, line["text"].as_str().unwrap());
            let expected = line["parts"].as_array().unwrap();
            let nothing = Value::Null;
            let found: Vec<Value> = (0..)
                .zip(&parts)
                .map(|(i, part)| written(part, expected.get(i).unwrap_or(&nothing)))
                .collect();
            if found != *expected {
                let name = file.file_name().unwrap().to_string_lossy().into_owned();
                wrong.push(format!(
                    "{name}, {}:\n  {}\n  found    {}\n  expected {}\n  {parts:?}",
                    line["name"],
                    line["text"],
                    json!(found),
                    line["parts"],
                ));
            }
            count += 1;
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count >= 200, "{count} transcripts");
}
