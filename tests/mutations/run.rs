//! Runs damaged copies of a model in child processes, so that each that ends one is found and named.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use llamakit::{Error, ErrorKind, Model, ModelParams, Result};
use llamakit_testkit::mutate::mutations;
use llamakit_testkit::subprocess::{Case, Outcome};
use llamakit_testkit::tiny::Tiny;

const MODELS: usize = 9;
const TOTAL: usize = 10_000;
const SEED: u64 = 1;

/// Damaged files per child: few enough to make them all again after a failure, and to time.
const CHUNK: usize = 250;
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Failures after which a model is given up.
const ENOUGH: usize = 20;

/// Tell the child where to begin, and which file to write.
const FIRST: &str = "LLAMAKIT_MUTATION_FIRST";
const FILE: &str = "LLAMAKIT_MUTATION_FILE";

/// Runs this model's share of all mutations.
///
/// # Panics
/// Names every damaged file that was not answered with a result or a proper error.
pub(crate) fn all(tiny: &Tiny, work: fn(&Model) -> Result<()>) {
    let count = number("LLAMAKIT_MUTATIONS", TOTAL).div_ceil(MODELS);
    let seed = number("LLAMAKIT_MUTATION_SEED", SEED as usize) as u64;
    // Two runs of this test must not write one file.
    let name = format!("damaged-{}-{}.gguf", tiny.name(), std::process::id());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut failures = Vec::new();
    let mut first = 0;
    while first < count && failures.len() < ENOUGH {
        let chunk = first..(first + CHUNK).min(count);
        let outcome = Case::new("chunk")
            .time_limit(TIME_LIMIT)
            .env(FIRST, &first.to_string())
            .env(FILE, path.to_str().expect("a path in UTF-8"))
            .run(|| {
                let first = number(FIRST, 0);
                let path = std::env::var(FILE).expect("the parent names the file");
                run(
                    tiny,
                    seed,
                    first..(first + CHUNK).min(count),
                    path.as_ref(),
                    work,
                );
            });
        first = match last_announced(&outcome, &chunk) {
            Ok(()) => chunk.end,
            Err(at) => {
                failures.push(describe(seed, &outcome));
                at + 1
            }
        };
    }
    // Absent when nothing was run.
    let _ = fs::remove_file(&path);
    assert!(
        failures.is_empty(),
        "{}: {}",
        tiny.name(),
        failures.join("\n\n")
    );
}

/// The child's body: announces each file before it is loaded.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
fn run(tiny: &Tiny, seed: u64, chunk: Range<usize>, path: &Path, work: fn(&Model) -> Result<()>) {
    let mut answers = 0;
    let whole = chunk.len() == CHUNK;
    for (index, (what, bytes)) in mutations(&tiny.bytes(), seed)
        .enumerate()
        .take(chunk.end)
        .skip(chunk.start)
    {
        let what: String = what.chars().take(200).collect();
        println!("{index}: {what}");
        fs::write(path, bytes).unwrap();
        let done = Model::load(path, &ModelParams::new()).and_then(|model| work(&model));
        match done {
            Ok(()) => answers += 1,
            Err(error) => assert!(is_proper(&error), "{error}"),
        }
    }
    assert!(
        answers > 0 || !whole,
        "none of so many gave an answer: they prove nothing"
    );
}

/// Whether the error comes from a check, rather than from upstream's assertions.
fn is_proper(error: &Error) -> bool {
    !matches!(error.kind(), ErrorKind::Upstream | ErrorKind::Poisoned)
        && !error.to_string().contains("upstream assertion")
}

/// The index of the last file announced, when the child did not end well after the last of its chunk or
/// printed anything else.
fn last_announced(outcome: &Outcome, chunk: &Range<usize>) -> std::result::Result<(), usize> {
    let printed = String::from_utf8_lossy(&outcome.stdout);
    let mut last = chunk.start;
    for (line, expected) in printed.lines().zip(chunk.clone()) {
        let index = line
            .split_once(": ")
            .and_then(|(index, _)| index.parse().ok());
        if index != Some(expected) {
            return Err(last);
        }
        last = expected;
    }
    let complete = printed.lines().count() == chunk.len() && outcome.stderr.is_empty();
    if outcome.succeeded() && complete {
        Ok(())
    } else {
        Err(last)
    }
}

/// Names the file and what became of the child.
fn describe(seed: u64, outcome: &Outcome) -> String {
    let printed = String::from_utf8_lossy(&outcome.stdout);
    let tail = printed.lines().rev().take(2).collect::<Vec<_>>();
    format!(
        "seed {seed}: {:?}{}, last lines first: {tail:?}\n{}",
        outcome.status,
        if outcome.timed_out {
            ", killed after its time limit"
        } else {
            ""
        },
        String::from_utf8_lossy(&outcome.stderr)
    )
}

fn number(variable: &str, default: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => default,
    }
}
