//! Answers under a constraint: what they are, how they end, and that nothing else changes them.

use super::*;
use llamakit::chat::{
    AnswerFormat, AnswerParser, AnswerPart, CallFormat, ThinkingTags, Tool, ToolChoice,
};
use llamakit::constrain::Constraint;
use llamakit::engine::{FinishReason, SubmitError};
use llamakit::sampler::Stage;
use llamakit::{EndReason, ErrorKind};
use serde_json::{Value, json};

fn hot(seed: u64) -> Sampler {
    let mut sampling = SamplerParams::llama_cpp();
    sampling.seed = Some(seed);
    sampling.temperature = 2.0;
    sampling.build().unwrap()
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "maxLength": 8 },
            "count": { "type": "integer", "minimum": 0, "maximum": 99 },
            "tags": { "type": "array", "items": { "enum": ["a", "b c"] }, "maxItems": 2 }
        },
        "required": ["name", "count"],
        "additionalProperties": false
    })
}

fn person() -> Constraint {
    Constraint::json_schema(&schema()).unwrap()
}

/// Panics unless the text is a value of [`schema`].
#[track_caller]
fn assert_person(text: &str) {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text:?}"));
    let members = value.as_object().unwrap();
    assert!(
        members["name"].as_str().unwrap().chars().count() <= 8,
        "{text}"
    );
    assert!(members["count"].as_u64().unwrap() <= 99, "{text}");
    for tag in members
        .get("tags")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        assert!(tag == "a" || tag == "b c", "{text}");
    }
    let known = ["name", "count", "tags"];
    assert!(
        members.keys().all(|name| known.contains(&name.as_str())),
        "{text}"
    );
}

fn request(prompt: &[Token], constraint: &Constraint, seed: u64) -> Request {
    Request::new(prompt.to_vec())
        .sampler(hot(seed))
        .constraint(constraint.clone())
        .max_tokens(180)
}

#[test]
fn hot_answers_are_values_of_the_schema() {
    for tiny in every_memory().chain([tiny::llama_spm(), tiny::moe()]) {
        let engine = engine(&tiny, &params());
        let constraint = person();
        let prompt = run_of(20, 1);
        let answers: Vec<_> = (0..12)
            .map(|seed| engine.submit(request(&prompt, &constraint, seed)).unwrap())
            .collect();
        let mut whole = 0;
        for answer in answers {
            let answer = answer.complete().unwrap();
            if answer.finished.complete == Some(true) {
                assert_reason(&answer.finished, "Complete");
                assert_person(&answer.text);
                whole += 1;
            } else {
                assert_reason(&answer.finished, "MaxTokens");
            }
        }
        assert!(whole >= 8, "{}: {whole}", tiny.name());
    }
}

#[test]
fn the_end_says_whether_the_value_is_whole() {
    let engine = engine(&tiny::llama(), &params());
    let prompt = run_of(20, 2);
    let finished = |constraint: &Constraint, change: fn(Request) -> Request| {
        let request = request(&prompt, constraint, 5);
        let answer = complete(&engine, change(request.sampler(Sampler::greedy())));
        (
            answer.text,
            format!("{:?}", answer.finished.reason),
            answer.finished.complete,
        )
    };
    let choice = Constraint::choice(["abcdefgh"]).unwrap();
    let (text, reason, whole) = finished(&choice, |request| request);
    assert_eq!(
        (text.as_str(), reason.as_str(), whole),
        ("abcdefgh", "Complete", Some(true))
    );
    let (text, reason, whole) = finished(&choice, |request| request.max_tokens(2));
    assert!("abcdefgh".starts_with(&text) && text.len() < 8);
    assert_eq!((reason.as_str(), whole), ("MaxTokens", Some(false)));
    let (text, reason, whole) = finished(&choice, |request| request.stop(["ef"]));
    assert_eq!(
        (text.as_str(), reason.as_str(), whole),
        ("abcd", "Stop(\"ef\")", Some(false))
    );
    // The last token completes the value and is also the last one allowed.
    let (_, reason, whole) = finished(&Constraint::regex("[b-z]{1}").unwrap(), |request| {
        request.max_tokens(1)
    });
    assert_eq!((reason.as_str(), whole), ("Complete", Some(true)));
    // Nothing could be added that ends the answer, and nothing needs to.
    let (text, reason, whole) = finished(&Constraint::regex("[b-z]{3}").unwrap(), |request| {
        request.ignore_eos(true)
    });
    assert_eq!(
        (text.len(), reason.as_str(), whole),
        (3, "Complete", Some(true))
    );
    // A value that can go on for ever goes on where the end is barred.
    let (text, reason, whole) = finished(&Constraint::regex("[b-z]+").unwrap(), |request| {
        request.ignore_eos(true).max_tokens(30)
    });
    assert!(text.len() >= 30 && text.bytes().all(|byte| byte.is_ascii_lowercase()));
    assert_eq!((reason.as_str(), whole), ("MaxTokens", Some(true)));
    let free = complete(&engine, greedy(&prompt, 3));
    assert_eq!(free.finished.complete, None);
}

