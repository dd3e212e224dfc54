//! The rules of a matcher: what is allowed does not depend on how it is asked.

use llamakit::constrain::{Constraint, Matcher, TokenKind, TokenTable};
use llamakit::sampler::{Sampler, Stage};
use llamakit::{ErrorKind, Token};
use serde_json::json;

use crate::random::{Dice, allowed, bytes, pieces};

fn constraints() -> Vec<Constraint> {
    let person = json!({ "type": "object", "properties": { "name": { "type": "string", "maxLength": 12 },
        "age": { "type": "number", "minimum": 0, "maximum": 200 }, "on": { "type": "boolean" } },
        "required": ["name"], "additionalProperties": { "type": "array" } });
    let list = "root ::= (\"- \" [^\\n]+ \"\\n\")+ | \"(\" root \")\"*";
    vec![
        Constraint::json_object().unwrap(),
        Constraint::json_schema(&person).unwrap(),
        Constraint::json_schema(&person)
            .unwrap()
            .after("</think>")
            .unwrap(),
        Constraint::json_schema(&json!(true)).unwrap(),
        Constraint::json_schema(&json!({ "type": "number" })).unwrap(),
        Constraint::regex("(the|name|é)+( [0-9]{1,3})?").unwrap(),
        Constraint::choice(["the", "the name", "12", "日本"]).unwrap(),
        Constraint::gbnf(list).unwrap(),
        Constraint::gbnf("root ::= \"the\" | <call> root (!<call>)").unwrap(),
        Constraint::lark("start: \"the\" (\" \" NAME)*\nNAME: /[a-m]+/").unwrap(),
    ]
}

#[test]
fn single_questions_and_the_whole_mask_agree() {
    let words = pieces();
    for (index, constraint) in constraints().into_iter().enumerate() {
        for seed in 0..6 {
            let mut dice = Dice::new(seed);
            let mut matcher = constraint.matcher(&words.table).unwrap();
            for _ in 0..40 {
                let all = allowed(&mut matcher.clone());
                if let Some(few) = matcher.clone().few() {
                    assert_eq!(few, all, "{index}: {matcher:?}");
                }
                for token in words.tokens() {
                    let single = matcher.clone().allows(token);
                    assert_eq!(
                        single,
                        all.contains(&token),
                        "{index}: {token} in {matcher:?}"
                    );
                    assert_eq!(matcher.clone().accept(token).is_ok(), single);
                }
                if all.is_empty() {
                    break;
                }
                let token = all[dice.below(all.len())];
                if words.table.kind(token) == Some(TokenKind::End) || matcher.is_complete() {
                    break;
                }
                matcher.accept(token).unwrap();
            }
        }
    }
}

#[test]
fn going_back_forgets_what_was_accepted() {
    let words = pieces();
    for constraint in constraints() {
        for seed in 0..8 {
            let mut dice = Dice::new(seed);
            let mut matcher = constraint.matcher(&words.table).unwrap();
            let mut seen = vec![(allowed(&mut matcher), matcher.may_end())];
            for _ in 0..30 {
                let free = &seen.last().unwrap().0;
                if matcher.is_complete() {
                    break;
                }
                let token = free[dice.below(free.len())];
                if words.table.kind(token) != Some(TokenKind::Text) {
                    break;
                }
                matcher.accept(token).unwrap();
                seen.push((allowed(&mut matcher), matcher.may_end()));
            }
            while seen.len() > 1 {
                let back = 1 + dice.below((seen.len() - 1).min(5));
                matcher.rollback(back).unwrap();
                seen.truncate(seen.len() - back);
                let last = seen.last().unwrap();
                assert_eq!((allowed(&mut matcher), matcher.may_end()), *last);
            }
            assert_eq!(
                matcher.rollback(1).unwrap_err().kind(),
                ErrorKind::InvalidArgument
            );
        }
    }
}

