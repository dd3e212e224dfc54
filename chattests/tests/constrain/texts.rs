//! Regular expressions, choices and Lark grammars.

use llamakit::ErrorKind;
use llamakit::constrain::Constraint;

use crate::random::{Dice, End, accepts, answer, bytes, pieces};

fn check(constraint: &Constraint, yes: &[&str], no: &[&str]) {
    for words in [bytes(), pieces()] {
        for text in yes {
            assert!(accepts(constraint, words, text), "{text:?} is not allowed");
        }
        for text in no {
            assert!(!accepts(constraint, words, text), "{text:?} is allowed");
        }
    }
}

#[test]
fn an_expression_matches_the_whole_text() {
    check(
        &Constraint::regex("[a-c]{2,3}(x|yy)?").unwrap(),
        &["ab", "abc", "ccx", "abyy"],
        &["a", "abcd", "abxx", "zab", "aby", ""],
    );
    check(
        &Constraint::regex("^a/b\"\\d+$").unwrap(),
        &["a/b\"7"],
        &["a/b\"", "a/b"],
    );
    check(
        &Constraint::regex("日本|é+").unwrap(),
        &["日本", "é", "éé"],
        &["日", "日本é"],
    );
    check(
        &Constraint::regex("a*").unwrap(),
        &["", "a", "aaaa"],
        &["b"],
    );
    check(&Constraint::regex("(?i)ok").unwrap(), &["OK", "oK"], &["o"]);
}

#[test]
fn an_expression_that_cannot_be_obeyed_is_refused() {
    let cases = [
        ("(", "unclosed group"),
        ("a\\", "incomplete escape"),
        ("(?<=x)*", "look-around"),
        ("a(?=b)", "look-around"),
        ("\\bword", "lookarounds not supported"),
        ("(?P<stop>a)b", "`stop`"),
        ("a{2,1}", "invalid repetition"),
        ("[", "unclosed character class"),
        ("", "allows no text"),
        ("[a&&b]", "allows no text"),
    ];
    for (pattern, message) in cases {
        let error = Constraint::regex(pattern).unwrap_err();
        assert!(error.message().contains(message), "{pattern}: {error}");
    }
}

#[test]
fn a_choice_is_one_of_its_texts() {
    let texts = [
        "yes",
        "yesterday",
        "no",
        "",
        "quo\"te\\",
        "\u{7f}\n",
        "日本",
    ];
    let constraint = Constraint::choice(texts).unwrap();
    check(&constraint, &texts, &["ye", "yest", "nono", "日"]);
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let (text, end) = answer(&constraint, pieces(), &mut Dice::new(seed), 20);
        assert_eq!(end, End::Whole);
        seen.insert(String::from_utf8(text).unwrap());
    }
    assert_eq!(seen, texts.map(str::to_owned).into_iter().collect());
    for none in [&[][..], &[""]] {
        let error = Constraint::choice(none).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}

#[test]
fn a_lark_grammar_with_terminals_rules_schemas_and_tokens() {
    let constraint = Constraint::lark(
        "// a comment with \"quotes\" and %json {\n\
         start: call (\";\" call)* # another /one\n\
         call: NAME \"(\" arg? \")\"\n\
         arg: %json { \"type\": \"integer\", \"minimum\": 3 } | \"%json\" | /\\/x\\// | call\n\
         NAME: /[a-z]+/\n\
         %ignore / /\n",
    )
    .unwrap();
    check(
        &constraint,
        &[
            "f()",
            "f(3)",
            "f(g(17));h()",
            "f() ; g()",
            "f(%json)",
            "f(/x/)",
        ],
        &["f", "f(2)", "f(3", "f(3);", "F()", "f(3.0)", "f(//)"],
    );
    let words = pieces();
    let constraint = Constraint::lark("start: <call> \"x\" <[*]>").unwrap();
    let mut matcher = constraint.matcher(&words.table).unwrap();
    for token in ["<call>", "x", "日本"] {
        matcher.accept(words.token(token)).unwrap();
    }
    assert!(matcher.is_complete());
}

#[test]
fn a_lark_grammar_that_cannot_be_obeyed_is_refused() {
    let cases = [
        ("", "no start rule"),
        ("start: a", "unknown name"),
        ("start: (\"a\"", "Expected"),
        ("start: A\nA: B\nB: A", "circular reference"),
        ("start: \"a\" %json { \"not\": {} }", "(at /not)"),
        (
            "start: %json { \"x-guidance\": { \"lenient\": true }, \"uniqueItems\": true }",
            "uniqueItems",
        ),
        ("start: %json { \"type\" ", "after %json"),
        (
            "%llguidance { \"allow_invalid_utf8\": true }\nstart: /a/",
            "allow_invalid_utf8",
        ),
        ("start: x \"b\"\nx[stop=\"a\"]: /.*/", "stop="),
        (
            "start: x\nx[temperature=0.5]: X\nX: /[ab]+/",
            "temperature=",
        ),
        ("start: <[5-3]>", "names no token"),
        ("start: /(?P<stop>a)/", "`stop`"),
        ("start: \"\"", "allows no text"),
    ];
    for (grammar, message) in cases {
        let error = Constraint::lark(grammar).expect_err(grammar);
        assert!(error.message().contains(message), "{grammar}: {error}");
    }
}