/// Greedy, as if these tokens were much more probable than they are.
fn eager(tokens: &[Token]) -> Sampler {
    let mut bias: Vec<_> = tokens.iter().map(|&token| (token, 1000.0)).collect();
    bias.sort_by_key(|bias| bias.0);
    let stages = [Stage::LogitBias(bias.into()), Stage::Greedy];
    Sampler::builder().stages(stages).build().unwrap()
}

#[test]
fn the_model_ends_a_value_that_could_go_on() {
    let tiny = tiny::llama();
    let model = load(&tiny);
    let end = model.vocab().eos().unwrap();
    let engine = Engine::new(&model, &params()).unwrap();
    let constraint = Constraint::regex("[b-z]{2}[b-z]*").unwrap();
    let answer = complete(
        &engine,
        request(&run_of(20, 3), &constraint, 0).sampler(eager(&[end])),
    );
    assert!(matches!(answer.finished.reason, FinishReason::EndOfGeneration(token) if token == end));
    assert!(answer.text.len() >= 2);
    assert_eq!(answer.finished.complete, Some(true));
    // Before the value the model is free to end without one.
    let constraint = constraint.after("</think>").unwrap();
    let answer = complete(
        &engine,
        request(&run_of(20, 3), &constraint, 0).sampler(eager(&[end])),
    );
    assert!(matches!(
        answer.finished.reason,
        FinishReason::EndOfGeneration(_)
    ));
    assert_eq!(
        (answer.text.as_str(), answer.finished.complete),
        ("", Some(false))
    );
}