#[test]
fn guesses_are_counted_as_far_as_they_are_allowed() {
    let words = pieces();
    for constraint in constraints() {
        for seed in 0..20 {
            let mut dice = Dice::new(seed);
            let mut matcher = constraint.matcher(&words.table).unwrap();
            let mut guesses = Vec::new();
            let mut ahead = matcher.clone();
            for _ in 0..dice.below(12) {
                let free = allowed(&mut ahead);
                if free.is_empty() {
                    break;
                }
                let token = free[dice.below(free.len())];
                if words.table.kind(token) == Some(TokenKind::End) {
                    break;
                }
                guesses.push(token);
                ahead.accept(token).unwrap();
            }
            let right = guesses.len();
            let before = allowed(&mut matcher);
            let started = matcher.has_started();
            guesses.push(words.token("日本"));
            guesses.push(Token(-1));
            let count = matcher.count_allowed(&guesses);
            let most = right + usize::from(ahead.allows(words.token("日本")));
            match started {
                true => assert_eq!(count, most, "{guesses:?}"),
                false => assert!(count <= most),
            }
            assert_eq!(allowed(&mut matcher), before);
        }
    }
}

/// The whole mask is asked for only where many tokens were tried; the text must not show it.
#[test]
fn the_same_seed_gives_the_same_text_however_the_mask_is_made() {
    let words = pieces();
    let draw = |constraint: &Constraint, seed: u64, eager: bool| {
        let mut matcher = constraint.matcher(&words.table).unwrap();
        let stages = [
            Stage::TopK(20),
            Stage::Temperature(2.0),
            Stage::Distribution,
        ];
        let sampler = Sampler::builder().stages(stages).seed(seed);
        let mut sampler = sampler.build().unwrap();
        let mut dice = Dice::new(seed);
        let mut tokens = Vec::new();
        while tokens.len() < 40 && !matcher.is_complete() {
            let row: Vec<f32> = words
                .tokens()
                .map(|_| dice.below(1000) as f32 / 100.0)
                .collect();
            if eager {
                allowed(&mut matcher);
            }
            let token = sampler
                .sample_masked(&row, &mut |token| matcher.allows(token))
                .unwrap();
            matcher.accept(token).unwrap();
            if words.table.kind(token) == Some(TokenKind::End) {
                break;
            }
            tokens.push(token);
        }
        tokens
    };
    for constraint in constraints() {
        for seed in 0..10 {
            assert_eq!(
                draw(&constraint, seed, true),
                draw(&constraint, seed, false)
            );
        }
    }
}

#[test]
fn control_tokens_are_never_text() {
    let words = pieces();
    for constraint in constraints().into_iter().take(2) {
        let mut dice = Dice::new(3);
        let mut matcher = constraint.matcher(&words.table).unwrap();
        for _ in 0..50 {
            for name in ["<|start|>", "<call>", "[INST]", "", "\"\u{ff}"] {
                if let Some(index) = words
                    .words
                    .iter()
                    .position(|(word, kind)| word == name.as_bytes() && *kind != TokenKind::Text)
                {
                    assert!(
                        !matcher.allows(Token(i32::try_from(index).unwrap())),
                        "{name}"
                    );
                }
            }
            let free = allowed(&mut matcher);
            let token = free[dice.below(free.len())];
            if words.table.kind(token) == Some(TokenKind::End) || matcher.is_complete() {
                break;
            }
            matcher.accept(token).unwrap();
        }
    }
}

#[test]
fn equal_pieces_are_all_allowed_and_odd_ones_never() {
    let words = pieces();
    let mut matcher = Constraint::regex("the+")
        .unwrap()
        .matcher(&words.table)
        .unwrap();
    let twice: Vec<Token> = words
        .tokens()
        .filter(|&token| words.bytes(token) == b"the")
        .collect();
    assert_eq!(twice.len(), 2);
    assert!(twice.iter().all(|&token| matcher.allows(token)));
    let mut any = Constraint::regex("(?s).*")
        .unwrap()
        .matcher(&words.table)
        .unwrap();
    for token in words.tokens() {
        let bytes = words.bytes(token);
        // Bytes that UTF-8 never has, or has only after others, begin no text.
        let odd = bytes.is_empty()
            || bytes.contains(&0xff)
            || (0x80..0xc2).contains(&bytes[0])
            || bytes[0] > 0xf4;
        let end = words.table.kind(token) == Some(TokenKind::End);
        assert_eq!(any.allows(token), !odd || end, "{bytes:?}");
    }
}

