//! What the engine promises about time: gaps beside a long prompt, cancelling, guessing ahead.
//!
//! Each line is a ratio or a duration of one run on one machine; nothing is asserted but the results. Not by Criterion,
//! which times a whole closure again and again: gaps lie within one run, and ratios take two that stand side by side.

#[path = "support/models.rs"]
mod models;
#[path = "support/native.rs"]
mod native;

use std::path::Path;
use std::time::{Duration, Instant};

use llamakit::chat::{ChatTemplate, Conversation, Message};
use llamakit::engine::{Answer, Completion, Engine, EngineParams, EnginePrompt, Event, Request};
use llamakit::{Model, ModelParams, Sampler, Token, gguf};

const TARGET: Duration = Duration::from_millis(100);
/// Of the measurements that stand against each other.
const ROUNDS: usize = 5;

fn main() {
    native::require_native();
    for (name, path) in models::real() {
        let model = Model::load(&path, &ModelParams::new()).expect("a fetched model loads");
        say(name);
        gap_beside_a_prompt(&model);
        cancel_in_a_prompt(&model);
        guessing(&model, &question(&path));
    }
}

fn engine(model: &Model) -> Engine {
    let params = EngineParams::new()
        .context_length(8192)
        .pool(8192)
        .latency_target(TARGET)
        .reuse(false);
    Engine::new(model, &params).expect("an engine starts")
}

/// A running answer while a prompt of 2,000 tokens arrives, against the prompt alone; medians of the rounds.
fn gap_beside_a_prompt(model: &Model) {
    let engine = engine(model);
    let prompt = words(model, 2000, 1);
    let (mut p99s, mut steps, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let unhindered = prompt_time(&mut engine.submit(greedy(&prompt, 1)).expect("is taken"));
        let mut answer = engine
            .submit(greedy(&words(model, 20, 2), 1000))
            .expect("is taken");
        let mut times = Vec::new();
        while times.len() < 20 {
            if let Some(Event::Token(_)) = answer.next() {
                times.push(Instant::now());
            }
        }
        steps.push(median(&mut gaps(&times)));
        let mut long = engine.submit(greedy(&prompt, 1)).expect("is taken");
        let hindered = std::thread::spawn(move || prompt_time(&mut long));
        let mut times = vec![Instant::now()];
        while !hindered.is_finished() {
            if let Some(Event::Token(_)) = answer.next() {
                times.push(Instant::now());
            }
        }
        let hindered = hindered.join().expect("the prompt is computed");
        let mut gaps = gaps(&times);
        gaps.sort_unstable();
        p99s.push(gaps[(gaps.len() * 99).div_ceil(100) - 1]);
        rates.push(unhindered.div_duration_f64(hindered));
    }
    rates.sort_by(f64::total_cmp);
    say(&format!(
        "  gap beside a prompt of 2,000 tokens: p99 {:.1} ms, target {:.0} ms, a step alone {:.1} ms; \
         the prompt at {:.2} of its rate",
        ms(median(&mut p99s)),
        ms(TARGET),
        ms(median(&mut steps)),
        rates[ROUNDS / 2]
    ));
}

/// How soon the next request starts after one was dropped in the middle of its prompt.
fn cancel_in_a_prompt(model: &Model) {
    let engine = engine(model);
    let prompt = words(model, 4000, 3);
    let mut waits = Vec::new();
    for round in 0..10_u64 {
        let answer = engine.submit(greedy(&prompt, 1)).expect("is taken");
        let mut answer = answer.skip_while(|event| !matches!(event, Event::Prompt { .. }));
        answer.next();
        std::thread::sleep(Duration::from_millis(37 * round));
        let start = Instant::now();
        drop(answer);
        while engine.metrics().cancelled <= round {
            std::thread::sleep(Duration::from_micros(200));
        }
        waits.push(start.elapsed());
    }
    waits.sort_unstable();
    say(&format!(
        "  cancel in a prompt of 4,000 tokens: median {:.1} ms, worst {:.1} ms",
        ms(waits[waits.len() / 2]),
        ms(waits[waits.len() - 1])
    ));
}

/// To repeat a text with one word changed, as a conversation in the model's own format.
fn question(path: &Path) -> EnginePrompt {
    let ask = "Repeat this text word for word, but write \"boat\" where it says \"ferry\":\n\n\
               The ferry left the harbour at nine in the morning with forty passengers, two dogs and a \
               grand piano on board. The captain, who had never lost a ship, watched the clouds over the \
               island and said nothing. By noon the wind had turned. The passengers went below, the dogs \
               slept under the piano, and the captain asked for his coat and a cup of tea without sugar.";
    let file = gguf::File::open(path).expect("a fetched model opens");
    let template = ChatTemplate::from_gguf(&file).expect("a chat model has a template");
    let asked = Conversation::new([Message::user(ask)]);
    template.render(&asked).expect("a question renders").into()
}

/// Decode speed with guesses against without, on a text that is copied and on free text.
fn guessing(model: &Model, copy: &EnginePrompt) {
    let free = EnginePrompt::from("The history of the lighthouse begins with");
    for (name, prompt) in [("a text to copy", copy), ("free text", &free)] {
        let engine = engine(model);
        let ask = |speculate| {
            let request = Request::new(prompt.clone())
                .sampler(Sampler::greedy())
                .ignore_eos(true)
                .max_tokens(96)
                .speculate(speculate);
            let answer = engine.submit(request).expect("is taken");
            answer.complete().expect("an answer")
        };
        let (mut plain, mut guessed) = (Vec::new(), Vec::new());
        let mut accepted = 0.0;
        for _ in 0..ROUNDS {
            plain.push(generation(&ask(false)));
            let done = ask(true);
            guessed.push(generation(&done));
            let end = done.finished;
            accepted = end.accepted_tokens as f64 / end.drafted_tokens.max(1) as f64;
        }
        say(&format!(
            "  guessing on {name}: {:.2} times the speed, {:.0} % of guesses right",
            median(&mut plain).as_secs_f64() / median(&mut guessed).as_secs_f64(),
            100.0 * accepted
        ));
    }
}

fn generation(done: &Completion) -> Duration {
    done.finished.timing.generation
}

fn greedy(prompt: &[Token], count: usize) -> Request {
    Request::new(prompt.to_vec())
        .sampler(Sampler::greedy())
        .ignore_eos(true)
        .max_tokens(count)
}

fn prompt_time(answer: &mut Answer) -> Duration {
    let mut took = Duration::ZERO;
    for event in answer {
        if let Event::Finished(end) = event {
            took = end.timing.prompt;
        }
    }
    took
}

/// Ordinary tokens in a repeatable order.
fn words(model: &Model, count: usize, seed: u64) -> Vec<Token> {
    let n = model.vocab().n_tokens() as u64 - 1000;
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            Token(500 + i32::try_from((state >> 20) % n).expect("a token's id"))
        })
        .collect()
}

fn gaps(times: &[Instant]) -> Vec<Duration> {
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

fn median(durations: &mut [Duration]) -> Duration {
    durations.sort_unstable();
    durations[durations.len() / 2]
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}