#[test]
fn where_no_token_can_be_drawn_the_request_fails_and_others_go_on() {
    let tiny = tiny::llama();
    let model = load(&tiny);
    let engine = Engine::new(&model, &params()).unwrap();
    let constraint = Constraint::choice(["Zq"]).unwrap();
    let barred = model.vocab().tokenize("q", false, false).unwrap();
    let bias = barred
        .iter()
        .map(|&token| (token, f32::NEG_INFINITY))
        .collect();
    let stages = [Stage::LogitBias(bias), Stage::Greedy];
    let sampler = Sampler::builder().stages(stages).build().unwrap();
    let other = engine.submit(greedy(&run_of(20, 4), 60)).unwrap();
    let dead = request(&run_of(30, 5), &constraint, 0).sampler(sampler);
    let events: Vec<Event> = engine.submit(dead).unwrap().collect();
    let finished = finished(events);
    assert_eq!(finished.complete, Some(false));
    match finished.reason {
        FinishReason::Failed(error) => {
            assert_eq!(error.kind(), ErrorKind::Sampling);
            assert!(
                error
                    .message()
                    .contains("under the constraint no token can be drawn"),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(other.complete().unwrap().tokens.len(), 60);
}

#[test]
fn a_constraint_that_does_not_fit_the_vocabulary_is_refused_at_once() {
    let engine = engine(&tiny::llama(), &params());
    let constraint = Constraint::gbnf("root ::= <no_such_token>").unwrap();
    match engine.submit(request(&run_of(5, 1), &constraint, 0)) {
        Err(SubmitError::Invalid(error)) => {
            assert!(error.message().contains("<no_such_token>"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    // A control token by name, which only a grammar that names it lets through.
    let constraint = Constraint::gbnf("root ::= <|im_start|> \"x\"").unwrap();
    let asked = || request(&run_of(5, 1), &constraint, 0);
    let answer = complete(&engine, asked());
    assert_eq!((answer.text.as_str(), answer.tokens.len()), ("x", 2));
    // Its name is text for those who asked for it.
    let answer = complete(&engine, asked().special_texts(["<|im_start|>", "<none>"]));
    assert_eq!(answer.text, "<|im_start|>x");
}

/// Calls that must be made are made and fit their schemas, in formats with and without markers, after
/// thoughts or without, at temperature 2.
#[test]
fn a_call_that_is_required_is_made() {
    let parameters = json!({
        "type": "object",
        "properties": { "city": { "enum": ["Oslo", "Rome"] }, "days": { "type": "integer", "minimum": 1, "maximum": 9 } },
        "required": ["city", "days"],
        "additionalProperties": false
    });
    let tools = [
        Tool::function("weather", "", parameters),
        Tool::function(
            "stop",
            "",
            json!({ "type": "object", "additionalProperties": false }),
        ),
    ];
    let one = ToolChoice::Function("weather".to_owned());
    let formats = [
        CallFormat::Hermes,
        CallFormat::Llama,
        CallFormat::Mistral,
        CallFormat::Glm,
    ];
    let engine = engine(&tiny::llama(), &params());
    let mut thought = 0;
    for calls in formats {
        let format = AnswerFormat::new(calls).thinking([ThinkingTags::new("<e>", "e")]);
        for (choice, in_thinking) in [(&ToolChoice::Required, false), (&one, false), (&one, true)] {
            let format = format.clone().begin_in_thinking(in_thinking);
            let constraint = format.call_constraint(&tools, choice, false).unwrap();
            for seed in 0..4 {
                let asked = request(&run_of(20, 3), &constraint.clone().unwrap(), seed);
                let asked = asked.special_texts(format.markers()).max_tokens(400);
                let answer = complete(&engine, asked);
                let parser = AnswerParser::new(&format).tools(&tools);
                let parts = parser.parse_all(&answer.text);
                let made = parts.iter().filter_map(|part| match part {
                    AnswerPart::ToolCall(call) => Some(call),
                    AnswerPart::Thinking(_) => None,
                    other => panic!("{other:?}: {:?}", answer.text),
                });
                let made: Vec<_> = made.collect();
                if answer.finished.complete != Some(true) {
                    assert_reason(&answer.finished, "MaxTokens");
                    continue;
                }
                assert_eq!(made.len(), 1, "{:?}", answer.text);
                match made[0].name.as_str() {
                    "weather" => {
                        let arguments = &made[0].arguments;
                        assert!(["Oslo", "Rome"].contains(&arguments["city"].as_str().unwrap()));
                        assert!((1..=9).contains(&arguments["days"].as_i64().unwrap()));
                    }
                    name => assert_eq!((name, choice), ("stop", &ToolChoice::Required)),
                }
                thought += usize::from(matches!(parts[0], AnswerPart::Thinking(_)));
            }
        }
    }
    assert!(thought >= 8, "{thought}");
}

#[test]
fn log_probabilities_are_those_of_the_raw_logits() {
    let engine = engine(&tiny::llama(), &params());
    let constraint = Constraint::regex("[b-z]{4}").unwrap();
    let asked = request(&run_of(20, 6), &constraint, 0)
        .sampler(Sampler::greedy())
        .logprobs(2);
    let events: Vec<Event> = engine.submit(asked).unwrap().collect();
    let mut refused = 0;
    for event in &events {
        if let Event::Token(token) = event {
            let logprob = token.logprob.unwrap();
            assert!(logprob <= token.top[0].1);
            refused += usize::from(token.top[0].0 != token.token);
        }
    }
    assert!(refused > 0, "the model would have said something else");
}

/// Thinking, tools, stop strings, guesses and cached prefixes with each other, at several seeds.
#[test]
fn combinations_change_neither_the_value_nor_each_other() {
    // Short enough to be said by models that talk nonsense.
    let triggers: [&[&str]; 3] = [&[], &["e"], &["th", "o"]];
    for tiny in [tiny::llama(), tiny::gemma3(), tiny::mamba()] {
        let params = params().deterministic(true);
        let engine = engine(&tiny, &params);
        let (mut values, mut stopped, mut free) = (0, 0, 0);
        for texts in triggers {
            let constraint = texts
                .iter()
                .fold(person(), |c, text| c.after(text).unwrap());
            for stop in [None, Some("9")] {
                for seed in 0..4 {
                    let prompt = run_of(40, 7);
                    let ask = |constraint: &Constraint, reuse: bool, speculate: bool| {
                        let asked = request(&prompt, constraint, seed).stop(stop);
                        complete(&engine, asked.reuse(reuse).speculate(speculate))
                    };
                    let first = ask(&constraint, false, false);
                    let cached = ask(&constraint, true, true);
                    // A constraint that was never used with this vocabulary.
                    let fresh = texts
                        .iter()
                        .fold(person(), |c, text| c.after(text).unwrap());
                    let anew = ask(&fresh, true, false);
                    assert_eq!(first.tokens, cached.tokens, "{}", tiny.name());
                    assert_eq!(first.tokens, anew.tokens, "{}", tiny.name());
                    let (text, finished) = (&first.text, &first.finished);
                    let begins = texts
                        .iter()
                        .filter_map(|t| Some(text.find(t)? + t.len()))
                        .min();
                    let value = match texts.is_empty() {
                        true => Some(text.as_str()),
                        false => begins.map(|at| &text[at..]),
                    };
                    match (&finished.reason, value) {
                        (FinishReason::Complete, Some(value)) => {
                            assert_person(value);
                            assert_eq!(finished.complete, Some(true));
                            values += 1;
                        }
                        (FinishReason::Stop(_), _) => {
                            assert!(!text.contains('9'));
                            assert_eq!(finished.complete, Some(false));
                            stopped += 1;
                        }
                        (reason, value) => {
                            assert!(!matches!(reason, FinishReason::Complete), "{text}");
                            assert_eq!(finished.complete, Some(false), "{value:?}");
                            free += 1;
                        }
                    }
                }
            }
        }
        assert!(values >= 8, "{}: {values} {stopped} {free}", tiny.name());
        assert!(stopped > 0, "{}: {values} {stopped} {free}", tiny.name());
    }
}

#[test]
fn guesses_that_the_constraint_refuses_are_never_accepted() {
    let tiny = tiny::llama();
    let model = load(&tiny);
    let prompt = model
        .vocab()
        .tokenize("abcabcabcabcabcabcabcabc", false, false)
        .unwrap();
    for pattern in ["(abc){20}", "(ab){20}", "[abc]{40}", "(a|bc|x){40}"] {
        let constraint = Constraint::regex(pattern).unwrap();
        let answer = |speculate: bool| {
            // A new engine: guesses are judged by how they went.
            let engine = Engine::new(&model, &params().reuse(false)).unwrap();
            let asked = request(&prompt, &constraint, 1).sampler(Sampler::greedy());
            complete(&engine, asked.speculate(speculate))
        };
        let (plain, guessed) = (answer(false), answer(true));
        assert_eq!(plain.text, guessed.text, "{pattern}");
        assert_reason(&guessed.finished, "Complete");
        if pattern == "(abc){20}" {
            assert!(
                guessed.finished.accepted_tokens > 0,
                "{:?}",
                guessed.finished
            );
        }
    }
}

#[test]
fn a_draft_model_guesses_within_the_constraint() {
    let tiny = tiny::llama();
    let model = load(&tiny);
    let with = params().reuse(false).draft(&load(&tiny));
    let constraint = person();
    for seed in 0..6 {
        let answer = |engine: &Engine| {
            let asked = request(&run_of(30, 8), &constraint, seed).speculate(true);
            complete(engine, asked)
        };
        let answer = answer(&Engine::new(&model, &with).unwrap());
        if answer.finished.complete == Some(true) {
            assert_person(&answer.text);
        }
    }
}

#[test]
fn the_loop_on_a_context_obeys_a_constraint() {
    let tiny = tiny::llama();
    let model = load(&tiny);
    let wanted = ContextParams::new().context_length(256).threads(1);
    let mut context = Context::new(&model, &wanted).unwrap();
    let constraint = person();
    let mut whole = 0;
    for seed in 0..8 {
        let prompt = run_of(20, 9);
        let mut sampler = hot(seed);
        let answer = context.generate(&prompt, &mut sampler).unwrap();
        let mut answer = answer.constraint(&constraint).unwrap().max_tokens(180);
        assert_eq!(answer.is_complete(), Some(false));
        let text: String = answer.by_ref().map(Result::unwrap).collect();
        match answer.end_reason() {
            Some(EndReason::Complete) => {
                assert_eq!(answer.is_complete(), Some(true));
                assert_person(&text);
                whole += 1;
            }
            other => {
                assert_eq!(other, Some(EndReason::MaxTokens));
                assert_eq!(answer.is_complete(), Some(false));
            }
        }
        // All of the answer is in the cache, its last token too.
        let all = [&prompt[..], answer.tokens()].concat();
        assert!(context.kv_cache().tokens(llamakit::SeqId(0)).eq(all));
    }
    assert!(whole >= 5, "{whole}");
    let mut sampler = Sampler::greedy();
    let mut free = context
        .generate(&run_of(4, 1), &mut sampler)
        .unwrap()
        .max_tokens(1);
    assert_eq!(free.is_complete(), None);
    assert!(free.by_ref().all(|piece| piece.is_ok()));
}

#[test]
fn the_table_of_a_vocabulary_tells_text_from_control() {
    use llamakit::constrain::TokenKind;
    for tiny in [tiny::llama(), tiny::llama_spm()] {
        let model = load(&tiny);
        let vocab = model.vocab();
        let table = vocab.token_table().unwrap();
        assert_eq!(table.len(), vocab.n_tokens());
        for id in 0..i32::try_from(vocab.n_tokens()).unwrap() {
            let token = Token(id);
            let info = vocab.token(token).unwrap();
            let kind = table.kind(token).unwrap();
            assert_eq!(kind == TokenKind::End, info.is_end_of_generation);
            if kind == TokenKind::Text {
                assert!(!info.is_control);
            } else {
                assert_eq!(vocab.piece(token, false).unwrap(), b"", "{info:?}");
            }
        }
        assert_eq!(table.kind(Token(-1)), None);
    }
}