#[test]
fn the_end_may_come_where_the_value_is_whole() {
    let words = pieces();
    let (end, other_end) = (words.token("<|end|>"), words.token("</s>"));
    let mut matcher = Constraint::regex("[0-9]{1,2}")
        .unwrap()
        .matcher(&words.table)
        .unwrap();
    assert!(!matcher.allows(end) && !matcher.may_end());
    matcher.accept(words.token("7")).unwrap();
    assert!(matcher.allows(end) && matcher.allows(other_end) && matcher.may_end());
    assert!(!matcher.is_complete());
    matcher.accept(end).unwrap();
    assert!(matcher.may_end());
    matcher.accept(words.token("7")).unwrap();
    assert!(matcher.is_complete());
    assert_eq!(allowed(&mut matcher), [end, other_end]);
    let error = matcher.accept(words.token("7")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(matcher.is_complete() && matcher.failure().is_none());
}

#[test]
fn json_is_complete_with_its_last_bracket() {
    let words = pieces();
    let complete = |text: &str| {
        let schema = json!({ "type": ["object", "number", "string"] });
        let mut matcher = Constraint::json_schema(&schema)
            .unwrap()
            .matcher(&words.table)
            .unwrap();
        for token in words.tokenize(text) {
            assert!(!matcher.is_complete(), "{text:?}");
            matcher.accept(token).unwrap();
        }
        (matcher.may_end(), matcher.is_complete())
    };
    assert_eq!(complete("{}"), (true, true));
    assert_eq!(complete("\"the\""), (true, true));
    assert_eq!(complete("12"), (true, false));
    assert_eq!(complete("0."), (false, false));
    assert_eq!(complete("{"), (false, false));
}

#[test]
fn a_matcher_and_its_clone_go_their_own_ways() {
    let words = bytes();
    let constraint = Constraint::choice(["ab", "cd"]).unwrap();
    let mut one = constraint.matcher(&words.table).unwrap();
    let mut other: Matcher = one.clone();
    one.accept(words.token("a")).unwrap();
    other.accept(words.token("c")).unwrap();
    assert_eq!(allowed(&mut one), [words.token("b")]);
    assert_eq!(allowed(&mut other), [words.token("d")]);
}

#[test]
fn a_constraint_serves_threads_and_vocabularies() {
    let constraint = &Constraint::json_object().unwrap();
    std::thread::scope(|scope| {
        for seed in 0..4 {
            scope.spawn(move || {
                for words in [bytes(), pieces(), bytes()] {
                    let (text, _) =
                        crate::random::answer(constraint, words, &mut Dice::new(seed), 50);
                    assert_eq!(text[0], b'{');
                }
            });
        }
    });
}

#[test]
fn a_vocabulary_that_lacks_what_is_needed_is_a_dead_end() {
    let words = [b"a".to_vec(), b"b".to_vec()].map(|word| (word, TokenKind::Text));
    let table = TokenTable::new(words).unwrap();
    let mut matcher = Constraint::choice(["ax", "ab"])
        .unwrap()
        .matcher(&table)
        .unwrap();
    matcher.accept(Token(0)).unwrap();
    assert!(!matcher.is_complete());
    matcher.accept(Token(1)).unwrap();
    assert!(matcher.is_complete());
    let mut matcher = Constraint::choice(["ax"]).unwrap().matcher(&table).unwrap();
    matcher.accept(Token(0)).unwrap();
    assert!(allowed(&mut matcher).is_empty() && !matcher.is_complete());
    let mut sampler = Sampler::greedy();
    let drawn = sampler.sample_masked(&[1.0, 1.0], &mut |token| matcher.allows(token));
    assert_eq!(drawn.unwrap_err().kind(), ErrorKind::Sampling);
    assert_eq!(
        TokenTable::new([]).unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
}
