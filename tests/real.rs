//! Real models, fetched once, answer greedily what llama.cpp itself answers.

#![cfg(feature = "inference")]

use llamakit::{Batch, Context, ContextParams, Decoded, Model, ModelParams, Outputs, SeqId, Token};
use llamakit_testkit::fetch::{self, RemoteModel};

/// Below this distance of the two best logits, rounding may choose the other. Every layer rounds its
/// activations to eight bits, so that another order of sums, of another kernel or processor, soon is
/// noise: upstream's own kernels with and without fused attention differ by 0.20 (root of the mean
/// square) and 0.97 at most on SmolLM2.
const CLOSE: f32 = 1.0;

/// How far a distance of two logits may be from the recorded one, and all of them together (root of
/// the mean square).
const TOLERANCE: f32 = 1.25;
const TOLERANCE_OF_ALL: f64 = 0.3;

const A: SeqId = SeqId(0);

/// One recorded answer; `tests/data` tells how it was obtained.
#[derive(Default)]
struct Recorded {
    prompt: String,
    tokens: Vec<Token>,
    steps: Vec<(Token, f32)>,
}

fn parse(text: &str) -> Vec<Recorded> {
    let mut all: Vec<Recorded> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((what, rest)) = line.split_once(' ') else {
            continue;
        };
        if what == "prompt" {
            let prompt = rest.replace("\\n", "\n");
            all.push(Recorded {
                prompt,
                ..Recorded::default()
            });
        }
        let last = all.last_mut().expect("a prompt comes first");
        let words = || rest.split(' ');
        match what {
            "tokens" => last.tokens = words().map(|id| Token(id.parse().unwrap())).collect(),
            "steps" => {
                let step = |step: &str| {
                    let (id, gap) = step.split_once(':').unwrap();
                    (Token(id.parse().unwrap()), gap.parse().unwrap())
                };
                last.steps = words().map(step).collect();
            }
            _ => {}
        }
    }
    assert_eq!(all.len(), 3);
    all
}

/// The best token and its distance to the second best.
fn best_two(logits: &[f32]) -> (Token, f32) {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    let (_, second, _) = order.select_nth_unstable_by(1, |&a, &b| logits[b].total_cmp(&logits[a]));
    let second = logits[*second];
    (Token(order[0] as i32), logits[order[0]] - second)
}

fn next(context: &mut Context, tokens: &[Token]) -> (Token, f32) {
    let mut batch = Batch::new();
    let position = context.kv_cache().next_position(A);
    batch.add_run(tokens, position, A, Outputs::Last);
    assert_eq!(context.decode(&batch).unwrap(), Decoded::Done);
    best_two(context.logits(tokens.len() - 1).unwrap())
}

fn answers_as_recorded(model: RemoteModel, recorded: &str) {
    let path = fetch::model(model).unwrap_or_else(|error| panic!("{error}"));
    let model = Model::load(path, &ModelParams::new()).unwrap();
    let params = ContextParams::new().context_length(512).threads(1);
    let mut context = Context::new(&model, &params).unwrap();
    let (mut compared, mut sure, mut squares) = (0, 0, 0.0);
    for want in parse(recorded) {
        let tokens = model.vocab().tokenize(&want.prompt, true, true).unwrap();
        assert_eq!(tokens, want.tokens, "{:?}", want.prompt);
        context.kv_cache_mut().clear().unwrap();
        let mut input = tokens;
        for (step, &(token, gap)) in want.steps.iter().enumerate() {
            let got = next(&mut context, &input);
            // The recorded answer goes on, whichever was chosen.
            input = vec![token];
            let place = format!("{:?} step {step}, distance {gap}", want.prompt);
            if gap >= CLOSE {
                assert_eq!(got.0, token, "{place}");
                sure += 1;
            }
            if got.0 == token {
                let off = (got.1 - gap).abs();
                assert!(off < TOLERANCE, "{place}: off by {off}");
                squares += f64::from(off * off);
                compared += 1;
            }
        }
    }
    assert!(sure >= 24, "only {sure} of 96 steps leave no doubt");
    let all = (squares / f64::from(compared)).sqrt();
    assert!(all < TOLERANCE_OF_ALL, "distances are off by {all}");
}

#[test]
fn smollm2_answers_as_upstream_does() {
    answers_as_recorded(fetch::SMOLLM2, include_str!("data/greedy-smollm2.txt"));
}

#[test]
fn gemma3_answers_as_upstream_does() {
    answers_as_recorded(fetch::GEMMA3, include_str!("data/greedy-gemma3.txt"));
}
