//! What a constraint costs per token of an answer, with a vocabulary of 262,144.
//!
//! Each line is a ratio of one run: constrained and free answers take turns in one engine. Not by Criterion, which times
//! a closure again and again, where an answer has a first token that differs from the others.

#[path = "support/native.rs"]
mod native;

use std::time::{Duration, Instant};

use llamakit::constrain::Constraint;
use llamakit::engine::{Engine, EngineParams, Request};
use llamakit::sampler::SamplerParams;
use llamakit::{Model, ModelParams, Sampler};
use llamakit_testkit::fetch;
use serde_json::json;

const TOKENS: usize = 128;
const ROUNDS: u64 = 9;

fn main() {
    native::require_native();
    let path = match fetch::model(fetch::GEMMA3) {
        Ok(path) => path,
        Err(error) => panic!("{error}"),
    };
    let model = Model::load(&path, &ModelParams::new()).expect("a fetched model loads");
    table(&model);
    let engine = EngineParams::new().context_length(1024).parallel(1);
    let engine = Engine::new(&model, &engine).expect("an engine starts");
    for (name, constraint) in constraints() {
        for (sampling, greedy) in [("greedy", true), ("Ollama's sampling", false)] {
            overhead(&engine, name, &constraint, sampling, greedy);
        }
    }
}

/// The table of the vocabulary, made once.
fn table(model: &Model) {
    let before = resident();
    let start = Instant::now();
    let table = model.vocab().token_table().expect("a table");
    say(&format!(
        "table of {} tokens: {:.0} ms, {} MB",
        table.len(),
        ms(start.elapsed()),
        resident().saturating_sub(before) >> 20
    ));
    let start = Instant::now();
    let constraint = Constraint::json_object().expect("a constraint");
    let compiled = start.elapsed();
    let start = Instant::now();
    let first = constraint.matcher(&table).expect("a matcher");
    let fitted = start.elapsed();
    let start = Instant::now();
    let second = constraint.matcher(&table).expect("a matcher");
    say(&format!(
        "json_object: {:.1} ms to compile, {:.1} ms for the first matcher, {:.2} ms for the next",
        ms(compiled),
        ms(fitted),
        ms(start.elapsed())
    ));
    drop((first, second));
}

/// Values that go on for at least [`TOKENS`] tokens.
fn constraints() -> [(&'static str, Constraint); 3] {
    let people = json!({
        "type": "array",
        "minItems": 60,
        "items": {
            "type": "object",
            "properties": {
                "name": { "type": "string", "minLength": 3, "maxLength": 40 },
                "age": { "type": "integer", "minimum": 0, "maximum": 120 },
                "role": { "enum": ["captain", "cook", "passenger"] },
                "note": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
                "tags": { "type": "array", "items": { "type": "string" }, "maxItems": 4 }
            },
            "required": ["name", "age", "role"],
            "additionalProperties": false
        }
    });
    let text = json!({ "type": "object", "properties": { "story": { "type": "string", "minLength": 2000 } },
        "required": ["story"], "additionalProperties": false });
    let any = json!({ "type": "array", "minItems": 400 });
    [("people", people), ("a story", text), ("any JSON", any)].map(|(name, schema)| {
        (
            name,
            Constraint::json_schema(&schema).expect("a constraint"),
        )
    })
}

fn overhead(engine: &Engine, name: &str, constraint: &Constraint, sampling: &str, greedy: bool) {
    let (mut free, mut bound) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let ask = |constraint: Option<&Constraint>| {
            let sampler = match greedy {
                true => Sampler::greedy(),
                false => {
                    let mut params = SamplerParams::ollama();
                    params.seed = Some(round);
                    params.build().expect("a sampler")
                }
            };
            let request = Request::new("The crew of the ferry, as JSON:\n")
                .sampler(sampler)
                .ignore_eos(true)
                .max_tokens(TOKENS);
            let request = match constraint {
                Some(constraint) => request.constraint(constraint.clone()),
                None => request,
            };
            let answer = engine.submit(request).expect("is taken");
            let done = answer.complete().expect("an answer");
            assert_eq!(done.tokens.len(), TOKENS, "{:?}", done.finished.reason);
            done.finished.timing.generation / (TOKENS as u32 - 1)
        };
        // Who is first changes from round to round.
        if round % 2 == 0 {
            free.push(ask(None));
            bound.push(ask(Some(constraint)));
        } else {
            bound.push(ask(Some(constraint)));
            free.push(ask(None));
        }
    }
    let (free, bound) = (median(&mut free), median(&mut bound));
    say(&format!(
        "{name}, {sampling}: {:.2} ms a token, {:.2} ms free: {:+.1} %",
        ms(bound),
        ms(free),
        100.0 * (bound.as_secs_f64() / free.as_secs_f64() - 1.0)
    ));
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Bytes of this process in memory, where the system says so.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}
