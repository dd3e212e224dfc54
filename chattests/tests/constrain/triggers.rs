//! Constraints that begin after a text.

use llamakit::ErrorKind;
use llamakit::constrain::{Constraint, TokenKind};
use serde_json::json;

use crate::random::{Dice, Words, allowed, bytes, pieces};

fn after_thinking() -> Constraint {
    let schema = json!({ "type": "object", "properties": { "name": { "enum": ["the"] } },
        "required": ["name"], "additionalProperties": false });
    Constraint::json_schema(&schema)
        .unwrap()
        .after("</think>")
        .unwrap()
}

/// Whether an answer in these tokens is allowed so far, and whether it may end.
fn follows(constraint: &Constraint, words: &Words, tokens: &[&str]) -> (bool, bool) {
    let mut matcher = constraint.matcher(&words.table).unwrap();
    for text in tokens {
        if matcher.accept(words.token(text)).is_err() {
            return (false, false);
        }
    }
    (true, matcher.may_end())
}

#[test]
fn before_the_text_everything_is_free() {
    let words = pieces();
    let mut matcher = after_thinking().matcher(&words.table).unwrap();
    assert!(!matcher.has_started() && !matcher.may_end() && !matcher.is_complete());
    let all: Vec<_> = words.tokens().collect();
    let free = allowed(&mut matcher);
    // But what goes on after the text in a way that the schema refuses.
    assert!(all.iter().all(|token| free.contains(token)));
    matcher.accept(words.token("<|start|>")).unwrap();
    matcher.accept(words.token("the")).unwrap();
    matcher.accept(words.token("<|end|>")).unwrap();
    assert!(!matcher.has_started());
}

#[test]
fn the_text_is_found_however_it_is_cut() {
    let constraint = after_thinking();
    let words = pieces();
    for before in [
        &["</think>"][..],
        &["</th", "ink>{"],
        &["<", "/", "t", "h", "i", "n", "k", ">"],
        &["<", "</th", "i", "n", "k", ">"],
        &["the", "</", "</think>\n\n"][..1],
    ] {
        if before == ["the"] {
            continue;
        }
        let mut tokens = before.to_vec();
        if before != ["</th", "ink>{"] {
            assert!(
                !follows(&constraint, words, &[before, &["the"]].concat()).0,
                "{before:?}"
            );
            tokens.push("{");
        }
        tokens.extend(["\"", "name", "\":", "\"", "the", "\"}"]);
        assert_eq!(
            follows(&constraint, words, &tokens),
            (true, true),
            "{before:?}"
        );
        assert!(!follows(&constraint, words, &[&tokens[..], &["}"]].concat()).0);
    }
    // A token that goes on after the text has to go on as the value does.
    assert!(follows(&constraint, words, &["</th", "ink>{"]).0);
    let array = Constraint::json_schema(&json!({ "type": "array" })).unwrap();
    let array = array.after("</think>").unwrap();
    assert!(!follows(&array, words, &["</th", "ink>{"]).0);
}

#[test]
fn a_few_blanks_may_stand_between_the_text_and_json() {
    let constraint = after_thinking();
    let words = pieces();
    let value = ["{\"", "name", "\":", "\"", "the", "\"", "}"];
    for blanks in [&[][..], &["\n\n"], &[" ", "\n\n", " "], &["  ", "  "]] {
        let tokens = [&["</think>"], blanks, &value].concat();
        assert_eq!(
            follows(&constraint, words, &tokens),
            (true, true),
            "{blanks:?}"
        );
    }
    assert!(follows(&constraint, words, &["</think>\n\n", " {"]).0);
    assert!(!follows(&constraint, words, &["</think>\n\n", "\n\n", " {"]).0);
    assert!(!follows(&constraint, words, &["</think>", "\n\n", "\n\n", "\n\n"]).0);
    // An expression begins at once.
    let letters = Constraint::regex("[a-z]+")
        .unwrap()
        .after("</think>")
        .unwrap();
    assert!(follows(&letters, words, &["</think>", "the"]).1);
    assert!(!follows(&letters, words, &["</think>", " ", "the"]).0);
    assert!(!follows(&letters, words, &["</think>\n\n"]).0);
}

#[test]
fn the_first_of_several_texts_counts_and_only_once() {
    let words = pieces();
    let constraint = Constraint::regex("[a-z=]+").unwrap();
    let constraint = constraint.after("x = ").unwrap().after("<call>").unwrap();
    assert!(follows(&constraint, words, &["x = ", "the"]).1);
    // By its name a control token counts as text, and its letters do.
    assert!(follows(&constraint, words, &["<call>", "the"]).1);
    assert!(follows(&constraint, words, &["<", "c", "a", "l", "l", ">", "the"]).1);
    assert!(!follows(&constraint, words, &["<call>", "<call>"]).0);
    assert!(!follows(&constraint, words, &["x = ", "x = "]).0);
}

#[test]
fn overlapping_beginnings_of_the_text_are_not_lost() {
    let words = bytes();
    for (trigger, text) in [
        ("aab", "aaab"),
        ("abac", "ababac"),
        ("aaaa", "baaaa"),
        ("</s></s>x", "</s></s></s>x"),
    ] {
        let constraint = Constraint::regex("!").unwrap().after(trigger).unwrap();
        let mut matcher = constraint.matcher(&words.table).unwrap();
        for byte in text.bytes() {
            assert!(!matcher.has_started());
            matcher.accept(llamakit::Token(i32::from(byte))).unwrap();
        }
        assert!(matcher.has_started(), "{text}");
        assert!(matcher.accept(words.token("!")).is_ok() && matcher.is_complete());
    }
}

#[test]
fn random_answers_are_free_and_then_valid() {
    let words = pieces();
    let schema = json!({ "type": "array", "items": { "type": "integer" }, "maxItems": 3 });
    let constraint = Constraint::json_schema(&schema)
        .unwrap()
        .after("</think>")
        .unwrap();
    let judge = jsonschema::validator_for(&schema).unwrap();
    let mut values = 0;
    for seed in 0..200 {
        let mut dice = Dice::new(seed);
        let mut matcher = constraint.matcher(&words.table).unwrap();
        let mut text = Vec::new();
        for _ in 0..300 {
            // Half of the time what ends the thinking.
            let allowed = allowed(&mut matcher);
            let token = match matcher.has_started() || dice.below(8) > 0 {
                true => allowed[dice.below(allowed.len())],
                false => words.token("</think>"),
            };
            if words.table.kind(token) == Some(TokenKind::End) || matcher.accept(token).is_err() {
                break;
            }
            text.extend_from_slice(words.bytes(token));
            if matcher.is_complete() {
                break;
            }
        }
        let text = String::from_utf8_lossy(&text);
        match text.split_once("</think>") {
            Some((_, value)) if matcher.may_end() => {
                values += 1;
                let parsed = serde_json::from_str(value);
                let parsed = parsed.unwrap_or_else(|error| panic!("{error}: {text:?}"));
                assert!(judge.is_valid(&parsed), "{value}");
            }
            Some(_) => {}
            None => assert!(!matcher.may_end()),
        }
    }
    assert!(values > 50, "{values}");
}

#[test]
fn texts_to_wait_for_have_limits() {
    let constraint = || Constraint::regex("a").unwrap();
    for text in ["", &"x".repeat(257)] {
        let error = constraint().after(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    let eight = (0..8)
        .try_fold(constraint(), |c, n| c.after(&format!("text {n}")))
        .unwrap();
    assert_eq!(
        eight.after("another").unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
}
